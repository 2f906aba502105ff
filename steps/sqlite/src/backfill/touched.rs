//! Which rows a table's own triggers change while a batch is inserted.
//!
//! Owns a temporary trigger and table on the writing connection, made only where the table has triggers and gone with
//! the batch. Each row is noted as it was before, so that an edit of others is not taken for the trigger's work.

use cutover_core::StepError;
use rusqlite::Connection;

use crate::identity::list;
use crate::sql::{quote_ident, sqlite_error};
use crate::written::digest;

const TABLE: &str = "cutover_touched";

/// What is watched.
#[derive(Debug)]
pub(super) struct Touched<'c> {
    conn: &'c Connection,
    table: &'c str,
    rowid: &'c str,
    columns: &'c [String],
}

impl<'c> Touched<'c> {
    /// Begins to watch; none when the table has no triggers.
    pub(super) fn watch(
        conn: &'c Connection,
        table: &'c str,
        rowid: &'c str,
        columns: &'c [String],
    ) -> Result<Option<Self>, StepError> {
        let failed = |e| sqlite_error(e, &format!("watching the triggers of `{table}`"));
        let has = conn
            .prepare_cached("SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE")
            .and_then(|mut s| s.exists([table]))
            .map_err(failed)?;
        if !has {
            return Ok(None);
        }
        let names: Vec<String> = (0..columns.len()).map(|i| format!("c{i}")).collect();
        let old: Vec<String> = columns.iter().map(|c| format!("old.{}", quote_ident(c))).collect();
        conn.execute_batch(&format!(
            "CREATE TEMP TABLE {TABLE} (id INTEGER PRIMARY KEY, {});
             CREATE TEMP TRIGGER cutover_touch BEFORE UPDATE ON main.{} BEGIN
               INSERT INTO {TABLE} SELECT old.{rowid}, {}
               WHERE NOT EXISTS (SELECT 1 FROM {TABLE} WHERE id = old.{rowid});
             END",
            names.join(", "),
            quote_ident(table),
            old.join(", ")
        ))
        .map_err(failed)?;
        Ok(Some(Self { conn, table, rowid, columns }))
    }

    /// Ends the watch. The rows that are not in the `inserted` ranges (sorted): rowid, digest before and after.
    pub(super) fn end(self, inserted: &[(i64, i64)]) -> Result<Vec<(i64, u64, u64)>, StepError> {
        let Self { conn, table, rowid, columns } = self;
        let now: Vec<String> = columns.iter().map(|c| format!("t.{}", quote_ident(c))).collect();
        let sql = format!(
            "SELECT o.*, {} FROM temp.{TABLE} AS o JOIN main.{} AS t ON t.{rowid} = o.id ORDER BY o.id",
            now.join(", "),
            quote_ident(table)
        );
        let read = || -> rusqlite::Result<Vec<(i64, u64, u64)>> {
            let mut changes = Vec::new();
            let mut statement = conn.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                let before = digest(row, 1..=columns.len())?;
                let after = digest(row, 1 + columns.len()..1 + 2 * columns.len())?;
                if before != after && !within(inserted, id) {
                    changes.push((id, before, after));
                }
            }
            drop(rows);
            drop(statement);
            conn.execute_batch(&format!("DROP TRIGGER temp.cutover_touch; DROP TABLE temp.{TABLE}"))?;
            Ok(changes)
        };
        read().map_err(|e| sqlite_error(e, &format!("watching the triggers of `{table}`")))
    }
}

/// Whether `id` is in one of the ranges (sorted).
fn within(ranges: &[(i64, i64)], id: i64) -> bool {
    let at = ranges.partition_point(|(low, _)| *low <= id);
    at > 0 && ranges[at - 1].1 >= id
}

/// The digests of the rows in these ranges (sorted), as the table has them; a row that is gone is left out.
pub(super) fn digests(
    conn: &Connection,
    table: &str,
    rowid: &str,
    columns: &[String],
    places: &[(i64, i64)],
) -> Result<Vec<(i64, u64)>, StepError> {
    let sql = format!("SELECT {rowid}, {} FROM {} WHERE {rowid} BETWEEN ?1 AND ?2", list(columns), quote_ident(table));
    let read = || -> rusqlite::Result<Vec<(i64, u64)>> {
        let mut found = Vec::new();
        let mut statement = conn.prepare_cached(&sql)?;
        for (from, to) in places {
            let mut rows = statement.query([from, to])?;
            while let Some(row) = rows.next()? {
                found.push((row.get(0)?, digest(row, 1..=columns.len())?));
            }
        }
        Ok(found)
    };
    read().map_err(|e| sqlite_error(e, &format!("reading the rows filled into `{table}`")))
}

//! The planner's statistics: as they were, brought up to date within bounds, and put back.
//!
//! SQLite as we build it samples indexes too (`sqlite_stat4`). Programs built alike compile a prepared statement anew each
//! time that a value is bound to a sampled column (0.35 µs become 4.9 µs), which would break the figures that a later
//! cutover is held to. So samples that were not there before are taken away again, and while two schemas are kept in
//! step nothing is analysed at all.

use cutover_core::StepError;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::mapping::names::STAGE;
use crate::mapping::stage::Stage;
use crate::sql::{sqlite_error, write_literal};
use crate::target::bookkeeping::has_table;

const DOING: &str = "while updating the planner's statistics";
const TABLES: [&str; 2] = ["sqlite_stat1", "sqlite_stat4"];

/// Rows of the tables of statistics, each as SQL literals; none where there is no such table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Statistics(Vec<Option<Vec<String>>>);

impl Statistics {
    pub(super) fn read(conn: &Connection) -> Result<Self, StepError> {
        let rows = |table: &str| -> rusqlite::Result<Vec<String>> {
            let mut statement = conn.prepare(&format!("SELECT * FROM main.{table}"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let mut text = Vec::new();
                for i in 0..columns {
                    if i > 0 {
                        text.extend_from_slice(b", ");
                    }
                    // Writing into memory cannot fail.
                    let _ = write_literal(&mut text, row.get_ref(i)?);
                }
                found.push(String::from_utf8_lossy(&text).into_owned());
            }
            Ok(found)
        };
        let mut all = Vec::new();
        for table in TABLES {
            let there = has_table(conn, table)?;
            all.push(there.then(|| rows(table)).transpose().map_err(|e| sqlite_error(e, DOING))?);
        }
        Ok(Self(all))
    }

    /// Makes the tables what they were.
    pub(super) fn put_back(&self, conn: &Connection) -> Result<(), StepError> {
        for (table, was) in TABLES.iter().zip(&self.0) {
            if !has_table(conn, table)? {
                continue;
            }
            let mut sql = format!("DELETE FROM main.{table};\n");
            match was {
                None => sql.push_str(&format!("DROP TABLE main.{table};\n")),
                Some(rows) => {
                    for row in rows {
                        sql.push_str(&format!("INSERT INTO {table} VALUES ({row});\n"));
                    }
                }
            }
            conn.execute_batch(&sql).map_err(|e| sqlite_error(e, DOING))?;
        }
        Ok(())
    }

    /// Brings them up to date, where SQLite finds that worth it: at most `limit` rows of each index are looked at.
    pub(super) fn update(&self, conn: &Connection, limit: u32) -> Result<(), StepError> {
        // 0x10000: also tables that this connection has not asked; 0x02: analyse.
        let optimise = || -> rusqlite::Result<()> {
            let before: i64 = conn.query_row("PRAGMA analysis_limit", [], |row| row.get(0))?;
            conn.query_row(&format!("PRAGMA analysis_limit = {limit}"), [], |_| Ok(()))?;
            let result = conn.prepare("PRAGMA main.optimize(0x10002)").and_then(|mut s| {
                let mut rows = s.query([])?;
                while rows.next()?.is_some() {}
                Ok(())
            });
            conn.query_row(&format!("PRAGMA analysis_limit = {before}"), [], |_| Ok(()))?;
            result
        };
        optimise().map_err(|e| sqlite_error(e, DOING))?;
        if has_table(conn, "sqlite_stat4")? && self.0.get(1).is_none_or(Option::is_none) {
            conn.execute_batch("DROP TABLE main.sqlite_stat4").map_err(|e| sqlite_error(e, DOING))?;
        }
        Ok(())
    }
}

/// A mapping whose two schemas are kept in step, or whose cutover is not behind it.
pub(super) fn in_step(conn: &Connection) -> Result<Option<String>, StepError> {
    if !has_table(conn, STAGE)? {
        return Ok(None);
    }
    let over = [Stage::Contracted, Stage::Retired].map(Stage::name);
    let mut statement = conn
        .prepare(&format!("SELECT name FROM {STAGE} WHERE stage NOT IN (?1, ?2) ORDER BY name LIMIT 1"))
        .map_err(|e| sqlite_error(e, DOING))?;
    let mut rows = statement.query(over).map_err(|e| sqlite_error(e, DOING))?;
    rows.next().and_then(|row| row.map(|row| row.get(0)).transpose()).map_err(|e| sqlite_error(e, DOING))
}

//! Dropping a column that the step added, without breaking what others built on it.
//!
//! Owns two traps. SQLite refuses to drop any column while some view or trigger of the database is broken, even one
//! that was broken long before and has nothing to do with the table. And while it drops, it rewrites "texts" in double
//! quotes to 'texts' in every other object's SQL: what others wrote is put back as it was.

use cutover_core::{StepContext, StepError};
use rusqlite::Connection;

use crate::aside;
use crate::declared::{self, Index, Mark, Still, Table};
use crate::sql::{quote_ident, sqlite_error, tokens};

/// Drops the column, its values set aside, when it is still the one that was added. The line about it.
pub(super) fn undo(cx: &StepContext, conn: &Connection, table: &str, made: &Mark) -> Result<Option<String>, StepError> {
    let Some(found) = Table::read(conn, table)? else { return Ok(None) };
    if let Still::Other(found) = made.column(&found) {
        return Ok(Some(format!("column {table}.{} is another one now ({found}): kept", made.name)));
    }
    let kept = aside::column_values(cx, conn, table, &made.name)?;
    drop_column(conn, table, &made.name)?;
    Ok(kept)
}

/// Drops the column, which may be gone already. What others made with it is an error that names it.
fn drop_column(conn: &Connection, table: &str, column: &str) -> Result<(), StepError> {
    if !declared::column_names(conn, table)?.iter().any(|c| declared::same_name(c, column)) {
        return Ok(());
    }
    if let Some(name) = declared::indexes_on(conn, table, column)?.into_iter().next() {
        let definition = Index::read(conn, &name)?.map(|i| format!(" {}", i.definition())).unwrap_or_default();
        return Err(in_the_way(table, column, &format!("index `{name}`{definition}"))
            .with_help(format!("drop it (`DROP INDEX {};`), then roll back again", quote_ident(&name))));
    }
    let sql = format!("ALTER TABLE {} DROP COLUMN {}", quote_ident(table), quote_ident(column));
    let failed = |e| sqlite_error(e, &format!("dropping column `{table}.{column}`"));
    let before = quoted_texts(conn, table).map_err(failed)?;
    match conn.execute_batch(&sql) {
        Ok(()) => {}
        Err(e) if broken_before(&e) => past_broken_objects(conn, table, column, &sql)?,
        Err(e) => {
            return Err(failed(e).with_help(
                "take what uses the column (a view, a trigger, a constraint) away first, then roll back again",
            ));
        }
    }
    put_back(conn, table, &before).map_err(failed)
}

/// The SQL of every other object that has a double quote in it.
fn quoted_texts(conn: &Connection, table: &str) -> rusqlite::Result<Vec<(String, String, String)>> {
    conn.prepare("SELECT type, name, sql FROM sqlite_master WHERE sql LIKE '%\"%' AND name <> ?1 COLLATE NOCASE")?
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// Puts back each text that the drop rewrote. Its meaning is the same, and the schema's version moved with the drop.
fn put_back(conn: &Connection, table: &str, before: &[(String, String, String)]) -> rusqlite::Result<()> {
    let now = quoted_texts(conn, table)?;
    let rewritten: Vec<_> = before.iter().filter(|text| !now.contains(text)).collect();
    if rewritten.is_empty() {
        return Ok(());
    }
    declared::with_writable_schema(conn, || {
        let mut statement = conn.prepare("UPDATE sqlite_master SET sql = ?3 WHERE type = ?1 AND name = ?2")?;
        rewritten.iter().try_for_each(|(kind, name, sql)| statement.execute([kind, name, sql]).map(|_| ()))
    })
}

fn in_the_way(table: &str, column: &str, what: &str) -> StepError {
    StepError::failed(format!(
        "column `{table}.{column}` cannot be dropped: {what} uses it, and this step did not make it"
    ))
}

/// SQLite's text for an object that the drop would break ends the name with "after drop column".
fn broken_before(error: &rusqlite::Error) -> bool {
    let text = error.to_string();
    (text.contains("error in view ") || text.contains("error in trigger ")) && !text.contains(" after drop column")
}

/// Drops the column without SQLite's look at views and triggers, and looks at them itself.
fn past_broken_objects(conn: &Connection, table: &str, column: &str, sql: &str) -> Result<(), StepError> {
    let failed = |e| sqlite_error(e, &format!("dropping column `{table}.{column}`"));
    let named = |name: &str, sql: &str| {
        tokens(sql).iter().any(|t| declared::same_name(t.trim_matches(['"', '`', '[', ']']), name))
    };
    let triggers = objects(conn, "trigger").map_err(failed)?;
    if let Some((name, _)) = triggers.iter().find(|(_, sql)| named(column, sql) && named(table, sql)) {
        return Err(in_the_way(table, column, &format!("trigger `{name}`"))
            .with_help(format!("drop it (`DROP TRIGGER {};`), then roll back again", quote_ident(name))));
    }
    let works = |name: &str| conn.prepare(&format!("SELECT * FROM {} LIMIT 0", quote_ident(name))).is_ok();
    let mut views = objects(conn, "view").map_err(failed)?;
    views.retain(|(name, _)| works(name));
    declared::with_writable_schema(conn, || conn.execute_batch(sql)).map_err(failed)?;
    match views.iter().find(|(name, _)| !works(name)) {
        Some((name, _)) => Err(in_the_way(table, column, &format!("view `{name}`"))
            .with_help(format!("drop it (`DROP VIEW {};`), then roll back again", quote_ident(name)))),
        None => Ok(()),
    }
}

fn objects(conn: &Connection, kind: &str) -> rusqlite::Result<Vec<(String, String)>> {
    conn.prepare(
        "SELECT name, sql FROM sqlite_master WHERE type = ?1 AND name NOT LIKE '\\_cutover\\_%' ESCAPE '\\' ORDER BY name",
    )?
        .query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

//! A history run on an empty database in memory: is what it makes what is there?

use std::path::Path;

use cutover_core::StepError;
use rusqlite::Connection;

use super::{Folder, History};
use crate::sql::{message, split, sqlite_error};
use crate::target::bookkeeping::DEFAULT_LEDGER;
use crate::target::{connect_reader, objects};

/// Where the structure of `database` is not what its applied migrations make, a line each; or why that cannot be told.
pub fn differences(
    folder: &Folder,
    history: &History,
    database: &Path,
) -> Result<Result<Vec<String>, String>, StepError> {
    let doing = "while running the history in memory";
    let copy = Connection::open_in_memory().map_err(|e| sqlite_error(e, doing))?;
    copy.execute_batch("PRAGMA foreign_keys = OFF").map_err(|e| sqlite_error(e, doing))?;
    for migration in folder.migrations.iter().filter(|m| history.versions.contains(&m.version)) {
        for statement in split(&migration.up.text) {
            if let Err(e) = copy.execute_batch(&statement.sql) {
                return Ok(Err(format!("`{}`, `{}`: {}", migration.file, statement.excerpt(), message(&e))));
            }
        }
    }
    let there = connect_reader(database)?;
    let own = format!(" {}", folder.tool.table());
    let mut is = objects::of(&there, "main", DEFAULT_LEDGER)?;
    // Its own table, and golang-migrate's index on it.
    let theirs = |name: &str, sql: &str| name.ends_with(&own) || (name == "index version_unique" && sql.contains(&own));
    is.retain(|name, sql| !theirs(name, sql));
    let should = objects::of(&copy, "main", DEFAULT_LEDGER)?;
    let lines = objects::changes(&should, &is).into_iter().map(|(name, sides)| match sides {
        [Some(_), None] => format!("{name}: the history makes it, and it is not there"),
        [None, Some(_)] => format!("{name}: it is there, and the history does not make it"),
        _ => format!("{name}: it is there otherwise than the history makes it"),
    });
    Ok(Ok(lines.collect()))
}

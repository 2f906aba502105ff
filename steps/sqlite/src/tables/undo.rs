//! Taking back what the step made, and only that.
//!
//! Owns which tables and indexes are still the step's. A table that others added to is: it goes with all that they
//! added, which is set aside so that it can be loaded. One that is otherwise defined is another table and stays, and
//! so do the indexes on it.

use cutover_core::{StepContext, StepError};
use rusqlite::Connection;

use super::Made;
use crate::aside;
use crate::declared::{self, Index, Still, same_name};
use crate::sql::{quote_ident, sqlite_error};

/// Drops what is still as the step made it; the rest stays, and is told.
pub(crate) fn undo(cx: &StepContext, conn: &Connection, made: &Made) -> Result<(), StepError> {
    let (mut ours, mut kept) = (Vec::new(), Vec::new());
    for table in made.tables.iter().rev() {
        match table.table(conn)? {
            Still::Gone => {}
            Still::Same => ours.push((table.name.as_str(), false)),
            Still::Wider => ours.push((table.name.as_str(), true)),
            Still::Other(found) => {
                cx.note(&format!("table {} is another one now ({found}): kept", table.name));
                kept.push(table.name.as_str());
            }
        }
    }
    let named = |names: &[&str], table: &str| names.iter().any(|name| same_name(name, table));
    let going: Vec<&str> = ours.iter().map(|(name, _)| *name).collect();
    for index in made.indexes.iter().rev() {
        match Index::read(conn, &index.name)? {
            // It goes with its table, and is set aside with it.
            Some(found) if named(&going, &found.table) => {}
            Some(found) if named(&kept, &found.table) => {
                cx.note(&format!("index {} is on another table now ({}): kept", index.name, found.definition()));
            }
            _ => declared::drop_index(conn, index)?.iter().for_each(|line| cx.note(line)),
        }
    }
    for (name, wider) in ours {
        let changed = wider || others_on(conn, name, made)?;
        let line = aside::table(cx, conn, name, changed)?;
        conn.execute_batch(&format!("DROP TABLE {}", quote_ident(name)))
            .map_err(|e| sqlite_error(e, &format!("dropping table `{name}`")))?;
        line.iter().for_each(|line| cx.note(line));
    }
    Ok(())
}

/// Whether the table has an index or trigger that the step did not make.
fn others_on(conn: &Connection, table: &str, made: &Made) -> Result<bool, StepError> {
    for object in declared::objects_on(conn, table)? {
        let mark = made.indexes.iter().find(|i| object.kind == "index" && same_name(&i.name, &object.name));
        let ours = match mark {
            Some(mark) => mark.index(conn)? == Still::Same,
            None => false,
        };
        if !ours {
            return Ok(true);
        }
    }
    Ok(false)
}

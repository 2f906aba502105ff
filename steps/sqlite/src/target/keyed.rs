//! Temporary triggers on WITHOUT ROWID tables, which SQLite's update hook does not see.

use std::collections::BTreeSet;

use cutover_core::StepError;
use rusqlite::Connection;

use super::reader::primary_key;
use crate::sql::{quote_ident, quote_text, sqlite_error};

const DOING: &str = "while watching the rows that are written";

/// The function that the triggers call: table, the key before (an update has one), the key after.
pub(crate) const FUNCTION: &str = "cutover_wrote";

/// Sets triggers on a table. The rollback of a failed change takes them away again.
pub(crate) fn watch(conn: &Connection, number: usize, table: &str) -> Result<(), StepError> {
    let key = primary_key(conn, table)?;
    let values = |of: &str| key.iter().map(|name| format!("{of}.{}", quote_ident(name))).collect::<Vec<_>>().join(", ");
    for (event, values) in [("insert", values("new")), ("update", format!("{}, {}", values("old"), values("new")))] {
        let name = format!("{FUNCTION}_{event}_{number}");
        conn.execute_batch(&format!(
            "CREATE TEMP TRIGGER {name} AFTER {event} ON main.{} BEGIN SELECT {FUNCTION}({}, '{event}', {values}); END",
            quote_ident(table),
            quote_text(table),
        ))
        .map_err(|e| sqlite_error(e, DOING))?;
    }
    Ok(())
}

/// Takes the triggers away. The tables whose triggers were gone already: the change dropped them with their table.
pub(crate) fn unwatch(conn: &Connection, watched: usize) -> Result<BTreeSet<usize>, StepError> {
    let there = |name: &str| {
        conn.prepare_cached("SELECT 1 FROM temp.sqlite_master WHERE type = 'trigger' AND name = ?1")
            .and_then(|mut s| s.exists([name]))
            .map_err(|e| sqlite_error(e, DOING))
    };
    let mut gone = BTreeSet::new();
    for number in 0..watched {
        for event in ["insert", "update"] {
            let name = format!("{FUNCTION}_{event}_{number}");
            if there(&name)? {
                conn.execute_batch(&format!("DROP TRIGGER temp.{name}")).map_err(|e| sqlite_error(e, DOING))?;
            } else {
                gone.insert(number);
            }
        }
    }
    Ok(gone)
}

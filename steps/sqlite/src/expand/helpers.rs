//! The tables that the triggers of a mapping need beside the user's: the guard against loops, the quarantine, and for
//! each pair a place for keys that a statement may take away without any trigger seeing it; and the table in which programs
//! that follow the stage count, so that none of them has to change the schema.

use cutover_core::StepError;
use cutover_dual::{COUNTERS_TABLE, create_counters};
use rusqlite::Connection;

use crate::mapping::Pair;
use crate::mapping::names::{GUARD, PREFIX, QUARANTINE, STAGE};
use crate::mapping::stage;
use crate::sql::sqlite_error;
use crate::target::bookkeeping::has_table;

/// Keys of rows that a statement may have taken away: REPLACE over a unique key fires no delete trigger.
pub(crate) fn gone(pair: &Pair) -> String {
    format!("{PREFIX}gone_{}", pair.name)
}

/// The statements that make what all pairs share, where it is not there yet.
pub(super) fn shared() -> Vec<(&'static str, String)> {
    vec![
        (GUARD, format!("CREATE TABLE {GUARD} (\n  pair TEXT NOT NULL PRIMARY KEY,\n  origin TEXT\n) WITHOUT ROWID;")),
        (
            QUARANTINE,
            format!(
                "CREATE TABLE {QUARANTINE} (\n  pair TEXT NOT NULL,\n  side TEXT NOT NULL,\n  key TEXT NOT NULL,\n  \
                 reason TEXT NOT NULL,\n  shown INTEGER NOT NULL,\n  row TEXT NOT NULL,\n  at TEXT NOT NULL,\n  \
                 PRIMARY KEY (pair, side, key)\n) WITHOUT ROWID;"
            ),
        ),
        (STAGE, format!("{};", stage::create_sql())),
        (COUNTERS_TABLE, format!("{};", create_counters())),
    ]
}

/// The statement that makes the table of [`gone`].
pub(super) fn gone_sql(pair: &Pair) -> String {
    let keys: Vec<String> = (0..pair.key.len()).map(|at| format!("k{at}")).collect();
    format!("CREATE TABLE \"{}\" (side TEXT NOT NULL, {});", gone(pair), keys.join(", "))
}

/// What programs counted stays; where they counted nothing, there is no table.
pub(crate) fn drop_uncounted(conn: &Connection) -> Result<(), StepError> {
    let failed = |e| sqlite_error(e, "while taking the counters away");
    let counted = has_table(conn, COUNTERS_TABLE)?
        && conn.prepare(&format!("SELECT 1 FROM {COUNTERS_TABLE}")).and_then(|mut s| s.exists([])).map_err(failed)?;
    if counted { Ok(()) } else { conn.execute_batch(&format!("DROP TABLE IF EXISTS {COUNTERS_TABLE}")).map_err(failed) }
}

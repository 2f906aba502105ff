//! Opening a database file: read-only without touching it, or for writing.
//!
//! Owns the flags, the PRAGMAs of a fresh connection and the errors of opening. Knows nothing of steps or ledgers.

use std::path::Path;
use std::time::Duration;

use cutover_core::StepError;
use rusqlite::{Connection, OpenFlags};

use crate::sql::sqlite_error;

/// How long a connection waits for another's lock.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that cannot write.
pub(crate) fn reader(path: &Path) -> Result<Connection, StepError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// A connection that can write, with foreign keys enforced.
pub(crate) fn writer(path: &Path) -> Result<Connection, StepError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StepError> {
    let doing = format!("while opening `{}`", path.display());
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| sqlite_error(e, &doing))?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(|e| sqlite_error(e, &doing))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

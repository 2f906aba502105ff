//! Opening a database file: read-only without touching it, or for writing.
//!
//! Owns the flags, the settings of a fresh connection, and what is said when a file cannot be opened. Knows nothing
//! of steps or ledgers. It never opens the file by itself: closing a plain handle would drop the locks that SQLite
//! holds in this process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_core::{StepError, StepErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};

use super::patience;
use super::still::sibling;

/// How long a connection waits for another's lock.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLITE_READONLY_ROLLBACK: a transaction that a crash left open must be undone before anybody can read.
const HOT_JOURNAL: i32 = 776;

/// SQLITE_CANTOPEN_SYMLINK: a link is in the path.
const SYMLINK: i32 = 1550;

/// A connection that cannot write. The main file and a non-empty `-wal` stay byte for byte as they are, unless a crash
/// left a hot rollback journal: that is played back first, as any reader of the file would.
pub(crate) fn reader(path: &Path) -> Result<Connection, StepError> {
    check_file(path)?;
    if folder_of(path).is_ok_and(|folder| !may_write(&folder)) && !has_log(path) {
        return open_immutable(path).map_err(|e| opening_error(path, &e));
    }
    // Other files may be attached by URI; an absolute path itself never reads as one.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    match open(path, flags) {
        Ok(conn) => Ok(conn),
        Err(e) if extended_code(&e) == Some(HOT_JOURNAL) => {
            writer(path)?;
            open(path, flags).map_err(|e| opening_error(path, &e))
        }
        Err(e) => Err(opening_error(path, &e)),
    }
}

/// A connection that can write, with foreign keys enforced.
///
/// Until the first commit it leaves the write-ahead log alone when it closes (see [`checkpoint_on_close`]).
pub(crate) fn writer(path: &Path) -> Result<Connection, StepError> {
    check_file(path)?;
    if let Err(reason) = writable(path) {
        return Err(StepError::unavailable(format!("`{}` cannot be written: {reason}", path.display()))
            .with_help("make the file and its folder writable for this user (`chmod u+w`), then run again"));
    }
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| opening_error(path, &e))?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(|e| opening_error(path, &e))?;
    Ok(conn)
}

/// From now on the last connection to close folds the write-ahead log into the main file, as usual.
pub(crate) fn checkpoint_on_close(conn: &Connection) -> Result<(), StepError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map(|_| ())
        .map_err(|e| crate::sql::sqlite_error(e, "while configuring the connection"))
}

/// A file that nobody writes, opened without a lock and without `-shm`.
pub(crate) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    open(&uri(path, "immutable=1"), flags)
}

/// `path` as an SQLite URI with `query`.
pub(crate) fn uri(path: &Path, query: &str) -> PathBuf {
    let mut text = String::from("file:");
    for c in path.to_string_lossy().chars() {
        match c {
            '%' | '?' | '#' => text.push_str(&format!("%{:02x}", u32::from(c))),
            _ => text.push(c),
        }
    }
    PathBuf::from(format!("{text}?{query}"))
}

/// Why the database cannot be written, by permission bits (which do not stop root) and by what this user may do.
pub(crate) fn writable(path: &Path) -> Result<(), String> {
    let folder = folder_of(path).map_err(|e| e.to_string())?;
    for (what, at) in [("the file", path), ("its folder", folder.as_path())] {
        if !may_write(at) {
            let mode = fs::metadata(at).map(|m| m.permissions().mode() & 0o777).unwrap_or_default();
            return Err(format!("{what} is read-only (mode {mode:04o})"));
        }
    }
    Ok(())
}

/// Bytes of the database: its file and what its write-ahead log holds.
pub(crate) fn bytes(path: &Path) -> u64 {
    let size = |p: &Path| fs::metadata(p).map(|m| m.len()).unwrap_or(0);
    size(path) + size(&sibling(path, "-wal"))
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let mut conn =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    patience::listen(&mut conn)?;
    conn.set_prepared_statement_cache_capacity(256);
    // Else a statement of batches is planned, and the triggers that it fires compiled, anew for each value bound to it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Opening is lazy: only reading the schema shows whether this is a database that we can read.
    conn.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(conn)
}

fn check_file(path: &Path) -> Result<(), StepError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(_) => Err(StepError::unavailable(format!("`{}` is not a file", path.display()))
            .with_help("name the database file itself in the target's `path`")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(StepError::unavailable(format!("`{}` does not exist", path.display()))
                .with_help("check the target's `path` and `--root`, or point elsewhere with `--bind NAME=PATH`"))
        }
        Err(e) => Err(StepError::unavailable(format!("`{}` cannot be looked at", path.display()))
            .with_help("make its folder accessible for this user")
            .caused_by(e)),
    }
}

fn opening_error(path: &Path, error: &rusqlite::Error) -> StepError {
    let shown = path.display();
    let (kind, message, help) = match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) if extended_code(error) == Some(SYMLINK) => (
            StepErrorKind::Unavailable,
            format!("`{shown}` is reached through a symbolic link that was not there before"),
            "put the database itself there; nothing was read or written through the link",
        ),
        Some(ErrorCode::NotADatabase) => (
            StepErrorKind::Unavailable,
            format!("`{shown}` is either encrypted or not an SQLite database: {error}"),
            "if it is encrypted, decrypt it first; otherwise name the right file in the target's `path`",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            StepErrorKind::Unavailable,
            format!("`{shown}` is corrupt: {error}"),
            "put a good copy back, or save what is left with `sqlite3 FILE .recover`; nothing was changed",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            StepErrorKind::Busy,
            format!("`{shown}` is locked by another program: {error}"),
            "end that program's transaction, then run the same command again",
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) if has_log(path) => (
            StepErrorKind::Unavailable,
            format!("`{shown}` has a write-ahead log that cannot be read here: {error}"),
            "make the folder writable, or fold the log in where it can be written (`PRAGMA wal_checkpoint(TRUNCATE)`)",
        ),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => (
            StepErrorKind::Storage,
            format!("`{shown}` cannot be opened: {error}"),
            "make room on its file system, or mend it, then run the same command again",
        ),
        _ => (
            StepErrorKind::Unavailable,
            format!("`{shown}` cannot be opened: {error}"),
            "check the file's and its folder's permissions for this user",
        ),
    };
    StepError::new(kind, message).with_help(help)
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|e| e.extended_code)
}

fn may_write(path: &Path) -> bool {
    let bits = fs::metadata(path).map(|m| m.permissions().mode() & 0o222 != 0);
    bits.unwrap_or(false) && access(path, Access::WRITE_OK).is_ok()
}

/// Whether its write-ahead log holds anything.
pub(crate) fn has_log(path: &Path) -> bool {
    fs::metadata(sibling(path, "-wal")).is_ok_and(|m| m.len() > 0)
}

fn folder_of(path: &Path) -> std::io::Result<PathBuf> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => Ok(folder.to_owned()),
        _ => std::env::current_dir(),
    }
}

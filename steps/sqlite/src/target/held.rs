//! A snapshot's pages into a living database, while nobody else can commit.
//!
//! Owns the lock: it is taken before the last look at what others wrote and is given up when the pages are committed, so
//! no commit of others falls between the two. With a write-ahead log the transaction of SQLite's own copying holds it,
//! and everybody may read; with a rollback journal the connection keeps its lock from one transaction to the next.

use std::path::Path;

use cutover_core::disk;
use cutover_core::{StepError, fault};
use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::connect;
use super::snapshot::{step, transfer};
use crate::sql::sqlite_error;

/// The whole of the snapshot `from` into the living database `to`, as one transaction. Before any page is copied
/// `settle` runs, while others may read (through other connections, its own too) and cannot commit; when it fails
/// nothing is copied.
///
/// SQLite changes the page size of no database in WAL mode. Where that would be needed the snapshot is first written
/// anew in the page size of `to`, rowids as they are, in the folder `scratch`: this works while others have the
/// database open, and what they made of its page size stays.
pub(crate) fn put_back<T>(
    from: &Connection,
    to: &mut Connection,
    scratch: &Path,
    doing: &str,
    settle: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let failed = |e| sqlite_error(e, doing);
    let number = |conn: &Connection, pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    // Only a look at the file shows which mode others gave it since it was opened.
    number(to, "schema_version").map_err(failed)?;
    let log: String = to.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
    if !log.eq_ignore_ascii_case("wal") {
        return with_journal(from, to, doing, settle);
    }
    let (old, new) = (number(from, "page_size").map_err(failed)?, number(to, "page_size").map_err(failed)?);
    if number(from, "page_count").map_err(failed)? == 0 {
        // The copy of nothing would be committed as soon as it begins.
        return with_log(&blank(new).map_err(failed)?, to, doing, settle);
    }
    if old == new {
        return with_log(from, to, doing, settle);
    }
    // What a crash left there goes first.
    let _ = disk::remove_all(scratch);
    disk::private_dir(scratch)?;
    let result = resized(from, new, scratch, doing).and_then(|resized| with_log(&resized, to, doing, settle));
    let _ = disk::remove_all(scratch);
    result
}

/// The copy takes the lock of writers with its first step, even if that copies nothing. Without its last step it is
/// undone.
fn with_log<T>(
    from: &Connection,
    to: &mut Connection,
    doing: &str,
    settle: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let pages = half(from, doing)?;
    let backup = Backup::new(from, to).map_err(|e| sqlite_error(e, doing))?;
    step(&backup, 0, doing)?;
    let settled = settle()?;
    fault::point(fault::SQLITE_RESTORE_LOCKED);
    copy(&backup, pages, doing)?;
    Ok(settled)
}

/// The copy shuts out readers too. So the lock of a transaction before it, which they may look past, is kept until then.
fn with_journal<T>(
    from: &Connection,
    to: &mut Connection,
    doing: &str,
    settle: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let failed = |e| sqlite_error(e, doing);
    to.execute_batch("PRAGMA locking_mode = EXCLUSIVE").map_err(failed)?;
    let copied = to.execute_batch("BEGIN IMMEDIATE").map_err(failed).and_then(|()| {
        let settled = settle();
        to.execute_batch(if settled.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(failed)?;
        let settled = settled?;
        fault::point(fault::SQLITE_RESTORE_LOCKED);
        let pages = half(from, doing)?;
        copy(&Backup::new(from, to).map_err(failed)?, pages, doing)?;
        Ok(settled)
    });
    // The lock is given up by the next look at the file.
    let freed = to
        .execute_batch("PRAGMA locking_mode = NORMAL")
        .and_then(|()| to.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
        .map_err(failed);
    copied.and_then(|settled| freed.map(|()| settled))
}

/// Half of the pages of `from`; none when it is not worth a step of its own.
fn half(from: &Connection, doing: &str) -> Result<i32, StepError> {
    let pages: i32 =
        from.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(|e| sqlite_error(e, doing))?;
    Ok(pages / 2)
}

/// All pages, in two steps: nobody writes where they come from, and where they go to is locked.
fn copy(backup: &Backup<'_, '_>, half: i32, doing: &str) -> Result<(), StepError> {
    if half > 0 {
        step(backup, half, doing)?;
        fault::point(fault::SQLITE_RESTORE_HALF);
    }
    step(backup, -1, doing)
}

/// An empty database of one page.
fn blank(page_size: i64) -> rusqlite::Result<Connection> {
    let conn = Connection::open_in_memory()?;
    conn.pragma_update(None, "page_size", page_size)?;
    conn.pragma_update(None, "user_version", 0)?;
    Ok(conn)
}

/// `from` as a database in `scratch` with pages of `size` bytes. SQLite gives the pages of an immutable database no
/// other size, so it is a copy that is written anew.
fn resized(from: &Connection, size: i64, scratch: &Path, doing: &str) -> Result<Connection, StepError> {
    let (same, other) = (scratch.join("same.db"), scratch.join("resized.db"));
    let failed = |e| sqlite_error(e, &format!("{doing}: its snapshot cannot be written with pages of {size} bytes"));
    let mut copy = Connection::open(&same).map_err(failed)?;
    copy.execute_batch("PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE").map_err(failed)?;
    transfer(from, &mut copy, doing)?;
    fault::point(fault::SQLITE_RESIZE_COPIED);
    let write = || {
        copy.pragma_update(None, "page_size", size)?;
        copy.execute("VACUUM main INTO ?1", [other.to_string_lossy()])?;
        connect::open_immutable(&other)
    };
    let resized = write().map_err(|e| {
        failed(e).with_help(
            "end every program that has the database open, run `PRAGMA journal_mode = DELETE` in it, then run the \
             same command again; nothing was restored",
        )
    })?;
    fault::point(fault::SQLITE_RESIZED);
    Ok(resized)
}

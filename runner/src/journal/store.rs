//! The journal store: an append-only SQLite file (WAL, `synchronous = FULL`), hash-chained, with the plan files that
//! applied steps were made of kept beside the records by content. Knows how records are kept and chained, not what they mean.
//!
//! Format version 1: `meta(key, value)`, `events(seq, at, run, epoch, plan, body, hash)`, `objects(hash, bytes)`. The version
//! stands in `meta` and in `user_version`: what only one of them says is damage, not another version.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cutover_core::blake3_hex;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::chain::GENESIS;
use super::error::{Damage, JournalError, READ_ONLY, may_write, store, writable};
use super::private::{make_private_file, make_private_folder, refuse_no_folder};
use super::reserve::{self, Reserve};

mod append;
mod aside;
mod read;

use append::not_begun;
pub(crate) use aside::{DAMAGED, damaged_number};
use read::unlike;

/// The format version that this build writes.
pub(super) const VERSION: u32 = 1;
const FILE: &str = "journal.db";
/// SQLITE_READONLY_ROLLBACK.
const HOT_JOURNAL: i32 = 776;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    last: (u64, String),
    max_epoch: u64,
    reserve: Reserve,
    /// Which file is open.
    file: Option<(u64, u64)>,
    /// Whether anything was appended through it.
    begun: bool,
}

impl Journal {
    /// Where the journal of a state folder is.
    pub fn path_in(state: &Path) -> PathBuf {
        state.join(FILE)
    }

    /// Opens the journal for reading; none when there is no journal yet, or nothing in it. Writes nothing.
    pub fn open_read(state: &Path) -> Result<Option<Self>, JournalError> {
        let path = Self::path_in(state);
        if !path.exists() {
            return refuse_no_folder(state).map(|()| None);
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let opened = Connection::open_with_flags(&path, flags).and_then(|c| Ok((is_new(&c)?, c)));
        let opened = match opened {
            // Its first transaction was cut short, before it had a log: whoever writes next takes that back.
            Err(e) if e.sqlite_error().is_some_and(|e| e.extended_code == HOT_JOURNAL) => return Ok(None),
            other => other.map_err(|e| store(&path, e)),
        };
        let (is_new, connection) = match opened {
            Err(JournalError::NoRoom { .. }) => without_shared_memory(&path).map_err(|e| store(&path, e))?,
            other => other?,
        };
        walked_through(&connection).map_err(|e| store(&path, e))?;
        if is_new { Ok(None) } else { Self::checked(connection, path).map(Some) }
    }

    /// Opens the journal for writing, and makes it (file 0600, folder 0700) when there is none.
    ///
    /// All of it is looked at, also what no record of now needs: damage that were met later could not be set aside.
    pub fn open_write(state: &Path) -> Result<Self, JournalError> {
        make_private_folder(state)?;
        let path = Self::path_in(state);
        if !path.exists() {
            Reserve::of(state).keep(reserve::LEAST).map_err(|e| not_begun(&path, e))?;
            make_private_file(&path)?;
        }
        writable(&path)?;
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(&path, flags).map_err(|e| store(&path, e))?;
        connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(|e| store(&path, e))?;
        let is_new = is_new(&connection).map_err(|e| store(&path, e))?;
        walked_through(&connection).map_err(|e| store(&path, e))?;
        if !is_new {
            sound(&connection, &path)?;
        }
        let setup = || -> rusqlite::Result<()> {
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            if is_new {
                connection.execute_batch(&format!(
                    "BEGIN IMMEDIATE;
                     CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
                     CREATE TABLE IF NOT EXISTS events (
                       seq INTEGER PRIMARY KEY, at TEXT NOT NULL, run TEXT NOT NULL, epoch INTEGER NOT NULL,
                       plan TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL);
                     CREATE TABLE IF NOT EXISTS objects (hash TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
                     INSERT OR IGNORE INTO meta (key, value) VALUES ('version', '{VERSION}');
                     PRAGMA user_version = {VERSION};
                     COMMIT"
                ))?;
            }
            Ok(())
        };
        setup().map_err(|e| store(&path, e))?;
        Self::checked(connection, path)
    }

    /// A consistent copy of it in another state folder.
    pub fn copy_to(&self, state: &Path) -> Result<(), JournalError> {
        let path = Self::path_in(state);
        make_private_file(&path)?;
        let copy = || -> rusqlite::Result<()> {
            let mut to = Connection::open(&path)?;
            Backup::new(&self.connection, &mut to)?.run_to_completion(i32::MAX, std::time::Duration::ZERO, None)
        };
        copy().map_err(|e| store(&path, e))
    }

    fn checked(connection: Connection, path: PathBuf) -> Result<Self, JournalError> {
        let read = || -> rusqlite::Result<(Option<String>, u32)> {
            let version = connection.query_row("SELECT value FROM meta WHERE key = 'version'", [], |r| r.get(0));
            Ok((version.optional()?, connection.pragma_query_value(None, "user_version", |r| r.get(0))?))
        };
        let (version, again) = read().map_err(|e| store(&path, e))?;
        let shown = path.display().to_string();
        match version.as_deref().and_then(|v| v.parse::<u32>().ok()) {
            Some(VERSION) if again == VERSION => {}
            Some(found) if found == again && found > VERSION => {
                return Err(JournalError::Newer { path: shown, found: found.to_string() });
            }
            _ => {
                let damage = Damage::File("its format version cannot be read".into());
                return Err(JournalError::Damaged { path: shown, damage });
            }
        }
        let reserve = Reserve::of(path.parent().unwrap_or(Path::new(".")));
        let last = (0, GENESIS.to_owned());
        let file = identity(&path);
        let mut journal = Self { connection, path, last, max_epoch: 0, reserve, file, begun: false };
        journal.verify_chain()?;
        Ok(journal)
    }

    fn damaged(&self, damage: Damage) -> JournalError {
        JournalError::Damaged { path: self.path.display().to_string(), damage }
    }
}

/// Which file it is.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Whether nothing was ever written to it.
fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    let pages: u32 = connection.pragma_query_value(None, "page_count", |r| r.get(0))?;
    Ok(tables == 0 && pages <= 1)
}

/// A journal is read from its beginning to its end: what was read once is not looked at again, and need not stay
/// (in KiB).
fn walked_through(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -256)
}

/// Refuses pages that SQLite finds damaged, and plan files that are not what they were; records have their chain.
fn sound(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let damaged = |what| JournalError::Damaged { path: path.display().to_string(), damage: Damage::File(what) };
    let look = || -> rusqlite::Result<Option<String>> {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
        if found != "ok" {
            return Ok(Some(found.replace('\n', " ")));
        }
        // A header may say so, of a file that may well be written: nothing could be appended.
        if connection.is_readonly(rusqlite::MAIN_DB)? && may_write(path) {
            return Ok(Some(READ_ONLY.to_owned()));
        }
        let mut objects = connection.prepare("SELECT hash, bytes FROM objects")?;
        let mut objects = objects.query([])?;
        while let Some(row) = objects.next()? {
            let (hash, bytes) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_blob()?);
            if blake3_hex(bytes) != hash {
                return Ok(Some(unlike(hash)));
            }
        }
        Ok(None)
    };
    look().map_err(|e| store(path, e))?.map_or(Ok(()), |what| Err(damaged(what)))
}

/// Opens a journal for reading where there is no room for the shared memory of its write-ahead log. Nobody else has it
/// open then. The log is read, and left as it is.
fn without_shared_memory(path: &Path) -> rusqlite::Result<(bool, Connection)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    connection.pragma_update(None, "query_only", true)?;
    Ok((is_new(&connection)?, connection))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod torn;

//! The journal store: an append-only SQLite file (WAL, `synchronous = FULL`), hash-chained, with the plan files that
//! applied steps were made of kept beside the records by content. Knows how records are kept and chained, not what they mean.
//!
//! Format version 1: `meta(key, value)`, `events(seq, at, run, epoch, plan, body, hash)`, `objects(hash, bytes)`. The version
//! stands in `meta` and in `user_version`: what only one of them says is damage, not another version.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::journal::{Entry, PlanState, Record};
use cutover_core::{blake3_hex, disk, fault};
use jiff::Timestamp;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::chain::{GENESIS, link};
use super::error::{Damage, JournalError, READ_ONLY, file, may_write, store, writable};
use super::private::{make_private_file, make_private_folder, refuse_no_folder};
use super::reserve::{self, Reserve};

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

    /// Walks the whole chain once; remembers its end and the highest epoch.
    fn verify_chain(&mut self) -> Result<(), JournalError> {
        let mut last = (0, GENESIS.to_owned());
        let mut max_epoch = 0;
        {
            let mut statement = self
                .connection
                .prepare("SELECT seq, at, run, epoch, plan, body, hash FROM events ORDER BY seq")
                .map_err(|e| store(&self.path, e))?;
            let mut rows = statement.query([]).map_err(|e| store(&self.path, e))?;
            while let Some(row) = rows.next().map_err(|e| store(&self.path, e))? {
                let read = || -> rusqlite::Result<(u64, u64, bool)> {
                    let seq = row.get_ref(0)?.as_i64()?.cast_unsigned();
                    let epoch = row.get_ref(3)?.as_i64()?.cast_unsigned();
                    let text = |i| row.get_ref(i).and_then(|v| Ok(v.as_str()?));
                    let hash = link(&last.1, seq, text(1)?, text(2)?, epoch, text(4)?, text(5)?);
                    Ok((seq, epoch, seq == last.0 + 1 && hash == text(6)?))
                };
                match read() {
                    Ok((seq, epoch, true)) => {
                        last = (seq, row.get(6).map_err(|e| store(&self.path, e))?);
                        max_epoch = max_epoch.max(epoch);
                    }
                    _ => return Err(self.damaged(Damage::Chain(last.0 + 1))),
                }
            }
        }
        self.last = last;
        self.max_epoch = max_epoch;
        Ok(())
    }

    /// The highest epoch ever journalled.
    pub fn max_epoch(&self) -> u64 {
        self.max_epoch
    }

    /// Every record of `plan`, oldest first.
    pub fn entries(&self, plan: &str) -> Result<Vec<Entry>, JournalError> {
        let mut statement = self
            .connection
            .prepare("SELECT seq, at, run, epoch, plan, body FROM events WHERE plan = ?1 ORDER BY seq")
            .map_err(|e| store(&self.path, e))?;
        let rows = statement
            .query_map([plan], |r| {
                Ok((
                    r.get::<_, i64>(0)?.cast_unsigned(),
                    r.get::<_, String>(1)?,
                    r.get::<_, String>(2)?,
                    r.get::<_, i64>(3)?.cast_unsigned(),
                    r.get::<_, String>(4)?,
                    r.get::<_, String>(5)?,
                ))
            })
            .map_err(|e| store(&self.path, e))?;
        let mut entries = Vec::new();
        for row in rows {
            let (seq, at, run, epoch, plan, body) = row.map_err(|e| store(&self.path, e))?;
            let unreadable = |e: &dyn std::fmt::Display| self.damaged(Damage::Record(seq, e.to_string()));
            let at: Timestamp = at.parse().map_err(|e| unreadable(&e))?;
            let record: Record = serde_json::from_str(&body).map_err(|e| unreadable(&e))?;
            entries.push(Entry { seq, at, run, epoch, plan, record });
        }
        Ok(entries)
    }

    /// The names of all plans that it has records of.
    pub fn plans(&self) -> Result<Vec<String>, JournalError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare("SELECT DISTINCT plan FROM events ORDER BY plan")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(|e| store(&self.path, e))
    }

    /// The number of the last record, whatever plan it is about.
    pub fn last_seq(&self) -> u64 {
        self.last.0
    }

    /// Host and process of the last run, of whatever plan, if it has not recorded its end.
    pub fn open_run(&self) -> Result<Option<(String, u32)>, JournalError> {
        let of_last = "SELECT body FROM events WHERE run = (SELECT run FROM events ORDER BY seq DESC LIMIT 1)";
        let one = |order: &str| {
            let sql = format!("{of_last} ORDER BY seq {order} LIMIT 1");
            let body: Option<String> =
                self.connection.query_row(&sql, [], |r| r.get(0)).optional().map_err(|e| store(&self.path, e))?;
            Ok::<_, JournalError>(body.and_then(|body| serde_json::from_str::<Record>(&body).ok()))
        };
        Ok(match (one("ASC")?, one("DESC")?) {
            (_, Some(Record::RunFinished { .. })) => None,
            (Some(Record::RunStarted { host, pid, .. }), _) => Some((host, pid)),
            _ => None,
        })
    }

    /// The fold of `plan`'s records.
    pub fn state(&self, plan: &str) -> Result<PlanState, JournalError> {
        let entries = self.entries(plan)?;
        PlanState::fold(&entries).map_err(|(seq, e)| self.damaged(Damage::Transition(seq, e.to_string())))
    }

    /// Whether the room that is kept for the end of a run had to be used: nothing more may be begun.
    pub fn is_short(&self) -> bool {
        self.reserve.is_given_up()
    }

    /// Appends records in one durable transaction, with the plan files that they refer to.
    ///
    /// Returns the number of the last one. Refuses when another runner has written since. On a full disk the room that
    /// is kept for it is used.
    pub fn append(
        &mut self,
        plan: &str,
        run: &str,
        epoch: u64,
        at: Timestamp,
        records: &[Record],
        objects: &BTreeMap<String, Arc<[u8]>>,
    ) -> Result<u64, JournalError> {
        fault::point(fault::JOURNAL_APPEND);
        let (mut seq, mut hash) = self.last.clone();
        let stamp = at.to_string();
        let mut rows = Vec::with_capacity(records.len());
        for record in records {
            seq += 1;
            let unwritable = |e: serde_json::Error| self.damaged(Damage::Record(seq, e.to_string()));
            let body = serde_json::to_string(record).map_err(unwritable)?;
            hash = link(&hash, seq, &stamp, run, epoch, plan, &body);
            rows.push((seq, body, hash.clone()));
        }
        // What ends the work is about as large as what begins it.
        let bytes = rows.iter().map(|r| r.1.len()).chain(objects.values().map(|o| o.len())).sum::<usize>() as u64;
        match self.reserve.keep(reserve::LEAST + 2 * bytes) {
            Err(error) if !self.begun => return Err(not_begun(&self.path, error)),
            Err(_) => drop(self.reserve.give_up()),
            Ok(()) => {}
        }
        let written = self.write((&stamp, run, epoch, plan), &rows, objects);
        match written {
            Err(JournalError::NoRoom { .. }) if self.reserve.give_up() => {
                self.write((&stamp, run, epoch, plan), &rows, objects)?;
            }
            other => other?,
        }
        fault::point(fault::JOURNAL_APPENDED);
        self.begun = true;
        self.last = (seq, hash);
        self.max_epoch = self.max_epoch.max(epoch);
        Ok(seq)
    }

    /// Makes rows (number, body, hash) and objects durable, together or not at all.
    fn write(
        &mut self,
        (stamp, run, epoch, plan): (&str, &str, u64, &str),
        rows: &[(u64, String, String)],
        objects: &BTreeMap<String, Arc<[u8]>>,
    ) -> Result<(), JournalError> {
        let path = self.path.clone();
        let failed = |e| store(&path, e);
        let unmoved = |known| match identity(&path) {
            now if now == known => Ok(()),
            _ => Err(JournalError::Gone { path: path.display().to_string() }),
        };
        unmoved(self.file)?;
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let found: (i64, i64) = tx
            .query_row(
                "SELECT coalesce(max(seq), 0), (SELECT epoch FROM events ORDER BY seq DESC LIMIT 1) FROM events",
                [],
                |r| Ok((r.get(0)?, r.get::<_, Option<i64>>(1)?.unwrap_or(0))),
            )
            .map_err(failed)?;
        if found.1.cast_unsigned() > epoch || found.0.cast_unsigned() != self.last.0 {
            return Err(JournalError::Fenced { theirs: found.1.cast_unsigned(), ours: epoch });
        }
        {
            let mut put =
                tx.prepare_cached("INSERT OR IGNORE INTO objects (hash, bytes) VALUES (?1, ?2)").map_err(failed)?;
            for (name, bytes) in objects {
                put.execute(params![name, &bytes[..]]).map_err(failed)?;
            }
            let mut insert = tx
                .prepare_cached(
                    "INSERT INTO events (seq, at, run, epoch, plan, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )
                .map_err(failed)?;
            for (seq, body, hash) in rows {
                insert
                    .execute(params![seq.cast_signed(), stamp, run, epoch.cast_signed(), plan, body, hash])
                    .map_err(failed)?;
            }
        }
        tx.commit().map_err(failed)?;
        // SQLite goes on writing a file that was deleted.
        unmoved(self.file)
    }

    /// A plan file as it was when a step was applied, by its BLAKE3; checked against it.
    pub fn object(&self, hash: &str) -> Result<Option<Arc<[u8]>>, JournalError> {
        let bytes: Option<Vec<u8>> = self
            .connection
            .query_row("SELECT bytes FROM objects WHERE hash = ?1", [hash], |r| r.get(0))
            .optional()
            .map_err(|e| store(&self.path, e))?;
        match bytes {
            Some(bytes) if blake3_hex(&bytes) == hash => Ok(Some(bytes.into())),
            Some(_) => Err(self.damaged(Damage::File(unlike(hash)))),
            None => Ok(None),
        }
    }

    /// Moves a damaged journal aside (with its log files) and returns where it is now: numbers tell which came last.
    pub fn set_aside(state: &Path) -> Result<PathBuf, JournalError> {
        let path = Self::path_in(state);
        let entries = fs::read_dir(state).map_err(|source| file(state, source))?.flatten();
        let last = entries.filter_map(|e| damaged_number(&e.file_name().to_string_lossy())).max().unwrap_or(0);
        let aside = state.join(format!("{DAMAGED}{}.db", last.saturating_add(1)));
        // The file itself goes last: a log without it would be deleted by whoever makes the next journal.
        for suffix in ["-shm", "-wal", ""] {
            let from = PathBuf::from(format!("{}{suffix}", path.display()));
            let to = PathBuf::from(format!("{}{suffix}", aside.display()));
            if from.exists() {
                disk::rename(&from, &to).map_err(|source| file(&from, source))?;
            }
        }
        Ok(aside)
    }

    fn damaged(&self, damage: Damage) -> JournalError {
        JournalError::Damaged { path: self.path.display().to_string(), damage }
    }
}

/// Which file it is.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// How the names of damaged journals begin that were set aside.
pub(crate) const DAMAGED: &str = "journal.damaged-";

/// The number in the name of a damaged journal that was set aside, or of one of its log files.
pub(crate) fn damaged_number(name: &str) -> Option<u64> {
    name.strip_prefix(DAMAGED)?.split_once(".db")?.0.parse().ok()
}

/// Whether nothing was ever written to it.
fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    let pages: u32 = connection.pragma_query_value(None, "page_count", |r| r.get(0))?;
    Ok(tables == 0 && pages <= 1)
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

fn unlike(hash: &str) -> String {
    format!("the stored plan file {hash} does not match its hash")
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

/// Room for the end of a run cannot be kept: none is begun.
fn not_begun(path: &Path, source: std::io::Error) -> JournalError {
    match file(path, source) {
        JournalError::NoRoom { path, .. } => JournalError::NoRoom { path, before: true },
        other => other,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod torn;

//! The journal store: an append-only SQLite file (WAL, `synchronous = FULL`), hash-chained, with the plan files that
//! applied steps were made of kept beside the records by content. Knows how records are kept and chained, not what they mean.
//!
//! Format version 1: `meta(key, value)`, `events(seq, at, run, epoch, plan, body, hash)`, `objects(hash, bytes)`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::journal::{Entry, PlanState, Record};
use cutover_core::{blake3_hex, fault};
use jiff::Timestamp;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::chain::{GENESIS, link};
use super::error::{Damage, JournalError, store};
use super::private::{make_private_file, make_private_folder};

/// The format version that this build writes.
pub(super) const VERSION: &str = "1";
const FILE: &str = "journal.db";

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    last: (u64, String),
    max_epoch: u64,
}

impl Journal {
    /// Where the journal of a state folder is.
    pub fn path_in(state: &Path) -> PathBuf {
        state.join(FILE)
    }

    /// Opens the journal for reading; none when there is no journal yet. Writes nothing.
    pub fn open_read(state: &Path) -> Result<Option<Self>, JournalError> {
        let path = Self::path_in(state);
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|e| store(&path, e))?;
        Self::checked(connection, path).map(Some)
    }

    /// Opens the journal for writing, and makes it (file 0600, folder 0700) when there is none.
    pub fn open_write(state: &Path) -> Result<Self, JournalError> {
        make_private_folder(state)?;
        let path = Self::path_in(state);
        if !path.exists() {
            make_private_file(&path)?;
        }
        let connection = Connection::open(&path).map_err(|e| store(&path, e))?;
        let setup = || -> rusqlite::Result<()> {
            connection.busy_timeout(std::time::Duration::from_secs(10))?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.execute_batch(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS events (
                   seq INTEGER PRIMARY KEY, at TEXT NOT NULL, run TEXT NOT NULL, epoch INTEGER NOT NULL,
                   plan TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL);
                 CREATE TABLE IF NOT EXISTS objects (hash TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;",
            )?;
            connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('version', ?1)", [VERSION])?;
            connection.execute_batch("COMMIT")
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
        let version: Option<String> = connection
            .query_row("SELECT value FROM meta WHERE key = 'version'", [], |r| r.get(0))
            .optional()
            .map_err(|e| store(&path, e))?;
        match version.as_deref() {
            Some(VERSION) => {}
            Some(found) => {
                return Err(JournalError::Newer { path: path.display().to_string(), found: found.to_owned() });
            }
            None => {
                let damage = Damage::File("it has no format version".into());
                return Err(JournalError::Damaged { path: path.display().to_string(), damage });
            }
        }
        let mut journal = Self { connection, path, last: (0, GENESIS.to_owned()), max_epoch: 0 };
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

    /// The fold of `plan`'s records.
    pub fn state(&self, plan: &str) -> Result<PlanState, JournalError> {
        let entries = self.entries(plan)?;
        PlanState::fold(&entries).map_err(|(seq, e)| self.damaged(Damage::Transition(seq, e.to_string())))
    }

    /// Appends records in one durable transaction, with the plan files that they refer to.
    ///
    /// Returns the number of the last one. Refuses when another runner has written since.
    pub fn append(
        &mut self,
        plan: &str,
        run: &str,
        epoch: u64,
        at: Timestamp,
        records: Vec<Record>,
        objects: &BTreeMap<String, Arc<[u8]>>,
    ) -> Result<u64, JournalError> {
        fault::point(fault::JOURNAL_APPEND);
        let path = self.path.clone();
        let failed = |e| store(&path, e);
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let found: (i64, Option<String>, i64) = tx
            .query_row(
                "SELECT coalesce(max(seq), 0), (SELECT hash FROM events ORDER BY seq DESC LIMIT 1),
                        (SELECT epoch FROM events ORDER BY seq DESC LIMIT 1) FROM events",
                [],
                |r| Ok((r.get(0)?, r.get(1)?, r.get::<_, Option<i64>>(2)?.unwrap_or(0))),
            )
            .map_err(failed)?;
        if found.2.cast_unsigned() > epoch || found.0.cast_unsigned() != self.last.0 {
            return Err(JournalError::Fenced { theirs: found.2.cast_unsigned(), ours: epoch });
        }
        let (mut seq, mut hash) = self.last.clone();
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
            let stamp = at.to_string();
            for record in records {
                seq += 1;
                let body = serde_json::to_string(&record).map_err(|e| JournalError::Damaged {
                    path: path.display().to_string(),
                    damage: Damage::Record(seq, e.to_string()),
                })?;
                hash = link(&hash, seq, &stamp, run, epoch, plan, &body);
                insert
                    .execute(params![seq.cast_signed(), stamp, run, epoch.cast_signed(), plan, body, hash])
                    .map_err(failed)?;
            }
        }
        tx.commit().map_err(failed)?;
        fault::point(fault::JOURNAL_APPENDED);
        self.last = (seq, hash);
        self.max_epoch = self.max_epoch.max(epoch);
        Ok(seq)
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
            Some(_) => Err(self.damaged(Damage::File(format!("the stored plan file {hash} does not match its hash")))),
            None => Ok(None),
        }
    }

    /// Moves a damaged journal aside (with its log files) and returns where it is now.
    pub fn set_aside(state: &Path, now: Timestamp) -> Result<PathBuf, JournalError> {
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let path = Self::path_in(state);
        let aside = state.join(format!("journal.damaged-{stamp}.db"));
        for suffix in ["", "-wal", "-shm"] {
            let from = PathBuf::from(format!("{}{suffix}", path.display()));
            let to = PathBuf::from(format!("{}{suffix}", aside.display()));
            if from.exists() {
                fs::rename(&from, &to)
                    .map_err(|source| JournalError::File { path: from.display().to_string(), source })?;
            }
        }
        Ok(aside)
    }

    fn damaged(&self, damage: Damage) -> JournalError {
        JournalError::Damaged { path: self.path.display().to_string(), damage }
    }
}

#[cfg(test)]
mod tests;

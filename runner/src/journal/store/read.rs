//! What a journal holds: its chain, walked once, the records of a plan and their fold, and stored plan files.

use std::sync::Arc;

use cutover_core::blake3_hex;
use cutover_core::journal::{Entry, PlanState, Record};
use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::super::chain::{GENESIS, link};
use super::super::error::{Damage, JournalError, store};
use super::Journal;

impl Journal {
    /// Walks the whole chain once; remembers its end and the highest epoch.
    pub(super) fn verify_chain(&mut self) -> Result<(), JournalError> {
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
        let mut entries = Vec::new();
        self.each(plan, |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    /// Hands over every record of `plan`, oldest first, one at a time.
    fn each(&self, plan: &str, mut take: impl FnMut(Entry) -> Result<(), JournalError>) -> Result<(), JournalError> {
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
        for row in rows {
            let (seq, at, run, epoch, plan, body) = row.map_err(|e| store(&self.path, e))?;
            let unreadable = |e: &dyn std::fmt::Display| self.damaged(Damage::Record(seq, e.to_string()));
            let at: Timestamp = at.parse().map_err(|e| unreadable(&e))?;
            let record: Record = serde_json::from_str(&body).map_err(|e| unreadable(&e))?;
            take(Entry { seq, at, run, epoch, plan, record })?;
        }
        Ok(())
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
        let mut state = PlanState::default();
        self.each(plan, |entry| {
            state.push(&entry).map_err(|e| self.damaged(Damage::Transition(entry.seq, e.to_string())))
        })?;
        Ok(state)
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
}

/// What is said of a stored file that is another one by now.
pub(super) fn unlike(hash: &str) -> String {
    format!("the stored plan file {hash} does not match its hash")
}

//! How records get into a journal: chained, durable, refused to whoever was overtaken. On a full disk the room that is kept
//! for the end of a run is used.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cutover_core::fault;
use cutover_core::journal::Record;
use jiff::Timestamp;
use rusqlite::{TransactionBehavior, params};

use super::super::chain::link;
use super::super::error::{Damage, JournalError, file, store};
use super::super::reserve;
use super::{Journal, identity};

impl Journal {
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
        tracing::debug!(records = records.len(), last = seq, epoch, "journalled");
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
}

/// Room for the end of a run cannot be kept: none is begun.
pub(super) fn not_begun(path: &Path, source: std::io::Error) -> JournalError {
    match file(path, source) {
        JournalError::NoRoom { path, .. } => JournalError::NoRoom { path, before: true },
        other => other,
    }
}

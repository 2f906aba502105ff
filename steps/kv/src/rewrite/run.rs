//! The rewriting itself.

use std::mem::take;
use std::path::Path;

use cutover_core::{disk, fault};

use super::cursor::{Cursor, batch_file, hex};
use super::refused::{self, Refusal};
use crate::backup::write_backup;
use crate::copy::Flow;
use crate::error::{KvError, Result};
use crate::record::Record;
use crate::store::{Batch, VersionedStore};

/// A batch is full with as many records looked at, or as many bytes of them.
const RECORDS: usize = 2_000;
const BYTES: usize = 1 << 20;

/// A rewriting that is to be made.
#[derive(Debug)]
pub(crate) struct Rewrite<'a> {
    /// The name of its cursor in the store.
    pub(crate) name: &'a str,
    /// How it begins where none has begun.
    pub(crate) beginning: Cursor,
    /// The folder for what was there before, of this rewriting alone.
    pub(crate) kept: &'a Path,
    /// The list of what nothing can be made of.
    pub(crate) list: &'a Path,
    /// Passed when what a batch replaces is durable and the batch is not written; and when it is written.
    pub(crate) points: [&'static str; 2],
}

/// What is made of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Made {
    /// What it was.
    Same,
    /// That, in its place.
    Other(Record),
    /// Nothing; it stays as it is.
    Nothing(Refusal),
}

/// What a batch will do.
#[derive(Default)]
struct Work {
    looked_at: usize,
    bytes: usize,
    before: Vec<Record>,
    after: Vec<Record>,
    lines: String,
}

impl Rewrite<'_> {
    /// Rewrites `records`, which come from the store in order, or goes on with what an earlier try began. `between` is asked
    /// after each batch.
    pub(crate) fn run(
        &self,
        store: &dyn VersionedStore,
        records: impl Iterator<Item = Result<Record>>,
        mut make: impl FnMut(&Record) -> Made,
        between: &mut dyn FnMut(&Cursor) -> Flow,
    ) -> Result<Cursor> {
        let begun = Cursor::of(self.name, store)?;
        if begun.is_none() {
            // What is left there is of a try that wrote nothing, or of one that was taken back.
            super::cursor::forget(self.kept)?;
        }
        let mut cursor = begun.unwrap_or_else(|| self.beginning.clone());
        if cursor.done {
            return Ok(cursor);
        }
        disk::private_dir(self.kept).map_err(|error| KvError::of(self.kept, error))?;
        let behind = cursor.place(store)?;
        let mut records = records.skip_while(|found| match (found, &behind) {
            (Ok(record), Some((key, version))) => (&record.key, !record.version) <= (key, !*version),
            _ => false,
        });
        loop {
            let mut work = Work::default();
            let mut last = None;
            while work.looked_at < RECORDS && work.bytes < BYTES {
                let Some(record) = records.next().transpose()? else { break };
                last = Some((hex(&record.key), record.version));
                work.add(record, &mut make, &mut cursor);
            }
            cursor.done = work.looked_at < RECORDS && work.bytes < BYTES;
            if let Some((key, version)) = last {
                (cursor.key, cursor.version) = (Some(key), version);
            }
            self.write(store, work, &mut cursor)?;
            if cursor.done || between(&cursor) == Flow::Stop {
                return Ok(cursor);
            }
        }
    }

    fn write(&self, store: &dyn VersionedStore, mut work: Work, cursor: &mut Cursor) -> Result<()> {
        refused::extend(self.list, cursor.listed, &work.lines)?;
        cursor.listed += work.lines.len() as u64;
        let mut batch = Batch::default();
        if !work.before.is_empty() {
            work.before.sort_by(Record::order);
            let file = batch_file(self.kept, cursor.batches);
            write_backup(&file, 0, work.before.iter().cloned().map(Ok))?;
            cursor.batches += 1;
            // What moves to another key leaves its own; an index of its expiry must not stay.
            take(&mut work.before).into_iter().for_each(|record| batch.remove(record));
            work.after.into_iter().for_each(|record| batch.put(record));
        }
        fault::point(self.points[0]);
        let failed = |error| KvError::of(store.path(), std::io::Error::from(error));
        batch.note(&Cursor::note(self.name), serde_json::to_value(&*cursor).map_err(failed)?);
        // Durable each time: what was there before is, and the list says what the cursor says.
        store.write(batch.durable())?;
        fault::point(self.points[1]);
        Ok(())
    }
}

impl Work {
    fn add(&mut self, record: Record, make: &mut impl FnMut(&Record) -> Made, cursor: &mut Cursor) {
        self.looked_at += 1;
        self.bytes += record.key.len() + record.value.len();
        match make(&record) {
            Made::Same => cursor.unchanged += 1,
            Made::Other(after) => {
                cursor.changed += 1;
                cursor.sum.add(&after);
                self.bytes += after.value.len();
                self.before.push(record);
                self.after.push(after);
            }
            Made::Nothing(refusal) => {
                *cursor.refused.entry(refusal.why.to_owned()).or_default() += 1;
                self.lines.push_str(&refusal.line(&record));
            }
        }
    }
}

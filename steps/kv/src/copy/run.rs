//! Copies a source into a store, in batches and loads that carry the place where they end.
//!
//! Owns that a copy which was killed goes on behind the last of them: what it wrote and how far the copy has come are one
//! write of the store, so nothing is left out and nothing is done that is not known to be done.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::reading::Reading;
use super::sort::sorted;
use super::sum::Sum;
use super::writing::Writing;
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;
use crate::source::{Order, RecordSource};
use crate::store::VersionedStore;

/// Memory for sorting.
const MEMORY: usize = 32 << 20;

/// A copy that is to be made.
#[derive(Debug)]
pub struct Copy<'a> {
    /// The name of its cursor in the store.
    pub name: &'a str,
    /// What the source is, so that a copy of another one is not taken up: a digest, say.
    pub identity: &'a str,
    /// Records of this version and later ones are copied; 0 is all.
    pub since: u64,
    /// A folder for sorting, of this copy alone.
    pub scratch: &'a Path,
}

/// What the caller says between two groups of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    On,
    /// End here; the same copy goes on later.
    Stop,
}

/// How far a copy has come, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cursor {
    /// What the source is.
    pub identity: String,
    /// The version that the copy began with.
    pub since: u64,
    /// The last key that was written, in hexadecimal; none before the first.
    pub key: Option<String>,
    /// The version of it.
    pub version: u64,
    /// Records that were written, over all tries.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The highest version among them. The next incremental copy begins with it, not with one more.
    pub max_version: u64,
    /// Over all of them.
    pub sum: Sum,
    /// Whether that was all.
    pub done: bool,
}

impl Cursor {
    /// How far the copy of this name has come in the store, of whatever source; none where it never began.
    pub fn of(name: &str, store: &dyn VersionedStore) -> Result<Option<Self>> {
        let found = store.notes()?.remove(&Self::note(name)).map(serde_json::from_value).transpose();
        found.map_err(|error| {
            let text = format!("the cursor of the copy `{name}` cannot be read: {error}");
            KvError::of(store.path(), KvErrorKind::Malformed(text))
        })
    }

    /// One that has not copied anything yet.
    pub(crate) fn begin(identity: &str, since: u64) -> Self {
        Self {
            identity: identity.to_owned(),
            since,
            key: None,
            version: 0,
            records: 0,
            bytes: 0,
            max_version: 0,
            sum: Sum::default(),
            done: false,
        }
    }

    /// Counts a record.
    pub(crate) fn add(&mut self, record: &Record) {
        self.version = record.version;
        self.key = None;
        self.records += 1;
        self.bytes += (record.key.len() + record.value.len()) as u64;
        self.sum.add(record);
        self.max_version = self.max_version.max(record.version);
    }

    /// The note that a store keeps it under.
    pub(crate) fn note(name: &str) -> String {
        format!("copy:{name}")
    }
}

/// What came of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// How far it has come; `done` unless it was stopped.
    pub cursor: Cursor,
    /// Records that this try wrote.
    pub written: u64,
}

impl Copy<'_> {
    /// Copies, or goes on with what an earlier try began. `between` is asked behind each group of some thousand
    /// records, with the cursor, before they are written: a batch is one group, a load is many.
    ///
    /// A copy that is done is not done again; one of another source or from another version on begins anew, over what is
    /// there: records are put by key and version.
    pub fn run(
        &self,
        source: &dyn RecordSource,
        store: &dyn VersionedStore,
        between: &mut dyn FnMut(&Cursor) -> Flow,
    ) -> Result<Copied> {
        let begun =
            Cursor::of(self.name, store)?.filter(|found| found.identity == self.identity && found.since == self.since);
        let cursor = begun.unwrap_or_else(|| Cursor::begin(self.identity, self.since));
        if cursor.done {
            return Ok(Copied { cursor, written: 0 });
        }
        let behind = last_of(&cursor).map_err(|text| KvError::of(store.path(), KvErrorKind::Malformed(text)))?;
        let records = source.records(self.since)?;
        let mut records: Box<dyn Iterator<Item = Result<Record>> + '_> = match source.order() {
            Order::Sorted => records,
            Order::Unsorted => Box::new(sorted(records, MEMORY, self.scratch)?),
        };
        let next = records.find(|found| match (found, &behind) {
            (Ok(record), Some(last)) => record.order(last).is_gt(),
            _ => true,
        });
        let before = cursor.records;
        let mut reading = Reading::new(records, next.transpose()?, cursor, between);
        let mut writing = Writing::new(store, Cursor::note(self.name));
        // Once at least: that there was nothing to copy is written, too.
        loop {
            writing.some(&mut reading)?;
            if reading.ended() {
                break;
            }
        }
        let cursor = reading.end()?;
        Ok(Copied { written: cursor.records - before, cursor })
    }
}

/// The record that the cursor stands on, by key and version.
fn last_of(cursor: &Cursor) -> Result<Option<Record>, String> {
    let Some(key) = &cursor.key else { return Ok(None) };
    let wrong = || format!("the key `{key}` of a cursor is not hexadecimal");
    let pairs = key.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let key = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<u8>>>().ok_or_else(wrong)?;
    Ok(Some(Record { key, version: cursor.version, ..Record::default() }))
}

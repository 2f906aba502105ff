//! A store of versioned records: what Badger's readers would see, kept in a Rust engine.
//!
//! Owns the contract of such a store and the batch that it takes. `keyed` implements it once over any ordered engine;
//! `sled` and `fjall` are the engines.

mod engine;
mod fjall;
mod highest;
mod keyed;
mod load;
#[cfg(test)]
mod model;
mod newest;
mod parts;
mod sled;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::error::Result;
use crate::record::Record;

pub use self::fjall::Fjall;
pub use self::sled::Sled;
pub use engine::Engine;
pub use keyed::Keyed;
pub(crate) use keyed::clear;

/// A store in sled 0.34.
pub type SledStore = Keyed<Sled>;
/// A store in fjall 3.
pub type FjallStore = Keyed<Fjall>;

/// Records on their way out of a store; the first error ends them.
pub type Records<'a> = Box<dyn Iterator<Item = Result<Record>> + Send + 'a>;

/// Some of a store's records, read when somebody comes to them.
pub type Part<'a> = Box<dyn FnOnce() -> Result<Records<'a>> + Send + 'a>;

/// Records by key and version, with reads as of any version. `now` is the second (since 1970) that expiry is judged by.
///
/// What is deleted or has expired has no value, and neither has an older version of it to a reader: nothing falls
/// through. Nothing is dropped unless a batch says so: what discards earlier versions still has them below it.
/// Iterators see a store that nobody writes to meanwhile; only fjall's stay as they were when they began.
pub trait VersionedStore: fmt::Debug + Send + Sync {
    /// The folder that it lies in.
    fn path(&self) -> &Path;

    /// The newest version of a key up to the version `at`, dead or alive.
    fn newest(&self, key: &[u8], at: u64) -> Result<Option<Record>>;

    /// Every version of every key that begins with `prefix`, in Badger's order, from the version `since` (inclusive) on.
    fn versions(&self, prefix: &[u8], since: u64) -> Result<Records<'_>>;

    /// The same of all keys, in parts that follow one another and may be read at the same time; together they are as of one
    /// moment where iterators are. No key is in two of them.
    fn parts(&self, since: u64) -> Result<Vec<Part<'_>>> {
        Ok(vec![Box::new(move || self.versions(b"", since))])
    }

    /// What has expired by `now`, by the index: the earliest first.
    fn expired(&self, now: u64) -> Result<Records<'_>>;

    /// The store's own entries, by name.
    fn notes(&self) -> Result<BTreeMap<String, Value>>;

    /// Writes all of a batch or nothing of it. When it returns, a durable one is on the disk, and so is all before it.
    fn write(&self, batch: Batch) -> Result<()>;

    /// Writes very many records at once, past the engine's log: all of them and their notes or nothing, durably. Where the engine
    /// has no such way it says so, and takes none. Records come in order, each once, and notes behind them.
    fn load(&self, _loaded: &mut dyn Iterator<Item = Loaded>) -> Result<bool> {
        Ok(false)
    }

    /// Makes durable what was written.
    fn flush(&self) -> Result<()>;

    /// The same before the store is given up, so that the next one who opens it has little to do.
    fn rest(&self) -> Result<()> {
        self.flush()
    }

    /// What a reader as of version `at` finds under a key: the newest version up to there, if it is live.
    fn get(&self, key: &[u8], at: u64, now: u64) -> Result<Option<Record>> {
        Ok(self.newest(key, at)?.filter(|record| record.is_live(now)))
    }

    /// What a reader as of version `at` finds under all keys that begin with `prefix`.
    fn live(&self, prefix: &[u8], at: u64, now: u64) -> Result<Records<'_>> {
        let mut seen: Option<Vec<u8>> = None;
        let newest = self.versions(prefix, 0)?.filter(move |found| {
            let Ok(record) = found else { return true };
            if record.version > at || seen.as_ref() == Some(&record.key) {
                return false;
            }
            seen = Some(record.key.clone());
            record.is_live(now)
        });
        Ok(Box::new(newest))
    }

    /// The highest version that was ever written; 0 before the first.
    fn max_version(&self) -> Result<u64> {
        Ok(self.notes()?.get(MAX_VERSION).and_then(Value::as_u64).unwrap_or(0))
    }
}

/// The note of the highest version that was ever written; to its readers always the number.
pub const MAX_VERSION: &str = "max-version";
/// The note that says in which version of our layout a store is.
pub const FORMAT: &str = "format";
/// The version of the layout that this build writes; newer ones are refused.
pub const FORMAT_VERSION: u64 = 1;

/// What a load takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded {
    /// A record, in the place of what has its key and version.
    Record(Record),
    /// An entry of the store's own, by its name.
    Note(String, Value),
}

/// What is written at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
    pub(crate) notes: BTreeMap<String, Option<Value>>,
    pub(crate) durable: bool,
    bytes: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Put(Record),
    Remove(Record),
}

impl Batch {
    /// Writes a record in the place of what has its key and version.
    pub fn put(&mut self, record: Record) {
        self.bytes += record.key.len() + record.value.len();
        self.changes.push(Change::Put(record));
    }

    /// Removes what has the key and version of `record`, as a reader found it. The version is free again, and older
    /// ones show.
    pub fn remove(&mut self, record: Record) {
        self.bytes += record.key.len();
        self.changes.push(Change::Remove(record));
    }

    /// Keeps an entry of the store's own beside the records.
    pub fn note(&mut self, name: &str, value: Value) {
        self.notes.insert(name.to_owned(), Some(value));
    }

    /// Takes an entry of the store's own away.
    pub fn forget(&mut self, name: &str) {
        self.notes.insert(name.to_owned(), None);
    }

    /// Has it on the disk before the write returns.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// How many records it puts and removes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.notes.is_empty()
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

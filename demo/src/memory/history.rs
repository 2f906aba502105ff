//! What a program wrote, commit by commit, and what a Badger backup of it still has.
//!
//! Owns that: nothing below a delete, no value of what has expired, and below an entry that discards earlier versions the
//! tombstone that Badger makes up for it.

use std::collections::BTreeMap;

use cutover_steps_kv::{Meta, Record};

/// 20 November 2025, noon, UTC, in nanoseconds: when the program began.
const BEGAN: i64 = 1_763_640_000_000_000_000;

/// Commits so far.
#[derive(Debug)]
pub(super) struct History {
    keys: BTreeMap<Vec<u8>, Vec<Record>>,
    records: usize,
    version: u64,
    now: i64,
}

impl History {
    pub(super) fn new() -> Self {
        Self { keys: BTreeMap::new(), records: 0, version: 0, now: BEGAN }
    }

    /// Begins the next commit, that many nanoseconds later.
    pub(super) fn commit(&mut self, after: u64) {
        self.version += 1;
        self.now += after as i64;
    }

    /// Nanoseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// How many records a backup has by now.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    pub(super) fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.push(Record { key: key.into(), value: value.into(), ..Record::default() });
    }

    /// The newest of several entries; `user_meta` is the application's byte.
    pub(super) fn put_marked(&mut self, key: &str, value: impl Into<Vec<u8>>, user_meta: u8) {
        let user_meta = Some(user_meta);
        self.push(Record { key: key.into(), value: value.into(), user_meta, ..Record::default() });
    }

    /// With a time to live that ends in that second; one that is past leaves a backup no value, and nothing below.
    pub(super) fn put_until(&mut self, key: &str, value: impl Into<Vec<u8>>, expires_at: u64, past: bool) {
        let value = if past { Vec::new() } else { value.into() };
        if past {
            self.forget(key);
        }
        self.push(Record { key: key.into(), value, expires_at, ..Record::default() });
    }

    /// In the place of all earlier versions.
    pub(super) fn replace(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.forget(key);
        let version = self.version - 1;
        self.push(Record { key: key.into(), version, meta: Meta::of(Meta::DELETE), ..Record::default() });
        let meta = Meta::of(Meta::DISCARD_EARLIER);
        self.push(Record { key: key.into(), value: value.into(), meta, ..Record::default() });
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.forget(key);
        self.push(Record { key: key.into(), meta: Meta::of(Meta::DELETE), ..Record::default() });
    }

    /// All records, in Badger's order.
    pub(super) fn into_records(self) -> Vec<Record> {
        self.keys.into_values().flat_map(|versions| versions.into_iter().rev()).collect()
    }

    fn forget(&mut self, key: &str) {
        let gone = self.keys.remove(key.as_bytes()).map_or(0, |versions| versions.len());
        self.records -= gone;
    }

    fn push(&mut self, mut record: Record) {
        // What Badger makes up has a version of its own, and no byte of an application.
        if record.version == 0 {
            record.version = self.version;
            record.user_meta.get_or_insert(0);
        }
        let versions = self.keys.entry(record.key.clone()).or_default();
        // The last word of a commit counts.
        match versions.last_mut().filter(|last| last.version == record.version) {
            Some(last) => *last = record,
            None => {
                versions.push(record);
                self.records += 1;
            }
        }
    }
}

//! What is read of a directory against what Badger itself finds in it, and what damage comes to.

mod corpus;
mod damage;
mod fixtures;
mod made;
mod peer;
mod writer;

use std::path::Path;

use cutover_tests::BadgerRecord;

use super::{BadgerDir, BadgerOptions, Key};
use crate::{KvError, Meta, Record};

/// The master keys of the tests: 16, 24 and 32 bytes of this.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn key(bytes: usize) -> Option<Key> {
    Key::of((0..bytes as u8).collect())
}

fn open(folder: &Path, replay: bool) -> Result<BadgerDir, KvError> {
    BadgerDir::open(folder, &BadgerOptions { key: None, replay })
}

#[track_caller]
fn all(directory: &BadgerDir) -> Vec<Record> {
    let records: Result<Vec<_>, _> = directory.scan(0).unwrap().collect();
    let records = records.unwrap();
    assert!(records.is_sorted_by(|a, b| a.order(b).is_lt()), "not in order, or one twice");
    records
}

fn theirs(records: Vec<BadgerRecord>) -> Vec<Record> {
    let record = |r: BadgerRecord| Record {
        key: r.key,
        version: r.version,
        value: r.value,
        user_meta: Some(r.user_meta),
        meta: Meta::of(r.meta),
        expires_at: r.expires_at,
    };
    let mut records: Vec<_> = records.into_iter().map(record).collect();
    records.sort_by(Record::order);
    records
}

#[track_caller]
fn assert_same(ours: &[Record], theirs: &[Record]) {
    for (ours, theirs) in ours.iter().zip(theirs) {
        let name = String::from_utf8_lossy(&theirs.key);
        assert!(ours == theirs, "`{name}` at {}: {ours:?} instead of {theirs:?}", theirs.version);
    }
    assert_eq!(ours.len(), theirs.len());
}

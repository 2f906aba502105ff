//! Records that wait in memory until they are put in order.
//!
//! Owns that they are one piece of memory: a hundred thousand of them by themselves, given back and taken again, cost an
//! allocator more than sorting them.

use std::cmp::Ordering;
use std::ops::Range;

use crate::encoding::{read_value, value};
use crate::record::Record;

/// What a record takes beside its bytes.
pub(super) const OVERHEAD: usize = size_of::<Place>();

/// Records in the order of the source.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a record lies.
#[derive(Debug)]
struct Place {
    begin: usize,
    key: usize,
    rest: usize,
    version: u64,
}

impl Place {
    fn key(&self) -> Range<usize> {
        self.begin..self.begin + self.key
    }

    fn rest(&self) -> Range<usize> {
        let begin = self.begin + self.key;
        begin..begin + self.rest
    }

    fn order(&self, other: &Self, bytes: &[u8]) -> Ordering {
        bytes[self.key()].cmp(&bytes[other.key()]).then(other.version.cmp(&self.version))
    }
}

/// A record as it waits: its key, its version, and the rest as stores keep it.
pub(super) type Parts<'a> = (&'a [u8], u64, &'a [u8]);

impl Waiting {
    pub(super) fn push(&mut self, record: &Record) {
        let (begin, rest) = (self.bytes.len(), value(record));
        self.bytes.extend_from_slice(&record.key);
        self.bytes.extend_from_slice(&rest);
        self.places.push(Place { begin, key: record.key.len(), rest: rest.len(), version: record.version });
    }

    /// Sorts them; of those with one key and version the last stays.
    pub(super) fn sort(&mut self) {
        let Self { bytes, places } = self;
        // Stable: what came later stays behind, and takes the place of what came before.
        places.sort_by(|a, b| a.order(b, bytes));
        places.dedup_by(|later, kept| {
            let same = later.order(kept, bytes).is_eq();
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = Parts<'_>> {
        self.places.iter().map(|place| self.parts_at(place))
    }

    fn parts_at(&self, place: &Place) -> Parts<'_> {
        (&self.bytes[place.key()], place.version, &self.bytes[place.rest()])
    }

    /// Empties it; its memory stays.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// The record at a place of the order; none behind the last.
    pub(super) fn get(&self, at: usize) -> Option<Record> {
        let (key, version, rest) = self.parts_at(self.places.get(at)?);
        read_value(key.to_vec(), version, rest)
    }
}

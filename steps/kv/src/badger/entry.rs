//! What a table or a log holds for one version of one key, before its value is fetched.

use std::cmp::Ordering;

/// Keys of Badger's own begin so.
pub(super) const INTERNAL: &[u8] = b"!badger!";

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) version: u64,
    /// All of Badger's bits.
    pub(super) meta: u8,
    pub(super) user_meta: u8,
    pub(super) expires_at: u64,
    pub(super) value: Stored,
}

/// Where the value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// Here.
    Here(Vec<u8>),
    /// In a record of the value log.
    Value(Pointer),
    /// In a record of the log of a memtable.
    Memory(Pointer),
}

/// A record of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pointer {
    /// The number of the file.
    pub(super) file: u32,
    /// Bytes of the record.
    pub(super) length: u32,
    /// Where it begins.
    pub(super) offset: u32,
}

impl Entry {
    /// Badger's order: keys ascending, of one key the newest version first.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        order((&self.key, self.version), (&other.key, other.version))
    }

    pub(super) fn is_internal(&self) -> bool {
        self.key.starts_with(INTERNAL)
    }
}

/// Badger's order of keys with versions.
pub(super) fn order(one: (&[u8], u64), other: (&[u8], u64)) -> Ordering {
    one.0.cmp(other.0).then(other.1.cmp(&one.1))
}

//! Which version of a key is its newest, for keys that were read or written last.
//!
//! Owns that what it says is so. The newest version has no place of its own in the tree: finding it takes a range, which
//! costs an engine several times what one key does. Where the version is known, its record is one key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes that it may take; beyond that it begins anew.
const ROOM: usize = 8 << 20;
/// What a key takes beside its bytes.
const BESIDE: usize = 64;

/// Newest versions by key: of those that it does not know it says nothing.
#[derive(Debug, Default)]
pub(super) struct Newest {
    known: RwLock<Known>,
    /// Counts what was written: what was read before that may be old.
    writes: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    versions: HashMap<Box<[u8]>, u64>,
    bytes: usize,
}

/// What a write did to a key.
#[derive(Debug)]
pub(super) enum Written {
    Put(u64),
    Removed,
}

impl Newest {
    /// The newest version of a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u64> {
        self.read().versions.get(key).copied()
    }

    /// To be taken before the read whose outcome is learned.
    pub(super) fn mark(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    /// What a reader found to be the newest, unless somebody wrote since its `mark`.
    pub(super) fn learn(&self, key: &[u8], version: u64, mark: u64) {
        let mut known = self.write();
        // Who writes from here on says so behind this one.
        if self.mark() == mark {
            known.insert(key, version);
        }
    }

    /// What was just written; `highest` is the highest version that was ever written, this included. To be called when the
    /// engine has it and before the writer knows.
    pub(super) fn written(&self, changes: &[(Vec<u8>, Written)], highest: impl Fn() -> u64) {
        let mut known = self.write();
        self.writes.fetch_add(1, Ordering::AcqRel);
        for (key, change) in changes {
            match (change, known.versions.get_mut(key.as_slice())) {
                (Written::Put(version), Some(newest)) => *newest = (*newest).max(*version),
                // Of a key that nobody knows, only a version that none is above is surely the newest.
                (Written::Put(version), None) if *version >= highest() => known.insert(key, *version),
                (Written::Put(_), None) => {}
                (Written::Removed, _) => known.forget(key),
            }
        }
    }

    /// Something was written, or may have been.
    pub(super) fn forget_all(&self) {
        let mut known = self.write();
        self.writes.fetch_add(1, Ordering::AcqRel);
        *known = Known::default();
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn insert(&mut self, key: &[u8], version: u64) {
        self.bytes += key.len() + BESIDE;
        if self.bytes > ROOM {
            *self = Self { bytes: key.len() + BESIDE, ..Self::default() };
        }
        if self.versions.insert(key.into(), version).is_some() {
            self.bytes -= key.len() + BESIDE;
        }
    }

    fn forget(&mut self, key: &[u8]) {
        if self.versions.remove(key).is_some() {
            self.bytes -= key.len() + BESIDE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_the_newest_is_known() {
        let newest = Newest::default();
        let put = |key: &str, version, highest: u64| {
            newest.written(&[(key.into(), Written::Put(version))], || highest);
        };
        put("a", 5, 5);
        put("b", 4, 5);
        assert_eq!((newest.find(b"a"), newest.find(b"b")), (Some(5), None));
        put("a", 3, 5);
        assert_eq!(newest.find(b"a"), Some(5));
        put("a", 6, 6);
        assert_eq!(newest.find(b"a"), Some(6));
        newest.written(&[(b"a".to_vec(), Written::Removed)], || 6);
        assert_eq!(newest.find(b"a"), None);
    }

    #[test]
    fn what_was_read_before_a_write_is_not_learned() {
        let newest = Newest::default();
        let mark = newest.mark();
        newest.learn(b"a", 1, mark);
        newest.written(&[(b"b".to_vec(), Written::Put(2))], || 2);
        newest.learn(b"c", 1, mark);
        assert_eq!([&b"a"[..], b"b", b"c"].map(|key| newest.find(key)), [Some(1), Some(2), None]);
        newest.forget_all();
        newest.learn(b"c", 1, newest.mark() - 1);
        assert_eq!([&b"a"[..], b"b", b"c"].map(|key| newest.find(key)), [None; 3]);
    }

    #[test]
    fn it_takes_no_more_than_its_room() {
        let newest = Newest::default();
        for n in 0..ROOM as u64 / 100 {
            newest.learn(format!("{n:040}").as_bytes(), n, newest.mark());
        }
        let known = newest.read();
        assert!(known.bytes <= ROOM && known.bytes == known.versions.len() * (40 + BESIDE), "{}", known.bytes);
        assert!(known.versions.len() > 1);
    }
}

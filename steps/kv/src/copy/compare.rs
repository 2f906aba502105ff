//! Compares two sources record by record, both ways.
//!
//! Owns what differs: what one side lacks, what the other lacks, and what is another record under the same version.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::error::Result;
use crate::record::Record;

/// How many of each sort are named.
const NAMED: usize = 10;
/// Records of one range of keys, which has a checksum of its own.
const RANGE: u64 = 10_000;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Records of the first side.
    pub left: u64,
    /// Records of the second side.
    pub right: u64,
    /// Records that are the same on both sides.
    pub same: u64,
    /// What differs, by how; none where nothing does.
    pub differing: BTreeMap<Differing, u64>,
    /// The first of each sort: how, the key, the version.
    pub named: Vec<(Differing, Vec<u8>, u64)>,
    /// Records of the second side that the first once had and let go: see [`compare_with_backup`].
    pub let_go: u64,
    /// Of each range of keys: its last key, and BLAKE3 (hex) over the records of the first side up to there.
    pub ranges: Vec<(Vec<u8>, String)>,
}

/// How a record differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Differing {
    /// The second side lacks it.
    OnlyLeft,
    /// The first side lacks it.
    OnlyRight,
    /// Its value is another.
    Value,
    /// Its user meta, meta or expiry is another.
    Meta,
}

impl Comparison {
    /// Whether both sides hold the same records.
    pub fn holds(&self) -> bool {
        self.differing.is_empty()
    }

    fn differs(&mut self, how: Differing, record: &Record) {
        let count = self.differing.entry(how).or_default();
        *count += 1;
        if *count <= NAMED as u64 {
            self.named.push((how, record.key.clone(), record.version));
        }
    }
}

/// Compares sorted records, to the end of both sides.
pub fn compare(
    left: impl Iterator<Item = Result<Record>>,
    right: impl Iterator<Item = Result<Record>>,
) -> Result<Comparison> {
    all(left, right, None)
}

/// The same with a backup of Badger's, made `now` (seconds since 1970), as the first side. Such a backup has nothing that lies
/// below a delete, an expired entry or one that discards earlier versions, and no value of what has expired: a store that
/// was filled by earlier backups has that still, and no reader of either sees it.
pub fn compare_with_backup(
    backup: impl Iterator<Item = Result<Record>>,
    right: impl Iterator<Item = Result<Record>>,
    now: u64,
) -> Result<Comparison> {
    all(backup, right, Some(now))
}

fn all(
    left: impl Iterator<Item = Result<Record>>,
    right: impl Iterator<Item = Result<Record>>,
    now: Option<u64>,
) -> Result<Comparison> {
    let expired = |record: &Record| now.is_some_and(|now| record.has_expired(now));
    let hides = |record: &Record| {
        now.is_some() && (record.meta.is_delete() || record.meta.discards_earlier() || expired(record))
    };
    // The key whose further versions the first side let go.
    let mut hidden = None;
    let (mut left, mut right) = (left.peekable(), right.peekable());
    let mut found = Comparison::default();
    let mut range = Range::default();
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(Ok(a)), Some(Ok(b))) => a.order(b),
            (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
            (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
        };
        let a = if order.is_le() { left.next().transpose()? } else { None };
        let b = if order.is_ge() { right.next().transpose()? } else { None };
        found.left += u64::from(a.is_some());
        found.right += u64::from(b.is_some());
        match (&a, &b) {
            (Some(a), Some(b)) if a.same(b) => found.same += 1,
            (Some(a), Some(b))
                if expired(a) && a.value.is_empty() && a.same(&Record { value: Vec::new(), ..b.clone() }) =>
            {
                found.let_go += 1;
            }
            (None, Some(b)) if hidden.as_ref() == Some(&b.key) => found.let_go += 1,
            (Some(a), Some(b)) if a.value != b.value => found.differs(Differing::Value, a),
            (Some(a), Some(_)) => found.differs(Differing::Meta, a),
            (Some(a), None) => found.differs(Differing::OnlyLeft, a),
            (None, Some(b)) => found.differs(Differing::OnlyRight, b),
            (None, None) => {}
        }
        if let Some(record) = a {
            if hides(&record) {
                hidden = Some(record.key.clone());
            }
            found.ranges.extend(range.add(record));
        }
    }
    found.ranges.extend(range.end());
    Ok(found)
}

/// The checksum of the keys since the last range.
#[derive(Default)]
struct Range {
    hasher: blake3::Hasher,
    last: Vec<u8>,
    records: u64,
}

impl Range {
    fn add(&mut self, record: Record) -> Option<(Vec<u8>, String)> {
        // A key's versions stay together.
        let ended = if self.records >= RANGE && record.key != self.last { self.end() } else { None };
        super::sum::hash(&mut self.hasher, &record);
        self.records += 1;
        self.last = record.key;
        ended
    }

    fn end(&mut self) -> Option<(Vec<u8>, String)> {
        let range = std::mem::take(self);
        (range.records > 0).then(|| (range.last, range.hasher.finalize().to_hex().to_string()))
    }
}

//! What a connection is heard to write while a change runs.

use std::collections::BTreeMap;

use rusqlite::types::Value;

use super::reader::Key;

/// Rowids: inclusive ranges.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// As it came.
    pub(crate) fn push(&mut self, rowid: i64) {
        match self.0.last_mut() {
            Some((low, high)) if *low <= rowid && rowid <= high.saturating_add(1) => *high = rowid.max(*high),
            _ => self.0.push((rowid, rowid)),
        }
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Sorts and joins.
    pub(crate) fn settle(&mut self) {
        self.0.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for &(low, high) in &self.0 {
            match joined.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        self.0 = joined;
    }

    /// Whether settled ranges hold `rowid`.
    pub(crate) fn contain(&self, rowid: i64) -> bool {
        let at = self.0.partition_point(|(low, _)| *low <= rowid);
        at > 0 && self.0[at - 1].1 >= rowid
    }

    /// Every rowid, ascending, each once.
    pub(crate) fn settled(mut self) -> Vec<(i64, i64)> {
        self.settle();
        self.0
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = [i64; 2]> + '_ {
        self.0.iter().map(|(low, high)| [*low, *high])
    }
}

/// One row written in a WITHOUT ROWID table, by its key before (none: inserted) and after.
pub(crate) type Move = (Option<Vec<Value>>, Vec<Value>);

/// What one change wrote.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) inserted: BTreeMap<String, Ranges>,
    pub(crate) updated: BTreeMap<String, Ranges>,
    pub(crate) moves: BTreeMap<String, Vec<Move>>,
}

/// Where rows that are in a WITHOUT ROWID table now come from: whether the transaction inserted them, and the key that
/// they had before it (or were inserted with).
pub(crate) type Origins = BTreeMap<Key, (bool, Vec<Value>)>;

/// What earlier changes of the same transaction wrote.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    pub(crate) inserted: BTreeMap<String, Ranges>,
    pub(crate) origins: BTreeMap<String, Origins>,
}

impl Earlier {
    /// Takes in what the change that just ran inserted.
    pub(crate) fn insert(&mut self, heard: &Heard) {
        for (table, ranges) in &heard.inserted {
            let all = self.inserted.entry(table.clone()).or_default();
            all.extend(ranges);
            all.settle();
        }
    }

    /// Follows the rows that `moves` wrote. Returns their keys as they are now.
    pub(crate) fn follow(&mut self, table: &str, moves: Vec<Move>) -> BTreeMap<Key, Vec<Value>> {
        let origins = self.origins.entry(table.to_owned()).or_default();
        let mut now = BTreeMap::new();
        for (from, to) in moves {
            let origin = match from {
                Some(from) => origins.remove(&Key::primary(&from)).unwrap_or((false, from)),
                None => (true, to.clone()),
            };
            origins.insert(Key::primary(&to), origin);
            now.insert(Key::primary(&to), to);
        }
        now
    }
}

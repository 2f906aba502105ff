//! What became of everything that was ever written: what is lost, what is there and should not be.
//!
//! Owns what has to be there: the memory as it was made, record for record, and of each key that the living program wrote
//! every value since it was last forgotten.

use std::collections::BTreeMap;

use cutover_steps_kv::Record;

use super::program::Entry;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Records that the memory had at first.
    pub made: usize,
    /// Values that the program wrote and keys that it forgot.
    pub written: usize,
    /// Records that are there.
    pub found: usize,
    /// What is not there.
    pub lost: Vec<String>,
    /// What is there and was never written, or is there twice.
    pub more: Vec<String>,
}

impl Counted {
    /// Counts `found`, in whatever order.
    pub fn of(made: &[Record], log: &[Entry], mut found: Vec<Record>) -> Self {
        found.sort_by(Record::order);
        let written = log.iter().map(|entry| entry.put.len() + entry.delete.len()).sum();
        let mut counted = Self { made: made.len(), written, found: found.len(), ..Self::default() };
        let is_live = |record: &Record| String::from_utf8_lossy(&record.key).contains(":live_");
        let (live, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(is_live);
        counted.compare(made, &rest);
        counted.live(log, live);
        counted
    }

    /// Both in Badger's order.
    fn compare(&mut self, made: &[Record], found: &[Record]) {
        let (mut made, mut found) = (made.iter().peekable(), found.iter().peekable());
        while let (Some(left), Some(right)) = (made.peek(), found.peek()) {
            match left.order(right) {
                std::cmp::Ordering::Less => self.lost.extend(made.next().map(name)),
                std::cmp::Ordering::Greater => self.more.extend(found.next().map(name)),
                std::cmp::Ordering::Equal => {
                    if !left.same(right) {
                        self.lost.push(format!("{} is another one", name(left)));
                    }
                    made.next();
                    found.next();
                }
            }
        }
        self.lost.extend(made.map(name));
        self.more.extend(found.map(name));
    }

    fn live(&mut self, log: &[Entry], found: Vec<Record>) {
        let mut keys: BTreeMap<String, Written> = BTreeMap::new();
        for entry in log {
            for key in &entry.delete {
                *keys.entry(key.clone()).or_default() = Written { forgotten: true, values: Vec::new() };
            }
            for (key, value) in &entry.put {
                keys.entry(key.clone()).or_default().values.push(value.clone());
            }
        }
        let mut there: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for record in found {
            there.entry(String::from_utf8_lossy(&record.key).into_owned()).or_default().push(record);
        }
        for (key, wanted) in keys {
            let versions = there.remove(&key).unwrap_or_default();
            // Of what is below a delete Badger gives none, and ours all.
            let forgotten = versions.iter().position(|record| record.meta.is_delete());
            if wanted.forgotten && forgotten.is_none() {
                self.lost.push(format!("{key} was forgotten"));
            }
            let mut values: Vec<_> = versions.iter().take(forgotten.unwrap_or(versions.len())).rev().collect();
            for value in &wanted.values {
                match values.iter().position(|record| record.value == value.as_bytes()) {
                    Some(at) => drop(values.remove(at)),
                    None => self.lost.push(format!("{key}: {value}")),
                }
            }
            self.more.extend(values.into_iter().map(name));
        }
        self.more.extend(there.values().flatten().map(name));
    }
}

/// What was written under a key since it was last forgotten.
#[derive(Debug, Default)]
struct Written {
    forgotten: bool,
    values: Vec<String>,
}

fn name(record: &Record) -> String {
    format!("{} version {}", record.key.escape_ascii(), record.version)
}

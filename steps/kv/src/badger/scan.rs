//! The records of a directory: entries with their values, without what is Badger's own.

use std::collections::BTreeMap;

use super::entry::{Entry, Stored, order};
use super::layout::Layout;
use super::merge::Merge;
use super::values::Values;
use crate::record::{Meta, Record};
use crate::{KvError, KvErrorKind, Result};

/// Badger 2 keeps values that garbage collection moved under this key, followed by their own.
const MOVED: &[u8] = b"!badger!move";

/// What a scan met that is no record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries of Badger's own, by the word after `!badger!`.
    pub internal: BTreeMap<String, u64>,
    /// Versions that newer ones have replaced, whose values garbage collection took.
    pub collected: u64,
}

/// Reads a directory once. Ends with the first error.
#[derive(Debug)]
pub struct Scan<'a> {
    layout: &'a Layout,
    merge: Merge<'a>,
    moved: Option<Moved<'a>>,
    values: Values<'a>,
    since: u64,
    /// The key of the entry before.
    before: Option<Vec<u8>>,
    tally: Tally,
    over: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn start(layout: &'a Layout, since: u64) -> Result<Self> {
        let merge = Merge::start(layout, None)?;
        let values = Values::new(layout);
        Ok(Self { layout, merge, moved: None, values, since, before: None, tally: Tally::default(), over: false })
    }

    /// What was met so far that is no record.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn step(&mut self) -> Result<Option<Record>> {
        while let Some(entry) = self.merge.next()? {
            if entry.is_internal() {
                *self.tally.internal.entry(entry.word()).or_default() += 1;
                continue;
            }
            let newest = self.before.as_ref() != Some(&entry.key);
            if newest {
                self.before.get_or_insert_default().clone_from(&entry.key);
            }
            if entry.version < self.since {
                continue;
            }
            if let Some(record) = self.record(entry, newest)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn record(&mut self, entry: Entry, newest: bool) -> Result<Option<Record>> {
        let Entry { key, version, meta, user_meta, expires_at, value } = entry;
        let meta = Meta::of(meta);
        let ends = meta.is_delete() || expires_at != 0;
        let value = match self.values.fetch(&key, version, value)? {
            Some(value) => value,
            None => match self.moved(&key, version)? {
                Some(value) => value,
                // Garbage collection keeps the values that somebody can read: the newest, while they have not expired.
                None if ends => Vec::new(),
                None if !newest => {
                    self.tally.collected += 1;
                    return Ok(None);
                }
                None => return Err(self.gone(&key, version)),
            },
        };
        Ok(Some(Record { key, version, value, user_meta: Some(user_meta), meta, expires_at }))
    }

    fn moved(&mut self, key: &[u8], version: u64) -> Result<Option<Vec<u8>>> {
        let moved = match &mut self.moved {
            Some(moved) => moved,
            none => none.insert(Moved::start(self.layout)?),
        };
        match moved.find(key, version)? {
            Some(entry) => self.values.fetch(&entry.key, version, entry.value),
            None => Ok(None),
        }
    }

    fn gone(&self, key: &[u8], version: u64) -> KvError {
        let key = String::from_utf8_lossy(key).escape_debug().to_string();
        let text = format!("the value of `{key}` at version {version} is in a file of the value log that is not there");
        KvError::of(&self.layout.folder, KvErrorKind::Malformed(text))
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.step().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Entry {
    /// What kind of Badger's own it is.
    fn word(&self) -> String {
        let rest = self.key.get(super::entry::INTERNAL.len()..).unwrap_or_default();
        String::from_utf8_lossy(rest).chars().take_while(char::is_ascii_lowercase).take(12).collect()
    }
}

/// The moved values: their keys are in the order of the keys that they belong to, so that one pass beside the other finds
/// them all.
#[derive(Debug)]
struct Moved<'a> {
    merge: Merge<'a>,
    next: Option<Entry>,
}

impl<'a> Moved<'a> {
    fn start(layout: &'a Layout) -> Result<Self> {
        let mut merge = Merge::start(layout, Some(MOVED))?;
        let next = merge.next()?;
        Ok(Self { merge, next })
    }

    /// The entry of a key and version that come after all that were asked for before.
    fn find(&mut self, key: &[u8], version: u64) -> Result<Option<Entry>> {
        while let Some(entry) = &self.next
            && let Some(of) = entry.key.strip_prefix(MOVED)
        {
            match order((of, entry.version), (key, version)) {
                std::cmp::Ordering::Less => self.next = self.merge.next()?,
                std::cmp::Ordering::Equal => {
                    let pointed = entry.meta & Meta::VALUE_POINTER != 0 || !matches!(entry.value, Stored::Here(_));
                    return Ok((pointed || entry.meta & Meta::DELETE == 0).then(|| entry.clone()));
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }
}

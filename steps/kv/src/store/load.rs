//! Very many records at once, past an engine's log.
//!
//! Owns what a load becomes in the one tree: records, the store's notes and the index of what expires, in the order of their
//! spaces, so that an engine takes all of it in one go.

use std::collections::BTreeMap;
use std::sync::RwLockWriteGuard;

use super::highest::{Highest, Noted};
use super::{Engine, FORMAT, Keyed, Loaded, MAX_VERSION};
use crate::encoding::{DATA, EXPIRY, NOTE, data_key, expiry_key, note_key, value};
use crate::error::Result;
use crate::record::Record;

const _: () = assert!(DATA < NOTE && NOTE < EXPIRY, "a load writes the spaces in this order");

impl<E: Engine> Keyed<E> {
    /// Has the engine take them, if it can.
    pub(super) fn ingest(&self, loaded: &mut dyn Iterator<Item = Loaded>) -> Result<bool> {
        let mut entries = Entries::of(loaded, &self.highest);
        let done = self.engine.ingest(&mut entries);
        let highest = entries.version;
        let Some(mut noted) = entries.noted else { return done };
        if done.is_ok() {
            *noted = Noted::Exactly;
            self.highest.raise(highest);
            drop(noted);
        } else {
            drop(noted);
            // Whether it is in the store only the store can say. Where it cannot, the copy's error is what counts.
            let _ = self.find_highest();
        }
        self.newest.forget_all();
        done
    }
}

/// Keys of the tree and what comes under them, in order.
struct Entries<'a> {
    loaded: &'a mut dyn Iterator<Item = Loaded>,
    highest: &'a Highest,
    /// The highest version of all.
    version: u64,
    notes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Keys of the index of what expires; when the records have ended the last of them is the least.
    index: Vec<Vec<u8>>,
    /// From when the records have ended: whoever writes then would note another version as the highest.
    noted: Option<RwLockWriteGuard<'a, Noted>>,
}

impl<'a> Entries<'a> {
    fn of(loaded: &'a mut dyn Iterator<Item = Loaded>, highest: &'a Highest) -> Self {
        Self { loaded, highest, version: 0, notes: BTreeMap::new(), index: Vec::new(), noted: None }
    }

    fn record(&mut self, record: &Record) -> (Vec<u8>, Vec<u8>) {
        self.version = self.version.max(record.version);
        if record.expires_at != 0 {
            self.index.push(expiry_key(record.expires_at, &record.key, record.version));
        }
        (data_key(&record.key, record.version), value(record))
    }

    fn records_have_ended(&mut self) {
        self.noted = Some(self.highest.alone());
        self.version = self.version.max(self.highest.get());
        if self.version > 0 {
            let note = Noted::Exactly.note(self.version).to_string();
            self.notes.insert(note_key(MAX_VERSION), note.into_bytes());
        }
        self.index.sort_unstable_by(|a, b| b.cmp(a));
    }
}

impl Iterator for Entries<'_> {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.noted.is_none() {
            match self.loaded.next() {
                Some(Loaded::Record(record)) => return Some(self.record(&record)),
                Some(Loaded::Note(name, note)) => {
                    debug_assert!(![FORMAT, MAX_VERSION].contains(&name.as_str()), "`{name}` is the store's own");
                    self.notes.insert(note_key(&name), note.to_string().into_bytes());
                }
                None => self.records_have_ended(),
            }
        }
        self.notes.pop_first().or_else(|| Some((self.index.pop()?, Vec::new())))
    }
}

//! Very many records at once, past an engine's log.
//!
//! Owns what a load becomes in the one tree: records, the store's notes and the index of what expires, in the order of their
//! spaces, so that an engine takes all of it in one go.

use std::collections::BTreeMap;
use std::{iter, mem};

use super::highest::Noted;
use super::{Engine, FORMAT, Keyed, Loaded, MAX_VERSION};
use crate::encoding::{DATA, EXPIRY, NOTE, data_key, expiry_key, note_key, value};
use crate::error::Result;

const _: () = assert!(DATA < NOTE && NOTE < EXPIRY, "a load writes the spaces in this order");

impl<E: Engine> Keyed<E> {
    /// Has the engine take them, if it can.
    pub(super) fn ingest(&self, loaded: &mut dyn Iterator<Item = Loaded>) -> Result<bool> {
        let mut highest = 0;
        let (mut notes, mut index) = (BTreeMap::new(), Vec::new());
        // From when the records have ended: whoever writes then would note another version as the highest.
        let mut noted = None;
        let mut behind: Option<Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)>>> = None;
        let mut entries = iter::from_fn(|| {
            while behind.is_none() {
                match loaded.next() {
                    Some(Loaded::Record(record)) => {
                        highest = highest.max(record.version);
                        if record.expires_at != 0 {
                            index.push(expiry_key(record.expires_at, &record.key, record.version));
                        }
                        return Some((data_key(&record.key, record.version), value(&record)));
                    }
                    Some(Loaded::Note(name, note)) => {
                        debug_assert!(![FORMAT, MAX_VERSION].contains(&name.as_str()), "`{name}` is the store's own");
                        notes.insert(note_key(&name), note.to_string().into_bytes());
                    }
                    None => {
                        noted = Some(self.highest.alone());
                        highest = highest.max(self.highest.get());
                        if highest > 0 {
                            let note = Noted::Exactly.note(highest).to_string();
                            notes.insert(note_key(MAX_VERSION), note.into_bytes());
                        }
                        index.sort_unstable();
                        let index = mem::take(&mut index).into_iter().map(|key| (key, Vec::new()));
                        behind = Some(Box::new(mem::take(&mut notes).into_iter().chain(index)));
                    }
                }
            }
            behind.as_mut()?.next()
        });
        let done = self.engine.ingest(&mut entries);
        drop(entries);
        let Some(mut noted) = noted else { return done };
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

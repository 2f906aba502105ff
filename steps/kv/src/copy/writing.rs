//! What a copy writes.
//!
//! Owns how much is written at a time: batches first, and once a copy proves to be a large one, loads where the store takes them.

use std::{iter, mem};

use cutover_core::fault;
use serde_json::json;

use super::reading::Reading;
use crate::error::Result;
use crate::store::{Batch, Loaded, VersionedStore};

/// Bytes after which what was written is made durable, so that a power cut does not cost the whole copy.
const DURABLE_AFTER: usize = 16 << 20;
/// Bytes that a copy writes in batches before it loads: so much they do in no time.
const LOAD_AFTER: usize = 1 << 20;
/// Bytes of a load, which whoever is killed in the middle of it writes again.
const LOAD: usize = 64 << 20;
/// What a record takes beside its bytes, and its place in the index of what expires, which waits in memory.
const BESIDE: usize = 64;

/// The store that records go into.
pub(super) struct Writing<'s> {
    store: &'s dyn VersionedStore,
    /// The name that it keeps the cursor under.
    note: String,
    /// Bytes that this try wrote in batches; none where the store takes no loads.
    batched: Option<usize>,
    /// Bytes of batches that may not be on the disk.
    undurable: usize,
}

impl<'s> Writing<'s> {
    pub(super) fn new(store: &'s dyn VersionedStore, note: String) -> Self {
        Self { store, note, batched: Some(0), undurable: 0 }
    }

    /// Writes some of what is to be read, and how far that is.
    pub(super) fn some(&mut self, reading: &mut Reading<'_>) -> Result<()> {
        if self.batched.is_some_and(|bytes| bytes >= LOAD_AFTER) {
            if self.load(reading)? {
                fault::point(fault::KV_COPY_LOADED);
                self.undurable = 0;
                return Ok(());
            }
            self.batched = None;
        }
        self.batch(reading)
    }

    fn batch(&mut self, reading: &mut Reading<'_>) -> Result<()> {
        let mut batch = Batch::default();
        while let Some(record) = reading.next() {
            batch.put(record);
            if reading.at_place() {
                break;
            }
        }
        batch.note(&self.note, json!(reading.cursor()));
        self.batched = self.batched.map(|bytes| bytes + batch.bytes());
        self.undurable += batch.bytes();
        let durable = reading.ended() || self.undurable >= DURABLE_AFTER;
        self.undurable = if durable { 0 } else { self.undurable };
        self.store.write(if durable { batch.durable() } else { batch })
    }

    /// Whether the store takes them.
    fn load(&mut self, reading: &mut Reading<'_>) -> Result<bool> {
        let (mut bytes, mut ended) = (0, false);
        let mut loaded = iter::from_fn(|| {
            if (bytes < LOAD || !reading.at_place())
                && let Some(record) = reading.next()
            {
                let copies = 1 + usize::from(record.expires_at != 0);
                bytes += copies * (record.key.len() + BESIDE) + record.value.len();
                return Some(Loaded::Record(record));
            }
            let cursor = || {
                fault::point(fault::KV_COPY_LOAD);
                Loaded::Note(self.note.clone(), json!(reading.cursor()))
            };
            (!mem::replace(&mut ended, true)).then(cursor)
        });
        self.store.load(&mut loaded)
    }
}

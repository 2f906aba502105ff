//! What a copy writes.
//!
//! Owns how much is written at a time: batches first, and once a copy proves to be a large one, loads where the store takes them.

use std::{iter, mem};

use serde_json::json;

use super::reading::Reading;
use crate::error::Result;
use crate::store::{Batch, Loaded, VersionedStore};

/// Bytes after which what was written is made durable, so that a power cut does not cost the whole copy.
const DURABLE_AFTER: usize = 16 << 20;
/// Bytes that a copy writes in batches before it loads: so much they do in no time.
const LOAD_AFTER: usize = 8 << 20;
/// Bytes of a load, which whoever is killed in the middle of it writes again.
const LOAD: usize = 64 << 20;

/// The store that records go into.
pub(super) struct Writing<'s> {
    pub(super) store: &'s dyn VersionedStore,
    /// The name that it keeps the cursor under.
    pub(super) note: String,
    /// Bytes that this try wrote in batches.
    pub(super) written: usize,
    /// Those of them that may not be on the disk.
    pub(super) undurable: usize,
}

impl Writing<'_> {
    /// Writes some of what is to be read, and how far that is.
    pub(super) fn some(&mut self, reading: &mut Reading<'_>) -> Result<()> {
        if self.written >= LOAD_AFTER && self.load(reading)? {
            return Ok(());
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
        self.written += batch.bytes();
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
                // What expires is in an index as well, which waits in memory.
                let copies = 1 + usize::from(record.expires_at != 0);
                bytes += copies * record.key.len() + record.value.len();
                return Some(Loaded::Record(record));
            }
            let cursor = || Loaded::Note(self.note.clone(), json!(reading.cursor()));
            (!mem::replace(&mut ended, true)).then(cursor)
        });
        self.store.load(&mut loaded)
    }
}

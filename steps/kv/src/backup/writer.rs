//! Writes a backup that Badger restores.
//!
//! Owns the frames: at most 4 MB, as Badger 2 writes them, unless one key's versions take more, which are never divided.

use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::wire::push_kv;
use super::{Sidecar, Tally};
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;

/// Bytes of a frame, its length not counted.
pub(super) const FRAME: usize = 4 << 20;
/// Bytes of the record that goes beyond it, mostly.
const SPARE: usize = 64 << 10;

/// Takes records in Badger's order and writes them.
#[derive(Debug)]
pub struct BackupWriter<W> {
    frames: Frames,
    sink: Sink<W>,
}

impl<W: Write> BackupWriter<W> {
    /// Writes to `output`; `path` is what errors call it.
    pub fn new(output: W, path: &Path) -> Self {
        Self { frames: Frames::new(path, FRAME), sink: Sink::new(output, path) }
    }

    /// Writes smaller frames.
    #[cfg(test)]
    pub(super) fn with_frames_of(mut self, largest_frame: usize) -> Self {
        self.frames.largest_frame = largest_frame;
        self
    }

    /// Adds a record. It has to come behind the one before it in [`Record::order`].
    pub fn push(&mut self, record: &Record) -> Result<()> {
        match self.frames.push(record)? {
            Some(frame) => self.sink.write(&frame),
            None => Ok(()),
        }
    }

    /// Writes what is left, and says what the backup holds since the version `since`, and what its bytes are.
    pub fn finish(mut self, since: u64) -> Result<(W, Sidecar)> {
        if let Some(frame) = self.frames.rest() {
            self.sink.write(&frame)?;
        }
        self.sink.finish(&self.frames.count, since)
    }
}

/// What frames hold.
#[derive(Debug, Default)]
pub(super) struct Count {
    keys: u64,
    pub(super) tally: Tally,
    first: Option<(Vec<u8>, u64)>,
    last: Option<(Vec<u8>, u64)>,
}

impl Count {
    /// Adds what comes behind.
    pub(super) fn add(&mut self, path: &Path, next: Self) -> Result<()> {
        if let (Some((last, _)), Some((first, version))) = (&self.last, &next.first)
            && last >= first
        {
            return Err(out_of_order(path, first, *version));
        }
        self.keys += next.keys;
        self.tally.add(&next.tally);
        self.first = self.first.take().or(next.first);
        self.last = next.last.or(self.last.take());
        Ok(())
    }
}

fn out_of_order(path: &Path, key: &[u8], version: u64) -> KvError {
    let text = format!("version {version} of `{}` comes out of order", String::from_utf8_lossy(key).escape_debug());
    KvError::of(path, KvErrorKind::Malformed(text))
}

/// Records on their way into frames.
#[derive(Debug)]
pub(super) struct Frames {
    path: PathBuf,
    frame: Vec<u8>,
    /// Where the records of the last key begin in the frame.
    key_begin: usize,
    pub(super) count: Count,
    largest_frame: usize,
}

impl Frames {
    pub(super) fn new(path: &Path, largest_frame: usize) -> Self {
        let (frame, count) = (Vec::new(), Count::default());
        Self { path: path.to_owned(), frame, key_begin: 0, count, largest_frame }
    }

    /// Adds a record; gives the frame that became full.
    pub(super) fn push(&mut self, record: &Record) -> Result<Option<Vec<u8>>> {
        match &mut self.count.last {
            Some((key, version)) if *key == record.key && *version > record.version => *version = record.version,
            Some((key, _)) if *key >= record.key => return Err(out_of_order(&self.path, &record.key, record.version)),
            last => {
                let (key, version) = last.get_or_insert_default();
                key.clone_from(&record.key);
                *version = record.version;
                self.key_begin = self.frame.len();
                self.count.keys += 1;
                self.count.first.get_or_insert_with(|| (record.key.clone(), record.version));
            }
        }
        push_kv(&mut self.frame, record);
        self.count.tally.count(record);
        if self.frame.len() <= self.largest_frame || self.key_begin == 0 {
            return Ok(None);
        }
        // One key may have taken far more than a frame.
        let mut next = Vec::with_capacity((self.largest_frame + SPARE).min(self.frame.capacity()));
        next.extend_from_slice(&self.frame[self.key_begin..]);
        self.frame.truncate(self.key_begin);
        self.key_begin = 0;
        self.count.tally.frames += 1;
        Ok(Some(std::mem::replace(&mut self.frame, next)))
    }

    /// What is left of them.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        if self.frame.is_empty() {
            return None;
        }
        self.count.tally.frames += 1;
        Some(std::mem::take(&mut self.frame))
    }
}

/// Frames on their way to where they are written.
#[derive(Debug)]
pub(super) struct Sink<W> {
    output: W,
    path: PathBuf,
    bytes: u64,
    blake3: blake3::Hasher,
    sha256: Sha256,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(output: W, path: &Path) -> Self {
        Self { output, path: path.to_owned(), bytes: 0, blake3: blake3::Hasher::new(), sha256: Sha256::new() }
    }

    pub(super) fn write(&mut self, frame: &[u8]) -> Result<()> {
        let length = (frame.len() as u64).to_le_bytes();
        for part in [&length[..], frame] {
            self.output.write_all(part).map_err(|error| KvError::at(&self.path, self.bytes, error))?;
            self.blake3.update(part);
            self.sha256.update(part);
            self.bytes += part.len() as u64;
        }
        Ok(())
    }

    pub(super) fn finish(mut self, count: &Count, since: u64) -> Result<(W, Sidecar)> {
        self.output.flush().map_err(|error| KvError::of(&self.path, error))?;
        let sidecar = Sidecar {
            version: Sidecar::VERSION,
            bytes: self.bytes,
            blake3: self.blake3.finalize().to_hex().to_string(),
            sha256: hex(&self.sha256.finalize()),
            since,
            max_version: count.tally.max_version,
            frames: count.tally.frames,
            keys: count.keys,
            records: count.tally.records,
            deletes: count.tally.deletes,
            made_by: None,
        };
        Ok((self.output, sidecar))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

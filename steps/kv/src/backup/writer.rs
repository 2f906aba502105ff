//! Writes a backup file that Badger restores.
//!
//! Owns the frames: at most 4 MB, as Badger 2 writes them, unless one key's versions take more, which are never divided.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use cutover_core::{StepError, disk};
use sha2::{Digest, Sha256};

use super::wire::push_kv;
use super::{Sidecar, Tally};
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;

/// Bytes of a frame, its length not counted.
const FRAME: usize = 4 << 20;
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
        Self { frames: Frames::new(path), sink: Sink::new(output, path) }
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
        self.sink.finish(&self.frames, since)
    }
}

/// Records on their way into frames.
#[derive(Debug)]
struct Frames {
    path: PathBuf,
    frame: Vec<u8>,
    /// Where the records of the last key begin in the frame.
    key_begin: usize,
    last: Option<(Vec<u8>, u64)>,
    keys: u64,
    tally: Tally,
    largest_frame: usize,
}

impl Frames {
    fn new(path: &Path) -> Self {
        let (frame, tally) = (Vec::new(), Tally::default());
        Self { path: path.to_owned(), frame, key_begin: 0, last: None, keys: 0, tally, largest_frame: FRAME }
    }

    /// Adds a record; gives the frame that became full.
    fn push(&mut self, record: &Record) -> Result<Option<Vec<u8>>> {
        match &mut self.last {
            Some((key, version)) if *key == record.key && *version > record.version => *version = record.version,
            Some((key, _)) if *key >= record.key => {
                let key = String::from_utf8_lossy(&record.key);
                let text = format!("version {} of `{}` comes out of order", record.version, key.escape_debug());
                return Err(KvError::of(&self.path, KvErrorKind::Malformed(text)));
            }
            last => {
                let (key, version) = last.get_or_insert_default();
                key.clone_from(&record.key);
                *version = record.version;
                self.key_begin = self.frame.len();
                self.keys += 1;
            }
        }
        push_kv(&mut self.frame, record);
        self.tally.count(record);
        if self.frame.len() <= self.largest_frame || self.key_begin == 0 {
            return Ok(None);
        }
        // One key may have taken far more than a frame.
        let mut next = Vec::with_capacity((self.largest_frame + SPARE).min(self.frame.capacity()));
        next.extend_from_slice(&self.frame[self.key_begin..]);
        self.frame.truncate(self.key_begin);
        self.key_begin = 0;
        self.tally.frames += 1;
        Ok(Some(std::mem::replace(&mut self.frame, next)))
    }

    /// What is left of them.
    fn rest(&mut self) -> Option<Vec<u8>> {
        if self.frame.is_empty() {
            return None;
        }
        self.tally.frames += 1;
        Some(std::mem::take(&mut self.frame))
    }
}

/// Frames on their way to where they are written.
#[derive(Debug)]
struct Sink<W> {
    output: W,
    path: PathBuf,
    bytes: u64,
    blake3: blake3::Hasher,
    sha256: Sha256,
}

impl<W: Write> Sink<W> {
    fn new(output: W, path: &Path) -> Self {
        Self { output, path: path.to_owned(), bytes: 0, blake3: blake3::Hasher::new(), sha256: Sha256::new() }
    }

    fn write(&mut self, frame: &[u8]) -> Result<()> {
        let length = (frame.len() as u64).to_le_bytes();
        for part in [&length[..], frame] {
            self.output.write_all(part).map_err(|error| KvError::at(&self.path, self.bytes, error))?;
            self.blake3.update(part);
            self.sha256.update(part);
            self.bytes += part.len() as u64;
        }
        Ok(())
    }

    fn finish(mut self, frames: &Frames, since: u64) -> Result<(W, Sidecar)> {
        self.output.flush().map_err(|error| KvError::of(&self.path, error))?;
        let sidecar = Sidecar {
            version: Sidecar::VERSION,
            bytes: self.bytes,
            blake3: self.blake3.finalize().to_hex().to_string(),
            sha256: hex(&self.sha256.finalize()),
            since,
            max_version: frames.tally.max_version,
            frames: frames.tally.frames,
            keys: frames.keys,
            records: frames.tally.records,
            deletes: frames.tally.deletes,
            made_by: None,
        };
        Ok((self.output, sidecar))
    }
}

/// Writes records, in Badger's order, as the backup `path` with its sidecar beside it. Until it is whole and on the disk,
/// nothing is there under its name.
pub fn write_backup(path: &Path, since: u64, records: impl Iterator<Item = Result<Record>>) -> Result<Sidecar> {
    write_backup_of(path, since, None, records)
}

/// The same by a step, which its sidecar names.
pub(crate) fn write_backup_of(
    path: &Path,
    since: u64,
    made_by: Option<&str>,
    records: impl Iterator<Item = Result<Record>>,
) -> Result<Sidecar> {
    let of_disk = |error: StepError| KvError::of(path, error);
    let partial = disk::partial_name(path).map_err(of_disk)?;
    let of_file = |error: io::Error| KvError::of(path, error);
    let file = disk::create(&partial).map_err(of_file)?;
    let (file, mut sidecar) = beside(file, path, since, records)?;
    sidecar.made_by = made_by.map(str::to_owned);
    file.sync_all().map_err(of_file)?;
    drop(file);
    // The sidecar first: a backup without one would be taken for one of Badger's own.
    sidecar.write(path)?;
    disk::rename(&partial, path).map_err(of_file)?;
    disk::sync_parent(path).map_err(of_disk)?;
    Ok(sidecar)
}

/// Frames are hashed and written beside the reading of the next ones.
fn beside<W: Write + Send>(
    output: W,
    path: &Path,
    since: u64,
    records: impl Iterator<Item = Result<Record>>,
) -> Result<(W, Sidecar)> {
    let (mut frames, mut sink) = (Frames::new(path), Sink::new(output, path));
    std::thread::scope(|scope| {
        let (full, coming) = mpsc::sync_channel::<Vec<u8>>(1);
        let writing = scope.spawn(move || coming.into_iter().try_for_each(|frame| sink.write(&frame)).map(|()| sink));
        for record in records {
            // Who takes no more has failed, and says why.
            if let Some(frame) = frames.push(&record?)?
                && full.send(frame).is_err()
            {
                break;
            }
        }
        if let Some(frame) = frames.rest() {
            let _ = full.send(frame);
        }
        drop(full);
        let sink = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        sink.finish(&frames, since)
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

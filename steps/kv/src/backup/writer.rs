//! Writes a backup file that Badger restores.
//!
//! Owns the frames: at most 4 MB, as Badger 2 writes them, unless one key's versions take more, which are never divided.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cutover_core::{StepError, disk};
use sha2::{Digest, Sha256};

use super::wire::push_kv;
use super::{Sidecar, Tally};
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;

/// Bytes of a frame, its length not counted.
const FRAME: usize = 4 << 20;

/// Takes records in Badger's order and writes them.
#[derive(Debug)]
pub struct BackupWriter<W> {
    output: W,
    path: PathBuf,
    frame: Vec<u8>,
    /// Where the records of the last key begin in the frame.
    key_begin: usize,
    last: Option<(Vec<u8>, u64)>,
    keys: u64,
    bytes: u64,
    blake3: blake3::Hasher,
    sha256: Sha256,
    tally: Tally,
    largest_frame: usize,
}

impl<W: Write> BackupWriter<W> {
    /// Writes to `output`; `path` is what errors call it.
    pub fn new(output: W, path: &Path) -> Self {
        Self {
            output,
            path: path.to_owned(),
            frame: Vec::new(),
            key_begin: 0,
            last: None,
            keys: 0,
            bytes: 0,
            blake3: blake3::Hasher::new(),
            sha256: Sha256::new(),
            tally: Tally::default(),
            largest_frame: FRAME,
        }
    }

    /// Writes smaller frames.
    #[cfg(test)]
    pub(super) fn with_frames_of(self, largest_frame: usize) -> Self {
        Self { largest_frame, ..self }
    }

    /// Adds a record. It has to come behind the one before it in [`Record::order`].
    pub fn push(&mut self, record: &Record) -> Result<()> {
        match &mut self.last {
            Some((key, version)) if *key == record.key && *version > record.version => *version = record.version,
            Some((key, _)) if *key >= record.key => {
                let key = String::from_utf8_lossy(&record.key);
                let text = format!("version {} of `{}` comes out of order", record.version, key.escape_debug());
                return Err(KvError::of(&self.path, KvErrorKind::Malformed(text)));
            }
            last => {
                *last = Some((record.key.clone(), record.version));
                self.key_begin = self.frame.len();
                self.keys += 1;
            }
        }
        push_kv(&mut self.frame, record);
        self.tally.count(record);
        if self.frame.len() > self.largest_frame && self.key_begin > 0 {
            self.write_frame(self.key_begin)?;
        }
        Ok(())
    }

    /// Writes what is left, and says what the backup holds since the version `since`, and what its bytes are.
    pub fn finish(mut self, since: u64) -> Result<(W, Sidecar)> {
        if !self.frame.is_empty() {
            self.write_frame(self.frame.len())?;
        }
        self.output.flush().map_err(|error| KvError::of(&self.path, error))?;
        let sidecar = Sidecar {
            version: Sidecar::VERSION,
            bytes: self.bytes,
            blake3: self.blake3.finalize().to_hex().to_string(),
            sha256: hex(&self.sha256.finalize()),
            since,
            max_version: self.tally.max_version,
            frames: self.tally.frames,
            keys: self.keys,
            records: self.tally.records,
            deletes: self.tally.deletes,
            made_by: None,
        };
        Ok((self.output, sidecar))
    }

    fn write_frame(&mut self, len: usize) -> Result<()> {
        let length = (len as u64).to_le_bytes();
        for part in [&length[..], &self.frame[..len]] {
            self.output.write_all(part).map_err(|error| KvError::at(&self.path, self.bytes, error))?;
            self.blake3.update(part);
            self.sha256.update(part);
            self.bytes += part.len() as u64;
        }
        self.frame.drain(..len);
        self.key_begin = 0;
        self.tally.frames += 1;
        Ok(())
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
    let mut writer = BackupWriter::new(file, path);
    for record in records {
        writer.push(&record?)?;
    }
    let (file, mut sidecar) = writer.finish(since)?;
    sidecar.made_by = made_by.map(str::to_owned);
    file.sync_all().map_err(of_file)?;
    drop(file);
    // The sidecar first: a backup without one would be taken for one of Badger's own.
    sidecar.write(path)?;
    disk::rename(&partial, path).map_err(of_file)?;
    disk::sync_parent(path).map_err(of_disk)?;
    Ok(sidecar)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

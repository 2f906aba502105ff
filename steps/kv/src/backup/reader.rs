//! Reads a backup file record by record.
//!
//! Owns that memory stays that of one record, whatever the frames are, and that what is wrong is told with its byte.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::Tally;
use super::wire::{LIST_KV, Wire, field, read_kv};
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;

const BUFFER: usize = 256 << 10;
/// What is set aside for a record before its bytes are there: a length alone must not take memory.
const BELIEVED: u64 = 1 << 20;

/// What a backup may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a frame. Go's protobuf does not go beyond 2 GiB.
    pub frame: u64,
    /// Bytes of a record. Badger's value log files, and so its values, stay below 2 GiB; by default they are below 1.
    pub record: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame: (2 << 30) - 1, record: 1 << 30 }
    }
}

/// The records of a backup in the order of the file. After an error it has ended.
#[derive(Debug)]
pub struct BackupReader<R> {
    input: R,
    path: PathBuf,
    limits: Limits,
    /// Bytes of the file, where they are known.
    total: Option<u64>,
    /// Bytes read.
    at: u64,
    /// Where the present frame ends.
    frame_end: u64,
    scratch: Vec<u8>,
    tally: Tally,
    ended: bool,
}

impl BackupReader<BufReader<File>> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KvError::of(path, KvErrorKind::Missing("no such backup file".to_owned())),
            _ => KvError::of(path, error),
        })?;
        let meta = file.metadata().map_err(|error| KvError::of(path, error))?;
        if meta.is_dir() {
            return Err(KvError::of(path, KvErrorKind::Malformed("a folder, not a backup file".to_owned())));
        }
        let total = meta.is_file().then_some(meta.len());
        Ok(Self { total, ..Self::new(BufReader::with_capacity(BUFFER, file), path) })
    }
}

impl<R: BufRead> BackupReader<R> {
    /// Reads what is not a file: a pipe, say. `path` is what errors call it.
    pub fn new(input: R, path: &Path) -> Self {
        Self {
            input,
            path: path.to_owned(),
            limits: Limits::default(),
            total: None,
            at: 0,
            frame_end: 0,
            scratch: Vec::new(),
            tally: Tally::default(),
            ended: false,
        }
    }

    /// Refuses more than `limits`.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What was read so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// Bytes that it holds beside its input's buffer.
    #[cfg(test)]
    pub(super) fn scratch(&self) -> usize {
        self.scratch.capacity()
    }

    fn step(&mut self) -> Result<Option<Record>> {
        loop {
            if self.at == self.frame_end && !self.begin_frame()? {
                return Ok(None);
            }
            // An empty frame has nothing in it.
            if self.at == self.frame_end {
                continue;
            }
            let begin = self.at;
            let (number, wire) = field(self.varint()?).map_err(|kind| KvError::at(&self.path, begin, kind))?;
            match (number, wire) {
                (LIST_KV, Wire::Bytes) => {
                    let len = self.length()?;
                    if let Some(record) = self.record(len)? {
                        self.tally.count(&record);
                        return Ok(Some(record));
                    }
                }
                (LIST_KV, _) => return Err(self.malformed(begin, "a record that is no message")),
                (_, Wire::Varint) => drop(self.varint()?),
                (_, Wire::Eight) => self.skip(begin, 8)?,
                (_, Wire::Four) => self.skip(begin, 4)?,
                (_, Wire::Bytes) => {
                    let len = self.length()?;
                    self.skip(begin, len)?;
                }
            }
        }
    }

    /// Reads the length of the next frame; false at the end of the file.
    fn begin_frame(&mut self) -> Result<bool> {
        let begin = self.at;
        let mut length = [0; 8];
        let mut have = 0;
        while have < length.len() {
            match self.input.read(&mut length[have..]) {
                Ok(0) if have == 0 => return Ok(false),
                Ok(0) => {
                    return Err(self.truncated(begin, &format!("ends inside the length of a frame, {have} bytes of 8")));
                }
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(KvError::at(&self.path, begin, error)),
            }
        }
        self.at += length.len() as u64;
        let length = u64::from_le_bytes(length);
        if length > self.limits.frame {
            let limit = self.limits.frame;
            let text =
                format!("a frame of {length} bytes, where at most {limit} are believed: is this a Badger backup?");
            return Err(KvError::at(&self.path, begin, KvErrorKind::TooLarge(text)));
        }
        if let Some(left) = self.total.map(|total| total.saturating_sub(self.at))
            && length > left
        {
            return Err(self.truncated(begin, &format!("a frame of {length} bytes, of which {left} are there")));
        }
        self.frame_end = self.at + length;
        self.tally.frames += 1;
        Ok(true)
    }

    /// A length inside the frame, which must not go beyond it.
    fn length(&mut self) -> Result<u64> {
        let begin = self.at;
        let len = self.varint()?;
        let left = self.frame_end - self.at;
        if len > left {
            return Err(self.malformed(begin, &format!("a length of {len} bytes in a frame that has {left} left")));
        }
        Ok(len)
    }

    fn record(&mut self, len: u64) -> Result<Option<Record>> {
        let begin = self.at;
        if len > self.limits.record {
            let text = format!("a record of {len} bytes, where at most {} are taken", self.limits.record);
            return Err(KvError::at(&self.path, begin, KvErrorKind::TooLarge(text)));
        }
        let buffered = self.input.fill_buf().map_err(|error| KvError::at(&self.path, begin, error))?;
        let found = match usize::try_from(len).ok().and_then(|len| buffered.get(..len)) {
            Some(message) => {
                let found = read_kv(message);
                let len = message.len();
                self.input.consume(len);
                found
            }
            None => {
                self.scratch.clear();
                self.scratch.reserve(len.min(BELIEVED) as usize);
                let read = (&mut self.input).take(len).read_to_end(&mut self.scratch);
                let read = read.map_err(|error| KvError::at(&self.path, begin, error))? as u64;
                if read < len {
                    return Err(self.truncated(begin, &format!("a record of {len} bytes, of which {read} are there")));
                }
                let found = read_kv(&self.scratch);
                // A large one must not stay for the rest of the file.
                self.scratch.shrink_to(BELIEVED as usize);
                found
            }
        };
        self.at += len;
        found.map_err(|wrong| KvError::at(&self.path, begin + wrong.at as u64, wrong.kind))
    }

    fn varint(&mut self) -> Result<u64> {
        let begin = self.at;
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            if self.at == self.frame_end {
                return Err(self.malformed(begin, "a number that goes beyond its frame"));
            }
            let byte = match self.input.fill_buf() {
                Ok([]) => return Err(self.truncated(begin, "ends inside a frame")),
                Ok(buffered) => buffered[0],
                Err(error) => return Err(KvError::at(&self.path, begin, error)),
            };
            self.input.consume(1);
            self.at += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            n |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(self.malformed(begin, "a number of more than 64 bits"))
    }

    fn skip(&mut self, begin: u64, len: u64) -> Result<()> {
        if len > self.frame_end - self.at {
            return Err(self.malformed(begin, "a field that goes beyond its frame"));
        }
        let skipped = io::copy(&mut (&mut self.input).take(len), &mut io::sink());
        let skipped = skipped.map_err(|error| KvError::at(&self.path, begin, error))?;
        if skipped < len {
            return Err(self.truncated(begin, "ends inside a field"));
        }
        self.at += len;
        Ok(())
    }

    fn malformed(&self, at: u64, what: &str) -> KvError {
        KvError::at(&self.path, at, KvErrorKind::Malformed(what.to_owned()))
    }

    fn truncated(&self, at: u64, what: &str) -> KvError {
        KvError::at(&self.path, at, KvErrorKind::Truncated(what.to_owned()))
    }
}

impl<R: BufRead> Iterator for BackupReader<R> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = self.step();
        self.ended = !matches!(found, Ok(Some(_)));
        found.transpose()
    }
}

//! A file read through a window of bounded size, forward mostly.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{KvError, KvErrorKind, Result};

/// Bytes read ahead where reads follow one another.
const AHEAD: usize = 256 << 10;

/// A file, and the part of it that was read last.
#[derive(Debug)]
pub(super) struct Window {
    path: PathBuf,
    file: File,
    bytes: u64,
    start: u64,
    held: Vec<u8>,
}

impl Window {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => KvError::of(path, KvErrorKind::Missing("there is no such file".into())),
            _ => KvError::of(path, error),
        };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Self { path: path.to_owned(), file, bytes, start: 0, held: Vec::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `length` bytes from `at` on.
    pub(super) fn read(&mut self, at: u64, length: usize) -> Result<&[u8]> {
        if self.bytes.checked_sub(at).is_none_or(|left| left < length as u64) {
            let short = format!("the file of {} bytes ends inside {length} bytes that are to be there", self.bytes);
            return Err(KvError::at(&self.path, at, KvErrorKind::Truncated(short)));
        }
        let end = self.start + self.held.len() as u64;
        if at < self.start || at + length as u64 > end {
            let follows = at >= self.start && at < end + AHEAD as u64;
            let wanted = if follows { length.max(AHEAD) } else { length };
            let wanted = usize::try_from(self.bytes - at).map_or(wanted, |left| left.min(wanted));
            self.held.resize(wanted, 0);
            self.start = at;
            if let Err(error) = self.file.read_exact_at(&mut self.held, at) {
                self.held.clear();
                return Err(KvError::at(&self.path, at, error));
            }
        }
        let from = (at - self.start) as usize;
        Ok(&self.held[from..from + length])
    }

    /// Up to `length` bytes from `at` on: fewer where the file ends.
    pub(super) fn read_some(&mut self, at: u64, length: usize) -> Result<&[u8]> {
        let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        self.read(at, length.min(left))
    }
}

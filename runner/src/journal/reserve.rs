//! Room that is kept on the file system of the journal, so that a run which finds the disk full can still record its stop.
//!
//! Owns the file `reserve` in the state folder: its blocks are allocated, nothing is in it. Knows nothing of records.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cutover_core::disk;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// What is kept at least: the ends of a group of the largest size fit into it.
pub(super) const LEAST: u64 = 1 << 20;
const FILE: &str = "reserve";
/// In which `MetadataExt::blocks` counts.
const BLOCK: u64 = 512;

/// The room that is kept.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    held: u64,
    given_up: bool,
}

impl Reserve {
    /// That of a state folder; nothing is looked at yet.
    pub(super) fn of(state: &Path) -> Self {
        Self { path: state.join(FILE), held: 0, given_up: false }
    }

    /// Keeps at least `bytes`, unless the room was given up: then it is for what is recorded now.
    pub(super) fn keep(&mut self, bytes: u64) -> io::Result<()> {
        if self.given_up || self.held >= bytes {
            return Ok(());
        }
        let file = disk::open_or_create(&self.path)?;
        if file.metadata()?.blocks() * BLOCK < bytes {
            allocate(&file, bytes)?;
        }
        self.held = bytes;
        Ok(())
    }

    /// Gives the room up; false when there was none to give.
    pub(super) fn give_up(&mut self) -> bool {
        let first = !self.given_up;
        self.given_up = true;
        first && disk::remove_file(&self.path).is_ok()
    }

    /// Whether the room was needed.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }
}

/// The room of a state folder, in the hands of who makes room there; kept again when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent(PathBuf);

/// Lends the room that is kept; none when nothing is.
pub(crate) fn lend(state: &Path) -> Option<Lent> {
    Reserve::of(state).give_up().then(|| Lent(state.to_owned()))
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Should there be no room still, no run begins, and says so.
        let _ = Reserve::of(&self.0).keep(LEAST);
    }
}

/// Takes blocks for the first `bytes` of `file`.
fn allocate(mut file: &File, bytes: u64) -> io::Result<()> {
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::INTR) => {}
            // Not every file system can allocate without writing.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => break,
            other => return Ok(other?),
        }
    }
    file.set_len(0)?;
    let zeros = [0; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(zeros.len() as u64);
        file.write_all(&zeros[..usize::try_from(piece).unwrap_or(zeros.len())])?;
        left -= piece;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_takes_blocks_and_is_gone_once_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut reserve = Reserve::of(dir.path());
        reserve.keep(LEAST).unwrap();
        let found = std::fs::metadata(&path).unwrap();
        assert!(found.blocks() * BLOCK >= LEAST && found.mode() & 0o777 == 0o600, "{found:?}");
        assert!(reserve.give_up() && reserve.is_given_up() && !path.exists());
        reserve.keep(LEAST).unwrap();
        assert!(!reserve.give_up() && !path.exists(), "what was given up stays so for the rest of the run");
    }
}

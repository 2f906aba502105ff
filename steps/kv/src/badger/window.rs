//! A file read through a window of bounded size, forward mostly.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{KvError, KvErrorKind, Result};

/// Bytes read at once where reads are near one another, and where such a piece may begin.
const PIECE: usize = 256 << 10;
const ALIGNED: u64 = 64 << 10;
/// What is further away than this is read by itself: there is no order in what is asked for.
const NEAR: u64 = 1 << 20;

/// A file, and the parts of it that were read last.
#[derive(Debug)]
pub(super) struct Window {
    path: PathBuf,
    file: File,
    bytes: u64,
    pieces: Vec<Piece>,
    /// How many pieces are held.
    room: usize,
    /// The one that is given up next.
    oldest: usize,
    /// Where was read last.
    last: u64,
}

#[derive(Debug, Default)]
struct Piece {
    start: u64,
    held: Vec<u8>,
}

impl Piece {
    fn of(&self, at: u64, length: usize) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(length)?;
        (to <= self.held.len()).then_some(from..to)
    }
}

impl Window {
    /// For reading forward.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::with_pieces(path, 1)
    }

    /// For reading to and fro, within the bytes of `room` pieces at a time.
    pub(super) fn with_pieces(path: &Path, room: usize) -> Result<Self> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => KvError::of(path, KvErrorKind::Missing("there is no such file".into())),
            _ => KvError::of(path, error),
        };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Self { path: path.to_owned(), file, bytes, pieces: Vec::new(), room, oldest: 0, last: 0 })
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
        let near = at.abs_diff(self.last) <= NEAR;
        self.last = at;
        let found = self.pieces.iter().enumerate().find_map(|(i, piece)| Some((i, piece.of(at, length)?)));
        let (index, range) = match found {
            Some(found) => found,
            None => self.load(at, length, near)?,
        };
        Ok(&self.pieces[index].held[range])
    }

    fn load(&mut self, at: u64, length: usize, near: bool) -> Result<(usize, std::ops::Range<usize>)> {
        let start = if near { at - at % ALIGNED } else { at };
        let from = (at - start) as usize;
        let wanted = if near { PIECE.max(from + length) } else { length };
        let wanted = usize::try_from(self.bytes - start).map_or(wanted, |left| left.min(wanted));
        if self.pieces.len() < self.room {
            self.oldest = self.pieces.len();
            self.pieces.push(Piece::default());
        }
        let index = self.oldest;
        self.oldest = (index + 1) % self.room;
        let piece = &mut self.pieces[index];
        piece.start = start;
        piece.held.resize(wanted, 0);
        if let Err(error) = self.file.read_exact_at(&mut piece.held, start) {
            piece.held.clear();
            return Err(KvError::at(&self.path, start, error));
        }
        Ok((index, from..from + length))
    }

    /// Up to `length` bytes from `at` on: fewer where the file ends.
    pub(super) fn read_some(&mut self, at: u64, length: usize) -> Result<&[u8]> {
        let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        self.read(at, length.min(left))
    }
}

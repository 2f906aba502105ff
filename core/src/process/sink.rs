//! Where a program's output goes: masked, its end kept in memory, all of it in a log.
//!
//! Owns masking in pieces and the log file. Knows no process; blocking.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::StepError;
use crate::disk::{create_new, io_error};

/// Bytes of output that are kept in memory, from its end.
pub(super) const TAIL: usize = 64 * 1024;

/// Output is masked in pieces, once there are so many bytes of it.
const PIECE: usize = 256 * 1024;

/// So many bytes of them stay for the next piece, and more up to a line end: a secret of several lines that has not come
/// to its end is among them.
const KEPT: usize = 64 * 1024;

/// Masks output, keeps its end and writes all of it to the log.
pub(super) struct Sink<'a> {
    mask: &'a dyn Fn(&str) -> String,
    log: Option<(PathBuf, File)>,
    pending: Vec<u8>,
    tail: String,
}

impl<'a> Sink<'a> {
    /// A sink with that log, which must not be there yet.
    pub(super) fn open(log: Option<&Path>, mask: &'a dyn Fn(&str) -> String) -> Result<Self, StepError> {
        let open = |path: &Path| {
            let file = create_new(path);
            file.map(|file| (path.to_owned(), file)).map_err(|e| io_error("cannot write", path, e))
        };
        Ok(Self { mask, log: log.map(open).transpose()?, pending: Vec::new(), tail: String::new() })
    }

    /// Takes some output.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), StepError> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE
            && let Some(end) = self.pending[..self.pending.len() - KEPT].iter().rposition(|b| *b == b'\n')
        {
            let shown = |bytes: &[u8]| (self.mask)(&String::from_utf8_lossy(bytes));
            let (piece, rest) = self.pending.split_at(end + 1);
            // A cut through a secret waits for more.
            if shown(piece) + &shown(rest) == shown(&self.pending) {
                let rest = self.pending.split_off(end + 1);
                self.flush()?;
                self.pending = rest;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StepError> {
        let text = (self.mask)(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
        if let Some((path, file)) = &mut self.log {
            file.write_all(text.as_bytes()).map_err(|e| io_error("cannot write", path, e))?;
        }
        self.tail.push_str(&text);
        let mut cut = self.tail.len().saturating_sub(TAIL);
        while !self.tail.is_char_boundary(cut) {
            cut += 1;
        }
        self.tail.drain(..cut);
        Ok(())
    }

    /// Makes the log durable and returns the end of the output.
    pub(super) fn finish(mut self) -> Result<String, StepError> {
        self.flush()?;
        if let Some((path, file)) = &self.log {
            file.sync_all().map_err(|e| io_error("cannot write", path, e))?;
        }
        Ok(self.tail)
    }
}

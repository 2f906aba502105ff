//! A mark that a program runs, which outlives whoever started it.
//!
//! The mark is a locked file, and the program's standard input is that very file, read from behind its end: the lock is
//! freed by the kernel when the program has ended with all that inherited its input, and not before. The runner looks
//! for such files before it decides anything (see [`StepContext::running_file`](crate::StepContext::running_file)).

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::StepError;
use crate::disk::{create, io_error, private_dir, remove_file};

/// Where the program reads from: behind whatever the file holds.
const BEHIND: u64 = 1 << 20;

/// The mark of one program.
#[derive(Debug)]
pub(super) struct Running {
    path: PathBuf,
    file: File,
}

impl Running {
    /// Makes the mark. That of an earlier program which still runs is an error.
    pub(super) fn mark(path: &Path) -> Result<Self, StepError> {
        if let Some(folder) = path.parent() {
            private_dir(folder)?;
        }
        drop(create(path).map_err(|e| io_error("cannot make", path, e))?);
        // Read only: a program must not be able to write to its input.
        let mut file = File::open(path).map_err(|e| io_error("cannot open", path, e))?;
        file.try_lock().map_err(|e| {
            StepError::failed("the program that an earlier run started still runs").caused_by(std::io::Error::from(e))
        })?;
        file.seek(SeekFrom::Start(BEHIND)).map_err(|e| io_error("cannot open", path, e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The program's standard input: it is empty.
    pub(super) fn input(&self) -> Result<Stdio, StepError> {
        let copy = self.file.try_clone().map_err(|e| io_error("cannot open", &self.path, e))?;
        Ok(Stdio::from(copy))
    }

    /// Says which process it is, for whoever finds the mark.
    pub(super) fn is(&self, pid: u32) -> Result<(), StepError> {
        create(&self.path)
            .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
            .map_err(|e| io_error("cannot write", &self.path, e))
    }

    /// The program has ended; what it left behind on purpose is its own affair.
    pub(super) fn clear(self) -> Result<(), StepError> {
        remove_file(&self.path).map_err(|e| io_error("cannot remove", &self.path, e))
    }
}

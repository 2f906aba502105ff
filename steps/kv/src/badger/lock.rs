//! Whether another process has the database open.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::holder::holder;
use crate::{KvError, KvErrorKind, Result};

/// The file that an open database has, with the number of the process that opened it. Closing takes it away.
pub(super) const PID_FILE: &str = "LOCK";

/// A lock on the folder, which keeps Badger from opening it to write as long as it is held.
#[derive(Debug)]
pub(crate) struct Hold {
    _folder: File,
}

/// Takes the lock that Badger takes to read.
pub(super) fn hold(folder: &Path) -> Result<Hold> {
    take(folder, FlockOperation::NonBlockingLockShared)
}

/// Takes the lock that Badger takes to write: nobody else has the database open.
pub(crate) fn hold_alone(folder: &Path) -> Result<Hold> {
    take(folder, FlockOperation::NonBlockingLockExclusive)
}

fn take(folder: &Path, how: FlockOperation) -> Result<Hold> {
    let file = File::open(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => KvError::of(folder, KvErrorKind::Missing("there is no such folder".into())),
        _ => KvError::of(folder, error),
    })?;
    match flock(&file, how) {
        Ok(()) => Ok(Hold { _folder: file }),
        Err(Errno::WOULDBLOCK) => {
            let noted = || opener(folder).map(|pid| format!("process {pid}"));
            let who = holder(&file).or_else(noted).unwrap_or_else(|| "another process".to_owned());
            Err(KvError::of(folder, KvErrorKind::InUse(format!("{who} has the database open"))))
        }
        Err(error) => Err(KvError::of(folder, std::io::Error::from(error))),
    }
}

/// The process that opened the database and did not close it, by its own note.
pub(super) fn opener(folder: &Path) -> Option<String> {
    let note = std::fs::read(folder.join(PID_FILE)).ok()?;
    Some(String::from_utf8_lossy(&note).trim().chars().filter(char::is_ascii_digit).take(20).collect())
}

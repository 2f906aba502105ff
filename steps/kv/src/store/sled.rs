//! sled 0.34 as an engine.
//!
//! Owns how it is opened and what its errors mean.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sled::{Batch, Config, Db, Error, IVec};

use super::Engine;
use crate::error::{KvError, KvErrorKind, Result};
use crate::holder::{self, Closing};

/// Its default of a gigabyte is more than a migration should take from the machine that it runs on.
const CACHE: u64 = 64 << 20;

/// What sled may need beyond what a batch holds: it writes whole segments, and pages beside those that change.
const SPARE: u64 = 2 << 20;
const AROUND: u64 = 4;

/// An open sled database: the default tree is ours.
#[derive(Debug)]
pub struct Sled {
    database: Db,
    path: PathBuf,
    /// Dropped after the database.
    _closing: Closing,
}

impl Sled {
    fn wrong(&self, error: Error) -> KvError {
        KvError::of(&self.path, kind(error))
    }
}

impl Engine for Sled {
    const NAME: &'static str = "sled";
    type Bytes = IVec;
    type View = ();

    fn open(path: &Path) -> Result<Self> {
        holder::refuse(path, Self::lock_file())?;
        room(path, 0)?;
        // Nothing in the background: what is durable is what a batch asked for.
        let config = Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None);
        let database = config.open().map_err(|error| KvError::of(path, kind(error)))?;
        Ok(Self { database, path: path.to_owned(), _closing: Closing(path.join(Self::lock_file())) })
    }

    fn is_there(path: &Path) -> bool {
        path.join("conf").is_file() && path.join("db").is_file()
    }

    fn lock_file() -> &'static str {
        "db"
    }

    fn get(&self, key: &[u8]) -> Result<Option<IVec>> {
        self.database.get(key).map_err(|error| self.wrong(error))
    }

    fn range(&self, range: Range<Vec<u8>>) -> impl DoubleEndedIterator<Item = Result<(IVec, IVec)>> + Send + use<'_> {
        self.database.range(range).map(|found| found.map_err(|error| self.wrong(error)))
    }

    fn view(&self) {}

    fn range_of<'s>(
        &'s self,
        (): &(),
        range: Range<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(IVec, IVec)>> + Send + use<'s> {
        self.range(range)
    }

    fn write(&self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>, durable: bool) -> Result<()> {
        let bytes = entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        room(&self.path, bytes as u64)?;
        let mut batch = Batch::default();
        for (key, value) in entries {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.database.apply_batch(batch).map_err(|error| self.wrong(error))?;
        if durable { self.flush() } else { Ok(()) }
    }

    fn flush(&self) -> Result<()> {
        self.database.flush().map(drop).map_err(|error| self.wrong(error))
    }

    fn size(&self) -> Result<u64> {
        self.database.size_on_disk().map_err(|error| self.wrong(error))
    }
}

/// Refuses before sled begins what it could not write: a segment that it cannot end damages the database.
fn room(path: &Path, bytes: u64) -> Result<()> {
    let Some(there) = path.ancestors().find(|folder| folder.exists()) else { return Ok(()) };
    let system = rustix::fs::statvfs(there).map_err(|error| KvError::of(path, io::Error::from(error)))?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if free < bytes.saturating_mul(AROUND).saturating_add(SPARE) {
        return Err(KvError::of(path, io::Error::from(rustix::io::Errno::NOSPC)));
    }
    Ok(())
}

fn kind(error: Error) -> KvErrorKind {
    match error {
        Error::Io(cause) if cause.to_string().contains("could not acquire lock") => {
            KvErrorKind::InUse("another process has it open".to_owned())
        }
        Error::Io(cause) => KvErrorKind::Io(io::Error::new(cause.kind(), cause)),
        Error::Corruption { at, .. } => {
            let place = at.map_or_else(String::new, |place| format!(" at {place:?}"));
            KvErrorKind::Malformed(format!("sled finds it damaged{place}"))
        }
        Error::Unsupported(what) => KvErrorKind::Unsupported(what),
        other => KvErrorKind::Store(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use cutover_core::{StepError, StepErrorKind};

    use super::*;

    #[test]
    fn what_sled_could_not_end_it_does_not_begin() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("not/there/yet");
        room(&database, 0).unwrap();
        let refused = StepError::from(room(&database, u64::MAX).unwrap_err());
        assert_eq!((refused.kind(), refused.help().is_some()), (StepErrorKind::Storage, true));
        assert!(refused.to_string().contains("No space left"), "{refused}");
    }
}

//! fjall 3 as an engine.
//!
//! Owns how it is opened and what its errors mean.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fjall::{Database, Error, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable as _, Slice, Snapshot};

use super::Engine;
use crate::error::{KvError, KvErrorKind, Result};
use crate::holder::{self, Closing};

const CACHE: u64 = 64 << 20;
const KEYSPACE: &str = "cutover";
/// Between two looks at whether its worker is done.
const LOOK: Duration = Duration::from_millis(1);
/// How long it may take to write the tables; what is not written then stays in the log.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tables that may lie side by side before more are loaded; its worker begins to merge at four.
const MANY_TABLES: usize = 16;
/// fjall keeps the length of a key in 16 bits, and panics on more.
const LONGEST_KEY: usize = u16::MAX as usize;

/// An open fjall database: one keyspace is ours.
pub struct Fjall {
    database: Database,
    keyspace: Keyspace,
    path: PathBuf,
    /// Dropped after the database.
    _closing: Closing,
}

impl std::fmt::Debug for Fjall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fjall").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Fjall {
    fn takes(&self, key: &[u8]) -> Result<()> {
        if key.len() <= LONGEST_KEY {
            return Ok(());
        }
        let text = format!(
            "a key takes {} bytes in it, and fjall keeps keys of up to {LONGEST_KEY}; sled keeps longer ones",
            key.len()
        );
        Err(KvError::of(&self.path, KvErrorKind::TooLarge(text)))
    }

    /// Waits while it has more tables than it should have side by side. A batch would wait for that by itself; a load does not,
    /// nor does it notice that the worker is gone.
    fn merged(&self) -> Result<()> {
        loop {
            self.database.persist(PersistMode::Buffer).map_err(|error| self.wrong(error))?;
            if self.keyspace.l0_table_count() < MANY_TABLES {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
    }

    fn wrong(&self, error: Error) -> KvError {
        KvError::of(&self.path, kind(error))
    }
}

impl Engine for Fjall {
    const NAME: &'static str = "fjall";
    type Bytes = Slice;
    type View = Snapshot;

    fn open(path: &Path) -> Result<Self> {
        holder::refuse(path, Self::lock_file())?;
        let open = || {
            // With two of them one asks for work in a loop as long as the other compacts.
            let database = Database::builder(path).cache_size(CACHE).worker_threads(1).open()?;
            let keyspace = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
            Ok((database, keyspace))
        };
        let (database, keyspace) = open().map_err(|error| KvError::of(path, kind(error)))?;
        Ok(Self { database, keyspace, path: path.to_owned(), _closing: Closing(path.join(Self::lock_file())) })
    }

    fn is_there(path: &Path) -> bool {
        path.join("version").is_file()
    }

    fn lock_file() -> &'static str {
        "lock"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        self.keyspace.get(key).map_err(|error| self.wrong(error))
    }

    fn range(&self, range: Range<Vec<u8>>) -> impl DoubleEndedIterator<Item = Result<(Slice, Slice)>> + Send + use<'_> {
        self.keyspace.range(range).map(|found| found.into_inner().map_err(|error| self.wrong(error)))
    }

    fn view(&self) -> Snapshot {
        self.database.snapshot()
    }

    fn range_of<'s>(
        &'s self,
        view: &Snapshot,
        range: Range<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(Slice, Slice)>> + Send + use<'s> {
        view.range(&self.keyspace, range).map(|found| found.into_inner().map_err(|error| self.wrong(error)))
    }

    fn write(&self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>, durable: bool) -> Result<()> {
        entries.iter().try_for_each(|(key, _)| self.takes(key))?;
        if let (false, [(_, Some(_))]) = (durable, entries.as_slice()) {
            // Alone it takes half of what a batch does.
            return entries
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .try_for_each(|(key, value)| self.keyspace.insert(key, value))
                .map_err(|error| self.wrong(error));
        }
        let mode = if durable { PersistMode::SyncAll } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, value) in entries {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        batch.commit().map_err(|error| self.wrong(error))
    }

    /// As tables, without its log and what it sorts in memory.
    fn ingest(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<bool> {
        self.merged()?;
        let mut ingestion = self.keyspace.start_ingestion().map_err(|error| self.wrong(error))?;
        let mut last: Option<Vec<u8>> = None;
        for (key, value) in entries {
            self.takes(&key)?;
            // It panics on these. What it has written so far it removes when it is opened again.
            if last.as_ref().is_some_and(|last| *last >= key) {
                let text = "fjall: records that were to be loaded came out of order or twice, a defect of cutover";
                return Err(KvError::of(&self.path, KvErrorKind::Store(text.to_owned())));
            }
            ingestion.write(key.as_slice(), value).map_err(|error| self.wrong(error))?;
            last = Some(key);
        }
        ingestion.finish().map_err(|error| self.wrong(error))?;
        Ok(true)
    }

    fn flush(&self) -> Result<()> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| self.wrong(error))
    }

    /// What fjall has in its log alone it reads and sorts anew, one record after the other, whenever it is opened.
    fn rest(&self) {
        let Ok(true) = self.keyspace.rotate_memtable() else { return };
        // Where its worker could not write it, the log keeps it, and fjall takes nothing more.
        let mut left = PATIENCE.as_millis() / LOOK.as_millis();
        while left > 0
            && self.keyspace.sealed_memtable_count() > 0
            && self.database.persist(PersistMode::Buffer).is_ok()
        {
            thread::sleep(LOOK);
            left -= 1;
        }
    }

    fn size(&self) -> Result<u64> {
        self.database.disk_space().map_err(|error| self.wrong(error))
    }
}

fn kind(error: Error) -> KvErrorKind {
    match error {
        Error::Locked => KvErrorKind::InUse("another process has it open".to_owned()),
        Error::Io(cause) | Error::Storage(LsmError::Io(cause)) => KvErrorKind::Io(cause),
        Error::InvalidVersion(found) => {
            let found = found.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
            KvErrorKind::Unsupported(format!("its format version is {found}, and fjall 3 reads version 3"))
        }
        other => KvErrorKind::Store(format!("fjall: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::store::{Batch, FjallStore, VersionedStore as _};

    #[test]
    fn what_is_at_rest_is_in_tables_and_not_in_the_log_alone() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { key: b"a".to_vec(), version: 1, value: b"b".to_vec(), ..Record::default() };
        let store = FjallStore::open_or_create(&folder.path().join("store")).unwrap();
        let mut batch = Batch::default();
        batch.put(record.clone());
        store.write(batch.durable()).unwrap();
        assert_eq!(store.engine.keyspace.table_count(), 0);
        // The second time there is nothing to do.
        for _ in 0..2 {
            store.rest().unwrap();
            assert_eq!(store.engine.keyspace.table_count(), 1);
        }
        drop(store);
        let store = FjallStore::open(&folder.path().join("store")).unwrap();
        let found: Vec<_> = store.versions(b"", 0).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, [record]);
    }
}

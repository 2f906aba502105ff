//! The way back, and whether what was written is there.
//!
//! Owns that only what the rewriting replaced is put back, byte for byte: what others wrote since has other versions.

use std::path::Path;

use cutover_core::fault;

use super::cursor::{Cursor, forget};
use crate::backup::{BackupReader, Sidecar};
use crate::copy::Sum;
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;
use crate::store::{Batch, VersionedStore};

/// Where a rewriting that is taken back, or looked at, has its things.
pub(crate) struct PutBack<'a> {
    /// The name of its cursor in the store.
    pub(crate) name: &'a str,
    /// The folder of what was there before.
    pub(crate) kept: &'a Path,
    /// The key that a record has afterwards.
    pub(crate) key: &'a dyn Fn(&[u8]) -> Vec<u8>,
    /// Passed when a batch is put back; and when all are and the cursor is gone.
    pub(crate) points: [&'static str; 2],
}

/// Puts back what was there before, and forgets the cursor with the last of it.
pub(crate) fn put_back(way: &PutBack<'_>, store: &dyn VersionedStore, mut told: impl FnMut(u64, u64)) -> Result<()> {
    if let Some(cursor) = Cursor::of(way.name, store)? {
        let files = cursor.files(way.kept);
        files.iter().try_for_each(|file| prove(file))?;
        let mut done = 0;
        for file in &files {
            let mut batch = Batch::default();
            for before in BackupReader::open(file)? {
                let before = before?;
                let key = (way.key)(&before.key);
                // The very version that was written, whatever became of its value.
                let after = store.newest(&key, before.version)?.filter(|found| found.version == before.version);
                after.into_iter().for_each(|after| batch.remove(after));
                batch.put(before);
                done += 1;
            }
            store.write(batch)?;
            told(done, cursor.changed);
            fault::point(way.points[0]);
        }
        let mut batch = Batch::default();
        batch.forget(&Cursor::note(way.name));
        store.write(batch.durable())?;
    }
    fault::point(way.points[1]);
    forget(way.kept)
}

/// A file that is not whole is refused before anything is put back.
fn prove(file: &Path) -> Result<()> {
    let missing =
        |what: &str| KvError::of(file, KvErrorKind::Missing(format!("{what} of what was there before is gone")));
    if !file.is_file() {
        return Err(missing("a file"));
    }
    Sidecar::read(file)?.ok_or_else(|| missing("the manifest"))?.check(file)
}

/// What stands now where the rewriting wrote: how many of its records are there, their checksum, and how many of those that
/// it moved away are back.
pub(crate) fn standing(way: &PutBack<'_>, cursor: &Cursor, store: &dyn VersionedStore) -> Result<(u64, Sum, u64)> {
    let (mut records, mut sum, mut back) = (0, Sum::default(), 0);
    let there = |key: &[u8], version: u64| -> Result<Option<Record>> {
        Ok(store.newest(key, version)?.filter(|found| found.version == version))
    };
    for file in cursor.files(way.kept) {
        prove(&file)?;
        for before in BackupReader::open(&file)? {
            let before = before?;
            let key = (way.key)(&before.key);
            if let Some(found) = there(&key, before.version)? {
                records += 1;
                sum.add(&found);
            }
            if key != before.key && there(&before.key, before.version)?.is_some() {
                back += 1;
            }
        }
    }
    Ok((records, sum, back))
}

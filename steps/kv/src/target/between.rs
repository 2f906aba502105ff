//! A store between what it was and its snapshot, where a restore was killed.
//!
//! Owns the note that a restore keeps in the store from its first batch to its last: what was there before is set aside and
//! was asked about already, so that only what is neither there nor in the snapshot is anybody else's.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use cutover_core::SnapshotManifest;
use serde::{Deserialize, Serialize};

use super::snapshot::RECORDS;
use crate::backup::BackupReader;
use crate::error::Result;
use crate::record::Record;
use crate::store::{Batch, Engine, Keyed, VersionedStore};

/// The note.
pub(super) const RESTORING: &str = "restoring";

/// A restore that was begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Begun {
    /// The digest of the snapshot's records.
    pub(super) snapshot: String,
    /// The backup of what was there before.
    pub(super) aside: PathBuf,
    /// Records of others that it takes back.
    pub(super) lost: u64,
}

impl Begun {
    /// That of a store, if it was a restore of this snapshot.
    pub(super) fn of<E: Engine>(store: Option<&Keyed<E>>, from: &SnapshotManifest) -> Result<Option<Self>> {
        let note = store.map(VersionedStore::notes).transpose()?.and_then(|mut notes| notes.remove(RESTORING));
        let begun = note.and_then(|note| serde_json::from_value::<Self>(note).ok());
        Ok(begun.filter(|begun| begun.snapshot == Self::digest(from)))
    }

    /// What tells a snapshot from another.
    pub(super) fn digest(from: &SnapshotManifest) -> String {
        from.files.iter().find(|file| file.path == RECORDS).map(|file| file.blake3.clone()).unwrap_or_default()
    }

    /// Whether what was there before is still set aside.
    pub(super) fn is_there(&self) -> bool {
        self.aside.is_file()
    }

    /// Has a batch say so.
    pub(super) fn note(&self, batch: &mut Batch) {
        if let Ok(note) = serde_json::to_value(self) {
            batch.note(RESTORING, note);
        }
    }
}

/// Records, among sorted ones, that are neither in the snapshot nor among what was set aside.
pub(super) fn strangers(snapshot: &Path, aside: &Path, present: impl Iterator<Item = Result<Record>>) -> Result<u64> {
    let mut known = [Beside::open(snapshot)?, Beside::open(aside)?];
    let mut strangers = 0;
    for record in present {
        let record = record?;
        let mut found = false;
        for side in &mut known {
            found |= side.has(&record)?;
        }
        strangers += u64::from(!found);
    }
    Ok(strangers)
}

/// Sorted records that are read beside others.
struct Beside {
    records: BackupReader<std::io::BufReader<std::fs::File>>,
    next: Option<Record>,
}

impl Beside {
    fn open(path: &Path) -> Result<Self> {
        let mut records = BackupReader::open(path)?;
        let next = records.next().transpose()?;
        Ok(Self { records, next })
    }

    /// Whether it has that record, which comes behind all that were asked for before.
    fn has(&mut self, record: &Record) -> Result<bool> {
        while let Some(next) = &self.next {
            match next.order(record) {
                Ordering::Less => self.next = self.records.next().transpose()?,
                Ordering::Equal => return Ok(next.same(record)),
                Ordering::Greater => break,
            }
        }
        Ok(false)
    }
}

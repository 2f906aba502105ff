//! A store kept as a Badger backup: its records in a file that any build, and Badger itself, can read.
//!
//! Owns the layout of such a snapshot: `records.bak` with its manifest, and `store.json`, which says whether there was a
//! store and what it noted of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cutover_core::disk::{PRIVATE_FILE, hash_file, io_error, private_dir, write_atomic};
use cutover_core::{Depth, SnapshotFile, SnapshotManifest, StepContext, StepError, fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::between::RESTORING;
use super::{KvTarget, content};
use crate::backup::{BackupReader, Sidecar, write_backup_parts};
use crate::store::{Engine, FORMAT, MAX_VERSION, VersionedStore};

pub(super) const RECORDS: &str = "records.bak";
const STORE: &str = "store.json";

/// What a snapshot says of the store beside its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Kept {
    version: u32,
    /// Whether there was a store.
    pub(super) there: bool,
    /// Its entries but those that a store keeps by itself.
    pub(super) notes: BTreeMap<String, Value>,
}

impl Kept {
    const VERSION: u32 = 1;

    pub(super) fn read(snapshot: &Path) -> Result<Self, StepError> {
        let path = snapshot.join(STORE);
        let bytes = fs::read(&path).map_err(|e| io_error("cannot read", &path, e))?;
        let damaged = |e: serde_json::Error| StepError::failed(format!("`{}` is damaged", path.display())).caused_by(e);
        let found: Value = serde_json::from_slice(&bytes).map_err(damaged)?;
        match found["version"].as_u64() {
            Some(newer) if newer > Self::VERSION.into() => Err(StepError::failed(format!(
                "`{}` has format version {newer}, and this build knows versions up to {}",
                path.display(),
                Self::VERSION
            ))
            .with_help("use the build that wrote it")),
            _ => serde_json::from_value(found).map_err(damaged),
        }
    }
}

/// Writes the snapshot and reads it back.
pub(super) fn take<E: Engine>(
    target: &KvTarget<E>,
    cx: &StepContext,
    into: &Path,
) -> Result<SnapshotManifest, StepError> {
    private_dir(into)?;
    let counts = content::counts(target, cx)?;
    let schema_digest = content::fingerprint(target, cx, Depth::Schema)?.schema_digest();
    let records = into.join(RECORDS);
    let kept = target.read(|store| {
        write_backup_parts(&records, 0, content::parts(store)?)?;
        let mut notes = store.map(VersionedStore::notes).transpose()?.unwrap_or_default();
        notes.retain(|name, _| ![FORMAT, MAX_VERSION, RESTORING].contains(&name.as_str()));
        Ok(Kept { version: Kept::VERSION, there: store.is_some(), notes })
    })?;
    fault::point(fault::KV_SNAPSHOT_RECORDS);
    let text = serde_json::to_vec_pretty(&kept)
        .map_err(|e| StepError::internal("what a store notes could not be written as JSON").caused_by(e))?;
    write_atomic(&into.join(STORE), &text, PRIVATE_FILE)?;
    // Proven: every record of the file is read again.
    let mut reader = BackupReader::open(&records)?;
    reader.by_ref().try_for_each(|record| record.map(drop))?;
    if reader.tally().records != counts.values().sum::<u64>() {
        return Err(StepError::failed("the store was written to while its snapshot was taken")
            .with_help("stop what writes to it, then run the same command again"));
    }
    let sidecar = Sidecar::path_of(Path::new(RECORDS)).display().to_string();
    let files = [RECORDS, &sidecar, STORE].map(|name| {
        let (bytes, blake3) = hash_file(&into.join(name))?;
        Ok(SnapshotFile { path: name.to_owned(), bytes, blake3 })
    });
    let files = files.into_iter().collect::<Result<_, StepError>>()?;
    fault::point(fault::KV_SNAPSHOT_MADE);
    Ok(SnapshotManifest {
        version: SnapshotManifest::VERSION,
        target: target.name.clone(),
        kind: E::NAME.to_owned(),
        taken_at: cx.now(),
        folder: into.to_owned(),
        files,
        schema_digest,
        counts,
    })
}

/// A snapshot that is not whole is refused before anything is touched.
pub(super) fn prove(from: &SnapshotManifest) -> Result<(), StepError> {
    for file in &from.files {
        let path = from.folder.join(&file.path);
        if hash_file(&path)? != (file.bytes, file.blake3.clone()) {
            return Err(StepError::failed(format!(
                "the snapshot's file `{}` was changed since it was taken",
                file.path
            ))
            .with_help("nothing was restored; use another snapshot"));
        }
    }
    Ok(())
}

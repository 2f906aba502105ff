//! A folder's files kept in another folder.
//!
//! Owns the layout of such a snapshot: `index.json` (kinds, modes, link destinations; format version 1) beside
//! `files/`, which holds the plain files under their own paths.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cutover_core::disk::{PRIVATE_FILE, copy_file, hash_file, io_error, private_dir, sync_dir, write_atomic};
use cutover_core::{SnapshotFile, SnapshotManifest, StepContext, StepError, blake3_hex, fault};
use serde::{Deserialize, Serialize};

use super::walk::{Entry, Kind};

const VERSION: u32 = 1;
const INDEX: &str = "index.json";
pub(super) const FILES: &str = "files";

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    version: u32,
    entries: Vec<Entry>,
}

/// Copies all entries into `into`, hashed and fsynced, and reads the index back.
pub(super) fn take(
    cx: &StepContext,
    folder: &Path,
    entries: &[Entry],
    into: &Path,
) -> Result<Vec<SnapshotFile>, StepError> {
    let files = into.join(FILES);
    private_dir(&files)?;
    let total = entries.iter().map(|e| e.bytes).sum();
    let (mut kept, mut done, mut folders) = (Vec::new(), 0, BTreeSet::new());
    for entry in entries.iter().filter(|e| e.kind == Kind::File) {
        let to = files.join(&entry.path);
        if let Some(above) = to.parent() {
            private_dir(above)?;
            folders.insert(above.to_owned());
        }
        let (bytes, blake3) = copy_file(&folder.join(&entry.path), &to)?;
        kept.push(SnapshotFile { path: format!("{FILES}/{}", entry.path), bytes, blake3 });
        done += bytes;
        cx.progress(done, Some(total), "bytes");
        fault::point(fault::DIR_SNAPSHOT_FILE);
    }
    for above in folders {
        sync_dir(&above)?;
    }
    let wanted = entries.iter().filter(|e| e.kind != Kind::Special).cloned().collect();
    let index = serde_json::to_vec_pretty(&Index { version: VERSION, entries: wanted })
        .map_err(|e| StepError::internal("an index could not be written as JSON").caused_by(e))?;
    write_atomic(&into.join(INDEX), &index, PRIVATE_FILE)?;
    read_index(into)?;
    fault::point(fault::DIR_SNAPSHOT_INDEXED);
    kept.push(SnapshotFile { path: INDEX.to_owned(), bytes: index.len() as u64, blake3: blake3_hex(&index) });
    Ok(kept)
}

/// Copies all entries to the same places under `to`, as they are.
pub(super) fn duplicate(folder: &Path, entries: &[Entry], to: &Path) -> Result<(), StepError> {
    private_dir(to)?;
    for entry in entries.iter().filter(|e| e.kind != Kind::Special) {
        let (from, to) = (folder.join(&entry.path), to.join(&entry.path));
        if let Some(above) = to.parent() {
            private_dir(above)?;
        }
        match &entry.kind {
            Kind::Link { to: end } => symlink(end, &to).map_err(|e| io_error("cannot make", &to, e))?,
            _ => {
                copy_file(&from, &to)?;
                let mode = from.metadata().map_err(|e| io_error("cannot read", &from, e))?.permissions();
                fs::set_permissions(&to, mode).map_err(|e| io_error("cannot set the mode of", &to, e))?;
            }
        }
    }
    Ok(())
}

pub(super) fn read_index(snapshot: &Path) -> Result<Vec<Entry>, StepError> {
    let path = snapshot.join(INDEX);
    let bytes = fs::read(&path).map_err(|e| io_error("cannot read", &path, e))?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|e| StepError::failed(format!("`{}` is damaged", path.display())).caused_by(e))?;
    if index.version > VERSION {
        return Err(StepError::failed(format!("`{}` has format version {}", path.display(), index.version))
            .with_help("use the build that wrote it"));
    }
    Ok(index.entries)
}

/// What is in the folder and was not in the snapshot, or not so: each path with what is there.
pub(super) fn changes_since(
    folder: &Path,
    present: &[Entry],
    from: &SnapshotManifest,
) -> Result<BTreeMap<String, String>, StepError> {
    prove(from)?;
    let before: BTreeMap<String, String> = read_index(&from.folder)?
        .iter()
        .map(|e| Ok((e.path.clone(), print(&from.folder.join(FILES), e)?)))
        .collect::<Result<_, StepError>>()?;
    let mut changed = BTreeMap::new();
    for entry in present {
        let print = print(folder, entry)?;
        if before.get(&entry.path) != Some(&print) {
            changed.insert(entry.path.clone(), print);
        }
    }
    Ok(changed)
}

/// A file's content or a link's destination, in short.
pub(super) fn print(folder: &Path, entry: &Entry) -> Result<String, StepError> {
    match &entry.kind {
        Kind::File => Ok(format!("file {}", hash_file(&folder.join(&entry.path))?.1)),
        Kind::Link { to } => Ok(format!("link {to}")),
        Kind::Special => Ok("special".to_owned()),
    }
}

/// A snapshot that is not whole is refused before anything is touched.
pub(super) fn prove(from: &SnapshotManifest) -> Result<(), StepError> {
    for file in &from.files {
        let (bytes, hash) = hash_file(&from.folder.join(&file.path))?;
        if (bytes, &hash) != (file.bytes, &file.blake3) {
            return Err(StepError::failed(format!(
                "the snapshot's file `{}` was changed since it was taken",
                file.path
            ))
            .with_help("nothing was restored; use another snapshot"));
        }
    }
    Ok(())
}

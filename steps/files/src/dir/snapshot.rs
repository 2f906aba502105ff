//! A folder's files kept in another folder, and put back one by one.
//!
//! Owns the layout of such a snapshot: `index.json` (kinds, modes, link destinations; format version 1) beside
//! `files/`, which holds the plain files under their own paths.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cutover_core::disk::{
    PRIVATE_FILE, copy_file, hash_file, inside, io_error, private_dir, sync_dir, sync_parent, write_atomic,
};
use cutover_core::{RestoreOptions, Restored, SnapshotFile, SnapshotManifest, StepContext, StepError, blake3_hex};
use serde::{Deserialize, Serialize};

use super::moving::move_file;
use super::walk::{Entry, Kind};

const VERSION: u32 = 1;
const INDEX: &str = "index.json";
const FILES: &str = "files";

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
    }
    for above in folders {
        sync_dir(&above)?;
    }
    let wanted = entries.iter().filter(|e| e.kind != Kind::Special).cloned().collect();
    let index = serde_json::to_vec_pretty(&Index { version: VERSION, entries: wanted })
        .map_err(|e| StepError::internal("an index could not be written as JSON").caused_by(e))?;
    write_atomic(&into.join(INDEX), &index, PRIVATE_FILE)?;
    read_index(into)?;
    kept.push(SnapshotFile { path: INDEX.to_owned(), bytes: index.len() as u64, blake3: blake3_hex(&index) });
    Ok(kept)
}

fn read_index(snapshot: &Path) -> Result<Vec<Entry>, StepError> {
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

/// Puts the files of a snapshot back, one by one. What is there now is copied or moved aside first.
pub(super) fn restore(
    cx: &StepContext,
    folder: &Path,
    present: &[Entry],
    from: &SnapshotManifest,
    options: &RestoreOptions,
) -> Result<Restored, StepError> {
    prove(from)?;
    let wanted = read_index(&from.folder)?;
    let names: BTreeSet<&str> = wanted.iter().map(|e| e.path.as_str()).collect();
    let appeared: Vec<&Entry> = present.iter().filter(|e| !names.contains(e.path.as_str())).collect();
    let ours = written(&from.target, options)?;
    let mut foreign = Vec::new();
    for &entry in &appeared {
        if ours.get(&entry.path) != Some(&print(folder, entry)?) {
            foreign.push(entry);
        }
    }
    if !foreign.is_empty() && !options.accept_loss {
        let shown: Vec<_> = foreign.iter().take(5).map(|e| format!("`{}`", e.path)).collect();
        return Err(StepError::conflict(format!(
            "{} files appeared in `{}` since the snapshot: {}{}",
            foreign.len(),
            folder.display(),
            shown.join(", "),
            if foreign.len() > shown.len() { ", …" } else { "" }
        ))
        .with_help("with `--accept-loss` they are moved aside and everything else is put back"));
    }
    private_dir(&options.aside)?;
    let now: BTreeMap<&str, &Entry> = present.iter().map(|e| (e.path.as_str(), e)).collect();
    let hashes: BTreeMap<&str, &str> = from.files.iter().map(|f| (f.path.as_str(), f.blake3.as_str())).collect();
    for (i, entry) in wanted.iter().enumerate() {
        cx.progress(i as u64, Some(wanted.len() as u64), "files");
        let path = inside(folder, &entry.path, false)?;
        let there = now.get(entry.path.as_str());
        let hash = hashes.get(format!("{FILES}/{}", entry.path).as_str()).copied();
        if let Some(there) = there {
            if there.shape() == entry.shape() && same_content(&path, entry, hash)? {
                continue;
            }
            keep_aside(&path, there, &options.aside)?;
        }
        put(&path, entry, &from.folder)?;
    }
    for entry in &appeared {
        let path = inside(folder, &entry.path, false)?;
        move_file(&path, &free(&options.aside.join(&entry.path)))?;
    }
    let lost = match foreign.len() {
        0 => BTreeMap::new(),
        n => BTreeMap::from([("files".to_owned(), n as u64)]),
    };
    Ok(Restored { aside: options.aside.clone(), lost })
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

/// The same of every step that a restore takes back.
fn written(target: &str, options: &RestoreOptions) -> Result<BTreeMap<String, String>, StepError> {
    let mut written = BTreeMap::new();
    for (step, receipt) in &options.undone {
        if let Some(wrote) = receipt.as_ref().and_then(|r| r.wrote.get(target)) {
            let paths: BTreeMap<String, String> = serde_json::from_value(wrote.clone()).map_err(|e| {
                StepError::failed(format!("the receipt of step `{step}` does not say which files it wrote"))
                    .caused_by(e)
            })?;
            written.extend(paths);
        }
    }
    Ok(written)
}

/// A file's content or a link's destination, in short.
fn print(folder: &Path, entry: &Entry) -> Result<String, StepError> {
    match &entry.kind {
        Kind::File => Ok(format!("file {}", hash_file(&folder.join(&entry.path))?.1)),
        Kind::Link { to } => Ok(format!("link {to}")),
        Kind::Special => Ok("special".to_owned()),
    }
}

/// A snapshot that is not whole is refused before anything is touched.
fn prove(from: &SnapshotManifest) -> Result<(), StepError> {
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

fn same_content(path: &Path, entry: &Entry, hash: Option<&str>) -> Result<bool, StepError> {
    match (&entry.kind, hash) {
        (Kind::File, Some(hash)) => Ok(hash_file(path)?.1 == hash),
        (Kind::Link { .. }, _) => Ok(true),
        _ => Ok(false),
    }
}

fn keep_aside(path: &Path, entry: &Entry, aside: &Path) -> Result<(), StepError> {
    let to = free(&aside.join(&entry.path));
    if let Some(above) = to.parent() {
        private_dir(above)?;
    }
    match &entry.kind {
        Kind::File => copy_file(path, &to).map(drop)?,
        Kind::Link { to: destination } => symlink(destination, &to).map_err(|e| io_error("cannot write", &to, e))?,
        Kind::Special => return move_file(path, &to),
    }
    sync_parent(&to)
}

fn put(path: &Path, entry: &Entry, snapshot: &Path) -> Result<(), StepError> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(|e| io_error("cannot make", above, e))?;
    }
    match &entry.kind {
        Kind::File => {
            let kept = snapshot.join(FILES).join(&entry.path);
            let bytes = fs::read(&kept).map_err(|e| io_error("cannot read", &kept, e))?;
            write_atomic(path, &bytes, entry.mode)
        }
        Kind::Link { to } => {
            let partial = path.with_extension("cutover-link");
            let _ = fs::remove_file(&partial);
            symlink(to, &partial)
                .and_then(|()| fs::rename(&partial, path))
                .map_err(|e| io_error("cannot write", path, e))?;
            sync_parent(path)
        }
        Kind::Special => Ok(()),
    }
}

/// `path`, or the first `path-2`, `path-3` … that is free: nothing set aside is ever overwritten.
fn free(path: &Path) -> PathBuf {
    let numbered = |n: u32| if n == 1 { path.to_owned() } else { PathBuf::from(format!("{}-{n}", path.display())) };
    (1..).map(numbered).find(|p| p.symlink_metadata().is_err()).unwrap_or_else(|| path.to_owned())
}

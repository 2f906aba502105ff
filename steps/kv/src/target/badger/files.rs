//! A Badger directory kept and put back as the files that it is.
//!
//! Owns the layout of such a snapshot (`files/`, and `index.json` with their modes; format version 1), what is foreign at a
//! restore, and that a restore which was killed goes on. The directory is exchanged in one move, since Badger makes a new
//! database where it finds none.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cutover_core::disk::{
    PRIVATE_FILE, copy_file, hash_file, io_error, partial_name, private_dir, remove_all, rename, sync_dir, sync_parent,
    write_atomic,
};
use cutover_core::{
    Depth, RestoreOptions, Restored, SnapshotFile, SnapshotManifest, StepContext, StepError, TargetKind, blake3_hex,
    canonical_json, fault,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use super::BadgerTarget;
use crate::badger::{BadgerDir, BadgerOptions, hold_alone};
use crate::copy::compare;
use crate::error::KvError;
use crate::target::snapshot::prove;
use crate::target::{content, look};

const VERSION: u32 = 1;
const INDEX: &str = "index.json";
const FILES: &str = "files";

/// The modes of the folder and of its files, by name: the copies are private.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    version: u32,
    folder: u32,
    files: BTreeMap<String, u32>,
}

impl Index {
    fn of(folder: &Path) -> Result<Self, StepError> {
        let mut files = BTreeMap::new();
        for file in look::files(folder)? {
            let name = file.strip_prefix(folder).ok().and_then(Path::to_str).map(str::to_owned);
            let Some(name) = name.filter(|_| file.is_file() && !file.is_symlink()) else {
                return Err(StepError::unavailable(format!("`{}` is no file of Badger's", file.display()))
                    .with_help("move it out of the database's folder"));
            };
            files.insert(name, mode(&file)?);
        }
        Ok(Self { version: VERSION, folder: mode(folder)?, files })
    }

    fn read(snapshot: &Path) -> Result<Self, StepError> {
        let path = snapshot.join(INDEX);
        let bytes = fs::read(&path).map_err(|e| io_error("cannot read", &path, e))?;
        let index: Self = serde_json::from_slice(&bytes)
            .map_err(|e| StepError::failed(format!("`{}` is damaged", path.display())).caused_by(e))?;
        if index.version > VERSION {
            return Err(StepError::failed(format!("`{}` has format version {}", path.display(), index.version))
                .with_help("use the build that wrote it"));
        }
        Ok(index)
    }
}

fn mode(path: &Path) -> Result<u32, StepError> {
    let found = path.symlink_metadata().map_err(|e| io_error("cannot look at", path, e))?;
    Ok(found.permissions().mode() & 0o7777)
}

/// Copies the directory into a snapshot, and opens and reads the copy.
pub(super) fn take(target: &BadgerTarget, cx: &StepContext, into: &Path) -> Result<SnapshotManifest, StepError> {
    let held = target.open()?;
    let index = Index::of(&target.path)?;
    let folder = into.join(FILES);
    private_dir(&folder)?;
    let mut files = Vec::new();
    for (n, name) in (1..).zip(index.files.keys()) {
        let (bytes, blake3) = copy_file(&target.path.join(name), &folder.join(name))?;
        files.push(SnapshotFile { path: format!("{FILES}/{name}"), bytes, blake3 });
        cx.progress(n, Some(index.files.len() as u64), "files");
        fault::point(fault::BADGER_SNAPSHOT_FILE);
    }
    sync_dir(&folder)?;
    let text = serde_json::to_vec_pretty(&index)
        .map_err(|e| StepError::internal("an index could not be written as JSON").caused_by(e))?;
    write_atomic(&into.join(INDEX), &text, PRIVATE_FILE)?;
    files.push(SnapshotFile { path: INDEX.to_owned(), bytes: text.len() as u64, blake3: blake3_hex(&text) });
    let counts = content::counted(kept(target, into)?.scan(0)?, cx)?;
    drop(held);
    fault::point(fault::BADGER_SNAPSHOT_MADE);
    Ok(SnapshotManifest {
        version: SnapshotManifest::VERSION,
        target: target.name.clone(),
        kind: BadgerTarget::KIND.to_owned(),
        taken_at: cx.now(),
        folder: into.to_owned(),
        files,
        schema_digest: target.print(cx, Depth::Schema)?.schema_digest(),
        counts,
    })
}

/// The copy in a snapshot.
fn kept(target: &BadgerTarget, snapshot: &Path) -> Result<BadgerDir, KvError> {
    BadgerDir::open(&snapshot.join(FILES), &target.options)
}

/// Copies the files of a directory to another, with their modes.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StepError> {
    let index = Index::of(from)?;
    fill(from, to, &index)
}

fn fill(from: &Path, to: &Path, index: &Index) -> Result<(), StepError> {
    private_dir(to)?;
    let set = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|e| io_error("cannot set the mode of", path, e))
    };
    for (name, mode) in &index.files {
        copy_file(&from.join(name), &to.join(name))?;
        set(&to.join(name), *mode)?;
    }
    sync_dir(to)?;
    set(to, index.folder)
}

/// Puts a snapshot back.
pub(super) fn restore(
    target: &BadgerTarget,
    cx: &StepContext,
    from: &SnapshotManifest,
    options: &RestoreOptions,
) -> Result<Restored, StepError> {
    prove(from)?;
    let index = Index::read(&from.folder)?;
    let prepared = partial_name(&target.path)?;
    let done = |lost| Restored { aside: options.aside.clone(), lost };
    if is_as(&target.path, from, &index)? {
        // The exchange was made, perhaps by a restore that was killed after it.
        remove_all_of(&prepared)?;
        return Ok(done(BTreeMap::new()));
    }
    let there = target.path.symlink_metadata().is_ok();
    let lost = if there { lost(target, cx, from, options)? } else { BTreeMap::new() };
    let held = there.then(|| hold_alone(&target.path)).transpose()?;
    if there {
        set_aside(target, options)?;
    }
    fault::point(fault::BADGER_RESTORE_ASIDE);
    remove_all_of(&prepared)?;
    fill(&from.folder.join(FILES), &prepared, &index)?;
    fault::point(fault::BADGER_RESTORE_PREPARED);
    exchange(&prepared, &target.path, there)?;
    fault::point(fault::BADGER_RESTORED);
    drop(held);
    remove_all_of(&prepared)?;
    sync_parent(&target.path)?;
    Ok(done(lost))
}

/// Whether the directory holds the files of the snapshot and no others.
fn is_as(folder: &Path, from: &SnapshotManifest, index: &Index) -> Result<bool, StepError> {
    if !folder.is_dir() || Index::of(folder)?.files.keys().ne(index.files.keys()) {
        return Ok(false);
    }
    for file in from.files.iter().filter(|file| file.path != INDEX) {
        let Some(name) = file.path.strip_prefix(&format!("{FILES}/")) else { return Ok(false) };
        if hash_file(&folder.join(name))? != (file.bytes, file.blake3.clone()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Records of others that a restore takes back, or a refusal.
fn lost(
    target: &BadgerTarget,
    cx: &StepContext,
    from: &SnapshotManifest,
    options: &RestoreOptions,
) -> Result<BTreeMap<String, u64>, StepError> {
    let refused = |what: String| {
        Err(StepError::conflict(what).with_help("with `--accept-loss` it is set aside whole and the snapshot put back"))
    };
    let path = target.path.display();
    let all = BadgerOptions { replay: true, ..target.options.clone() };
    let found = BadgerDir::open(&target.path, &all)
        .and_then(|present| compare(kept(target, &from.folder)?.scan(0)?, present.scan(0)?));
    let found = match found {
        Ok(found) => found,
        Err(error) if matches!(error.kind, crate::KvErrorKind::InUse(_)) => return Err(error.into()),
        Err(error) if options.accept_loss => {
            cx.progress(0, None, "what is there cannot be read");
            let _ = error;
            return Ok(BTreeMap::new());
        }
        Err(error) => {
            return refused(format!("what is in `{path}` now cannot be read, and so not be counted: {error}"));
        }
    };
    let foreign: u64 = found.differing.values().sum();
    if foreign == 0 || is_ours(target, cx, options)? {
        return Ok(BTreeMap::new());
    }
    if options.accept_loss {
        return Ok(BTreeMap::from([("records".to_owned(), foreign)]));
    }
    let shown: Vec<_> =
        found.named.iter().take(3).map(|(how, key, version)| content::named(*how, key, *version)).collect();
    let records = if foreign == 1 { "record" } else { "records" };
    refused(format!("{foreign} {records} in `{path}` changed since the snapshot: {}", shown.join(", ")))
}

/// Whether the directory is as a step left it that is undone with this restore.
fn is_ours(target: &BadgerTarget, cx: &StepContext, options: &RestoreOptions) -> Result<bool, StepError> {
    let said = |receipt: &cutover_core::Receipt| receipt.wrote.get(&target.name).map(canonical_json);
    let said: Vec<String> = options.undone.values().flatten().filter_map(said).collect();
    Ok(!said.is_empty() && said.contains(&canonical_json(&target.left(cx)?)))
}

/// Copies what is there aside, once: what a killed restore set aside was whole.
fn set_aside(target: &BadgerTarget, options: &RestoreOptions) -> Result<(), StepError> {
    let aside = options.aside.join(&target.name);
    if aside.exists() {
        return Ok(());
    }
    private_dir(&options.aside)?;
    let partial = partial_name(&aside)?;
    remove_all_of(&partial)?;
    copy(&target.path, &partial)?;
    rename(&partial, &aside).map_err(|e| io_error("cannot move", &partial, e))?;
    sync_parent(&aside)
}

/// Puts `prepared` where the directory is, and the directory where `prepared` was. What is there is set aside already: a
/// file system that cannot exchange names loses nothing.
fn exchange(prepared: &Path, folder: &Path, there: bool) -> Result<(), StepError> {
    let moved = match there && renameat_with(CWD, prepared, CWD, folder, RenameFlags::EXCHANGE).is_ok() {
        true => Ok(()),
        false => {
            if there {
                remove_all(folder).map_err(|e| io_error("cannot remove", folder, e))?;
            }
            rename(prepared, folder)
        }
    };
    moved.map_err(|e| io_error("cannot move", prepared, e))?;
    sync_parent(folder)
}

fn remove_all_of(path: &Path) -> Result<(), StepError> {
    match path.symlink_metadata() {
        Ok(_) => remove_all(path).map_err(|e| io_error("cannot remove", path, e)),
        Err(_) => Ok(()),
    }
}

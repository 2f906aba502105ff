//! The files of a snapshot put back one by one, and what is there now set aside.
//!
//! Owns what may be replaced, and the refusals. The snapshot's layout is `snapshot`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk::{
    copy_file, hash_file, inside, io_error, make_dir, make_link, partial_name, private_dir, remove_dir, remove_file,
    rename, sync_parent, write_atomic,
};
use cutover_core::{RestoreOptions, Restored, SnapshotManifest, StepContext, StepError, fault};

use super::moving::move_file;
use super::snapshot::{FILES, print, prove, read_index};
use super::walk::{Entry, Kind};

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
    let was: BTreeMap<&str, String> = wanted
        .iter()
        .map(|e| Ok((e.path.as_str(), print(&from.folder.join(FILES), e)?)))
        .collect::<Result<_, StepError>>()?;
    let ours = written(&from.target, options)?;
    let mut foreign = Vec::new();
    for entry in present {
        let print = print(folder, entry)?;
        if was.get(entry.path.as_str()) != Some(&print) && ours.get(&entry.path) != Some(&print) {
            foreign.push(entry);
        }
    }
    if !foreign.is_empty() && !options.accept_loss {
        let shown: Vec<_> = foreign.iter().take(5).map(|e| format!("`{}`", e.path)).collect();
        return Err(StepError::conflict(format!(
            "{} in `{}` {} written by others since the snapshot: {}{}",
            if foreign.len() == 1 { "1 file".to_owned() } else { format!("{} files", foreign.len()) },
            folder.display(),
            if foreign.len() == 1 { "was" } else { "were" },
            shown.join(", "),
            if foreign.len() > shown.len() { ", …" } else { "" }
        ))
        .with_help("with `--accept-loss` they are set aside and everything is put back"));
    }
    refuse_folders_in_the_way(folder, &wanted, &appeared)?;
    private_dir(&options.aside)?;
    for entry in &appeared {
        let path = inside(folder, &entry.path, false)?;
        move_file(&path, &free(&options.aside.join(&entry.path)))?;
        fault::point(fault::DIR_RESTORE_MOVED);
    }
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
            fault::point(fault::DIR_RESTORE_ASIDE);
        }
        if is_folder(&path) {
            remove_folders(&path)?;
        }
        put(&path, entry, &from.folder)?;
        fault::point(fault::DIR_RESTORE_FILE);
    }
    let lost = match foreign.len() {
        0 => BTreeMap::new(),
        n => BTreeMap::from([("files".to_owned(), n as u64)]),
    };
    Ok(Restored { aside: options.aside.clone(), lost })
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
        Kind::Link { to: destination } => {
            make_link(destination.as_ref(), &to).map_err(|e| io_error("cannot write", &to, e))?;
        }
        Kind::Special => return move_file(path, &to),
    }
    sync_parent(&to)
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_dir())
}

/// Where a file or a link was, a folder may stand now. What is in it has to be among the files that are set aside.
fn refuse_folders_in_the_way(folder: &Path, wanted: &[Entry], appeared: &[&Entry]) -> Result<(), StepError> {
    let known: BTreeSet<PathBuf> = appeared.iter().map(|e| folder.join(&e.path)).collect();
    for entry in wanted {
        let path = inside(folder, &entry.path, false)?;
        let mut open = if is_folder(&path) { vec![path] } else { Vec::new() };
        while let Some(inner) = open.pop() {
            for found in fs::read_dir(&inner).map_err(|e| io_error("cannot read", &inner, e))? {
                let found = found.map_err(|e| io_error("cannot read", &inner, e))?.path();
                if is_folder(&found) {
                    open.push(found);
                } else if !known.contains(&found) {
                    return Err(StepError::conflict(format!(
                        "`{}` was a file, and is a folder with `{}` in it, which does not belong to the target",
                        entry.path,
                        found.display()
                    ))
                    .with_help("move it away, then run the same command again; nothing was restored"));
                }
            }
        }
    }
    Ok(())
}

/// Removes a folder with nothing but folders in it.
fn remove_folders(path: &Path) -> Result<(), StepError> {
    for inner in fs::read_dir(path).map_err(|e| io_error("cannot read", path, e))? {
        remove_folders(&inner.map_err(|e| io_error("cannot read", path, e))?.path())?;
    }
    remove_dir(path).map_err(|e| io_error("cannot remove", path, e))
}

fn put(path: &Path, entry: &Entry, snapshot: &Path) -> Result<(), StepError> {
    if let Some(above) = path.parent() {
        make_dir(above)?;
    }
    match &entry.kind {
        Kind::File => {
            let kept = snapshot.join(FILES).join(&entry.path);
            let bytes = fs::read(&kept).map_err(|e| io_error("cannot read", &kept, e))?;
            write_atomic(path, &bytes, entry.mode)
        }
        Kind::Link { to } => {
            let partial = partial_name(path)?;
            let _ = remove_file(&partial);
            make_link(to.as_ref(), &partial)
                .and_then(|()| {
                    fault::point(fault::DISK_PARTIAL);
                    rename(&partial, path)
                })
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

//! A copy of a store's folder, to read from.
//!
//! Owns that nobody has the store open while it is copied, and that one copy serves until a file of the store changes.

use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::disk;
use tempfile::TempDir;

use crate::error::{KvError, Result};
use crate::holder;
use crate::store::{Engine, Keyed};

/// A copy and the store in it.
#[derive(Debug)]
pub(crate) struct Look<E: Engine> {
    // Dropped before its folder.
    store: Keyed<E>,
    stamp: u64,
    _folder: TempDir,
}

impl<E: Engine> Look<E> {
    /// `earlier` if the store at `path` is as it was, else a copy made anew; none where no store is.
    pub(super) fn renewed(earlier: Option<Arc<Self>>, path: &Path) -> Result<Option<Arc<Self>>> {
        if !E::is_there(path) {
            return Ok(None);
        }
        let stamp = stamp(path)?;
        if let Some(earlier) = earlier.filter(|earlier| earlier.stamp == stamp) {
            return Ok(Some(earlier));
        }
        // Private: what is in it is somebody's data.
        let folder = tempfile::Builder::new().prefix("cutover-look-").tempdir();
        let folder = folder.map_err(|error| KvError::of(&std::env::temp_dir(), error))?;
        let inside = folder.path().join("store");
        copy::<E>(path, &inside)?;
        let store = Keyed::open(&inside).map_err(|error| KvError { path: path.to_owned(), ..error })?;
        Ok(Some(Arc::new(Self { store, stamp, _folder: folder })))
    }

    pub(super) fn store(&self) -> &Keyed<E> {
        &self.store
    }
}

/// Copies the folder of a store that nobody has open; of none, nothing.
pub(super) fn copy<E: Engine>(from: &Path, to: &Path) -> Result<()> {
    let _held = holder::hold(from, E::lock_file())?;
    let of_disk = |error| KvError::of(to, error);
    for file in files(from)? {
        let to = file.strip_prefix(from).map_or_else(|_| to.to_owned(), |below| to.join(below));
        if let Some(above) = to.parent() {
            disk::private_dir(above).map_err(of_disk)?;
        }
        // Not synced: it is read now, or it is a rehearsal's.
        fs::copy(&file, &to).map_err(|error| KvError::of(&to, error))?;
    }
    Ok(())
}

/// Bytes of all files of a folder; 0 of none.
pub(super) fn bytes(folder: &Path) -> Result<u64> {
    let lengths = files(folder)?.into_iter().map(|file| {
        let meta = file.symlink_metadata().map_err(|error| KvError::of(&file, error))?;
        // What is set aside and was never written takes no room.
        Ok(meta.len().min(meta.blocks() * 512))
    });
    lengths.sum()
}

/// A number that moves when a file of the folder does.
pub(super) fn stamp(folder: &Path) -> Result<u64> {
    let mut hasher = blake3::Hasher::new();
    for file in files(folder)? {
        let Ok(meta) = file.symlink_metadata() else { continue };
        hasher.update(file.as_os_str().as_encoded_bytes());
        for n in [meta.len(), meta.mtime() as u64, meta.mtime_nsec() as u64, meta.ino()] {
            hasher.update(&n.to_le_bytes());
        }
    }
    let (first, _) = hasher.finalize().as_bytes().split_first_chunk().map_or(([0; 8], ()), |(first, _)| (*first, ()));
    Ok(u64::from_le_bytes(first))
}

/// The plain files below a folder, sorted; none where it is not there.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries.collect::<io::Result<Vec<DirEntry>>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(error),
        };
        for entry in entries.map_err(|error| KvError::of(&folder, error))? {
            match entry.file_type().map_err(|error| KvError::of(&entry.path(), error))? {
                kind if kind.is_dir() => open.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found.sort();
    Ok(found)
}

//! The copying of folders as they lie there. Where their links lead in the copy is `links`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::StepContext;
use cutover_core::disk::private_dir;

use super::links::Links;
use super::scratch::{failed, stopped};
use crate::error::Result;

/// The copying of a root, and of what lies outside of it.
pub(super) struct Copying {
    /// Each folder, and where its copy goes.
    pub copies: Vec<(PathBuf, PathBuf)>,
    /// What is not copied as it lies there.
    pub left_out: BTreeSet<PathBuf>,
    pub links: Links,
    pub cx: StepContext,
}

impl Copying {
    /// Copies it all. Returns the links that lead out of it, and what became of them.
    pub(super) fn all(mut self) -> Result<BTreeMap<PathBuf, String>> {
        for (from, to) in std::mem::take(&mut self.copies) {
            private_dir(&to)?;
            self.tree(&from, &to)?;
        }
        Ok(self.links.leading_out())
    }

    /// Copies files, folders and links that are not there yet. Sockets, pipes and devices are left out.
    fn tree(&mut self, from: &Path, to: &Path) -> Result<()> {
        let mut entries: Vec<_> = fs::read_dir(from)
            .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
            .map_err(|e| failed(from, &e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let copy = to.join(entry.file_name());
            let copied = copy.symlink_metadata().ok();
            // A target copies its links as they are; and one that was there then is none to go through now.
            let raw = copied.as_ref().is_some_and(fs::Metadata::is_symlink);
            if raw {
                fs::remove_file(&copy).map_err(|e| failed(&copy, &e))?;
            }
            if self.left_out.contains(&path) || is_lock(&path) {
                continue;
            }
            if self.cx.stop_requested() {
                return Err(stopped());
            }
            let kind = entry.file_type().map_err(|e| failed(&path, &e))?;
            if copied.is_some() && !raw && !kind.is_dir() {
                // A target's own copy is consistent; this one would not be.
                continue;
            }
            if kind.is_dir() {
                private_dir(&copy)?;
                self.tree(&path, &copy)?;
                let mode = entry.metadata().map_err(|e| failed(&path, &e))?.permissions();
                fs::set_permissions(&copy, mode).map_err(|e| failed(&copy, &e))?;
            } else if kind.is_symlink() {
                self.links.copy(&path, &copy).map_err(|e| failed(&path, &e))?;
            } else if kind.is_file() {
                copy_file(&path, &copy).map_err(|e| failed(&path, &e))?;
            }
        }
        Ok(())
    }
}

/// A copy that shares its blocks where the file system can, else a plain one.
pub(super) fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let source = fs::File::open(from)?;
    let target = fs::OpenOptions::new().write(true).create_new(true).open(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        std::io::copy(&mut &source, &mut &target)?;
    }
    fs::set_permissions(to, source.metadata()?.permissions())
}

pub(super) fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(".cutover-lock"))
}

//! The files of a folder, in the order of their paths. Links are seen as links and never followed.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use cutover_core::disk::{PARTIAL_SUFFIX, io_error};
use cutover_core::{StepContext, StepError};
use serde::{Deserialize, Serialize};

use super::DirConfig;
use crate::globs;

/// One file or link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Relative to the folder, with `/`.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// Permission bits; 0 for links, whose mode means nothing.
    pub(crate) mode: u32,
    /// Size of a file; 0 for everything else.
    pub(crate) bytes: u64,
    /// Time of change and inode: moves when somebody writes. Not content.
    #[serde(skip)]
    pub(crate) stamp: String,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A plain file.
    File,
    /// A symbolic link.
    Link {
        /// As written in the link.
        to: String,
    },
    /// A socket, a pipe or a device: seen, never copied.
    Special,
}

impl Entry {
    /// Kind, mode and destination as text.
    pub(crate) fn shape(&self) -> String {
        match &self.kind {
            Kind::File => format!("file {:o}", self.mode),
            Kind::Link { to } => format!("link {to}"),
            Kind::Special => "special".to_owned(),
        }
    }

    /// What is wrong with it already.
    pub(crate) fn problem(&self, folder: &Path) -> Option<String> {
        match &self.kind {
            Kind::File => {
                File::open(folder.join(&self.path)).err().map(|e| format!("`{}` cannot be read: {e}", self.path))
            }
            Kind::Link { .. } if !folder.join(&self.path).exists() => {
                Some(format!("the link `{}` leads nowhere", self.path))
            }
            Kind::Link { .. } => None,
            Kind::Special => Some(format!("`{}` is no file: it is not kept in snapshots", self.path)),
        }
    }
}

/// Whether a relative path is ours and so never content: state, locks, files being written.
pub(crate) fn is_ours(path: &str) -> bool {
    path.split('/').any(|name| {
        name == ".cutover"
            || name.starts_with('.') && (name.ends_with(".cutover-lock") || name.ends_with(PARTIAL_SUFFIX))
    })
}

/// Every entry of the target, by path.
pub(crate) fn walk(cx: &StepContext, folder: &Path, config: &DirConfig) -> Result<Vec<Entry>, StepError> {
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(StepError::unavailable(format!("`{}` is no folder", folder.display()))),
        Err(e) => return Err(io_error("cannot open the folder", folder, e)),
    }
    let state = cx.state_dir();
    let mut starts: Vec<_> = config.include.iter().map(|p| globs::literal_prefix(p)).collect();
    if starts.is_empty() {
        starts.push(String::new());
    }
    let mut entries = Vec::new();
    for start in starts {
        // Below a link is somebody else's folder.
        let linked =
            Path::new(&start).ancestors().skip(1).any(|up| folder.join(up).is_symlink() && up != Path::new(""));
        if !linked {
            descend(folder, &start, state, config, &mut entries)?;
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries.dedup_by(|a, b| a.path == b.path);
    Ok(entries)
}

fn descend(
    folder: &Path,
    path: &str,
    state: &Path,
    config: &DirConfig,
    entries: &mut Vec<Entry>,
) -> Result<(), StepError> {
    let full = if path.is_empty() { folder.to_owned() } else { folder.join(path) };
    if is_ours(path) || full == state {
        return Ok(());
    }
    let found = match fs::symlink_metadata(&full) {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io_error("cannot look at", &full, e)),
    };
    // The target's own folder may be a link that the operator made.
    if !(found.is_dir() || path.is_empty()) {
        if config.covers(path) {
            entries.push(entry(&full, path, &found)?);
        }
        return Ok(());
    }
    if !path.is_empty() && globs::any_matches(&config.exclude, path) {
        return Ok(());
    }
    for child in fs::read_dir(&full).map_err(|e| io_error("cannot read the folder", &full, e))? {
        let name = child.map_err(|e| io_error("cannot read the folder", &full, e))?.file_name();
        let Some(name) = name.to_str() else {
            return Err(StepError::unavailable(format!("the name of `{}` is not UTF-8", full.join(&name).display()))
                .with_help("rename it, or exclude its folder from the target"));
        };
        let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        descend(folder, &below, state, config, entries)?;
    }
    Ok(())
}

fn entry(full: &Path, path: &str, found: &Metadata) -> Result<Entry, StepError> {
    let kind = if found.is_file() {
        Kind::File
    } else if found.is_symlink() {
        let to = fs::read_link(full).map_err(|e| io_error("cannot read the link", full, e))?;
        Kind::Link { to: to.to_string_lossy().into_owned() }
    } else {
        Kind::Special
    };
    let is_file = kind == Kind::File;
    Ok(Entry {
        path: path.to_owned(),
        kind,
        mode: if is_file { found.permissions().mode() & 0o7777 } else { 0 },
        bytes: if is_file { found.len() } else { 0 },
        stamp: format!("{} {}.{} {}", found.ino(), found.ctime(), found.ctime_nsec(), found.len()),
    })
}

//! Whether there is room on a file system, and whether it shares the blocks of copies.
//!
//! Owns both questions and the refusal. Knows nothing of what the bytes are for.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::disk::io_error;
use crate::{StepError, StepErrorKind};

/// Room on a file system, as asked for and as found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Space {
    /// Bytes free to us.
    pub free: u64,
    /// Bytes asked for.
    pub needed: u64,
}

/// The room at `folder`, which need not be there yet; less than `needed` is a refusal that says how much is missing.
pub fn room(folder: &Path, needed: u64, what: &str, help: &str) -> Result<Space, StepError> {
    let there = existing(folder);
    let stat = rustix::fs::statvfs(there).map_err(|e| io_error("cannot ask for the free space of", there, e.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed {
        let missing = format!(
            "not enough free space for {what}: {} needed, {} free in `{}`, {} missing",
            size(needed),
            size(free),
            there.display(),
            size(needed - free)
        );
        return Err(StepError::new(StepErrorKind::Storage, missing).with_help(help));
    }
    Ok(Space { free, needed })
}

/// Whether a copy in `folder` of what lies at `from` can share its blocks. Leaves nothing behind.
pub fn shares_blocks(from: &Path, folder: &Path) -> bool {
    let there = existing(folder);
    let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
    if device(existing(from)) != device(there) {
        return false;
    }
    let nameless = || {
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        rustix::fs::open(there, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    };
    let (Ok(mut one), Ok(other)) = (nameless(), nameless()) else { return false };
    one.write_all(&[1; 4096]).is_ok() && rustix::fs::ioctl_ficlone(&other, &one).is_ok()
}

/// Whether both lie, or will lie, on one file system.
pub fn same_file_system(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| existing(path).metadata().map(|m| m.dev()).ok();
    device(one).is_some() && device(one) == device(other)
}

/// What is there of `path`.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."))
}

/// Bytes for people: "3.5 MiB".
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_room_is_said_in_bytes() {
        let error = room(Path::new("/not/there"), u64::MAX, "a snapshot", "").unwrap_err();
        assert!(error.is_of_storage(), "with room, the same again may end");
        let error = error.to_string();
        assert!(error.contains("needed") && error.contains("free in `/`") && error.contains("missing"), "{error}");
        assert!(room(Path::new("/"), 0, "nothing", "").is_ok());
    }

    #[test]
    fn asking_whether_blocks_are_shared_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let _ = shares_blocks(folder.path(), &folder.path().join("not/there/yet"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

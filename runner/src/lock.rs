//! One writer: OS file locks on the state folder and beside every target, freed by the kernel when their owner dies.
//!
//! The holder writes who it is into the lock file. Taking over replaces the file (a new inode), so that the old
//! holder's lock no longer counts; whoever locks a file then checks that the path still leads to it. What is written
//! goes into a regular file of that one name: no symbolic link is followed.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cutover_core::disk;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Since when (RFC 3339, UTC).
    pub since: String,
    /// The command.
    pub command: String,
}

/// A lock that is held; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub(crate) enum LockError {
    /// Somebody else has it.
    #[error("`{path}` is held by {}", describe(holder.as_ref()))]
    Held {
        /// The lock file.
        path: String,
        /// Who, if the file says so.
        holder: Option<Holder>,
    },
    /// What lies there is no lock file of ours.
    #[error("the lock file `{path}` {why}; nothing was changed")]
    Unfit {
        /// The lock file.
        path: String,
        /// What it is.
        why: &'static str,
    },
    /// The file cannot be opened.
    #[error("cannot lock `{path}`: {source}")]
    File {
        /// The lock file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
}

fn describe(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "a process that has not said who it is yet".to_owned(), ToString::to_string)
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {} since {} (`{}`)", self.pid, self.host, self.since, self.command)
    }
}

/// The lock file beside a target: `.<name>.cutover-lock`.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map_or_else(|| "root".to_owned(), |n| n.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.cutover-lock"))
}

impl Lock {
    /// Takes the lock, waiting up to `timeout` for its holder.
    pub(crate) fn acquire(path: &Path, holder: &Holder, timeout: Duration) -> Result<Self, LockError> {
        let until = Instant::now() + timeout;
        loop {
            match Self::try_acquire(path, holder) {
                Err(LockError::Held { .. }) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(50).min(timeout));
                }
                other => return other,
            }
        }
    }

    fn try_acquire(path: &Path, holder: &Holder) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: path.display().to_string(), source };
        loop {
            let mut file = open_own(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { path: path.display().to_string(), holder: read_holder(&file) });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Somebody may have replaced the file between our open and our lock.
            let ours = file.metadata().map_err(failed)?;
            match std::fs::symlink_metadata(path) {
                Ok(now) if now.ino() == ours.ino() && now.dev() == ours.dev() => {}
                _ => continue,
            }
            write_holder(&mut file, holder).map_err(failed)?;
            tracing::debug!(path = %path.display(), "lock taken");
            return Ok(Self { _file: file });
        }
    }

    /// Takes the lock of a holder that is alive but frozen, by putting a new file in its place.
    pub(crate) fn take_over(path: &Path, holder: &Holder) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: path.display().to_string(), source };
        open_own(path)?;
        let fresh = path.with_extension(format!("cutover-lock-{}", holder.pid));
        let mut file = disk::create_new(&fresh).map_err(failed)?;
        file.try_lock().map_err(|e| failed(e.into()))?;
        write_holder(&mut file, holder).map_err(failed)?;
        disk::rename(&fresh, path).map_err(failed)?;
        tracing::warn!(path = %path.display(), "lock taken over");
        Ok(Self { _file: file })
    }
}

/// Who holds the lock, if that process is still there. Takes no lock.
///
/// A killed holder's number may be another process's by now: one that can be looked at and has not got the file open
/// holds nothing.
pub(crate) fn living_holder(path: &Path) -> Option<Holder> {
    let file = OpenOptions::new().read(true).custom_flags(own_flags()).open(path).ok()?;
    let found = file.metadata().ok().filter(Metadata::is_file)?;
    let holder = read_holder(&file)?;
    drop(file);
    let holds = holder.host == host_name() && process_exists(holder.pid) && has_open(holder.pid, &found) != Some(false);
    holds.then_some(holder)
}

/// Whether that process of this machine has the file open.
pub(crate) fn uses(pid: u32, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| has_open(pid, &file) == Some(true))
}

/// Whether the process has that file open; none where that cannot be seen.
fn has_open(pid: u32, file: &Metadata) -> Option<bool> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let same = |found: Metadata| found.ino() == file.ino() && found.dev() == file.dev();
    Some(open.flatten().any(|fd| std::fs::metadata(fd.path()).is_ok_and(same)))
}

/// Whether a process of this machine is stopped and does nothing until somebody lets it go on.
pub(crate) fn is_frozen(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which stands in brackets and may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

/// Whether a process of this machine is there.
pub(crate) fn process_exists(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// This machine's name.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Follow no symbolic link, wait for no pipe.
fn own_flags() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// Opens a lock file, made new if there is none. Anything but a regular file of this one name is refused.
fn open_own(path: &Path) -> Result<File, LockError> {
    let shown = || path.display().to_string();
    let opened = disk::open_or_create(path);
    let found = match &opened {
        Ok(file) => file.metadata(),
        Err(_) => std::fs::symlink_metadata(path),
    };
    if let Some(why) = found.ok().as_ref().and_then(unfit) {
        return Err(LockError::Unfit { path: shown(), why });
    }
    opened.map_err(|source| LockError::File { path: shown(), source })
}

/// Why a file cannot be a lock of ours. No name at all is fit: it was replaced just now.
fn unfit(found: &Metadata) -> Option<&'static str> {
    if found.is_symlink() {
        Some("is a symbolic link")
    } else if !found.is_file() {
        Some("is no regular file")
    } else if found.nlink() > 1 {
        Some("has another name too (a hard link)")
    } else {
        None
    }
}

fn read_holder(file: &File) -> Option<Holder> {
    const LONGEST: u64 = 1 << 20;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_holder(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(holder)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(command: &str) -> Holder {
        Holder { pid: 7, host: "h".into(), since: "2026-01-01T00:00:00Z".into(), command: command.into() }
    }

    #[test]
    fn the_second_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::acquire(&path, &holder("apply"), Duration::ZERO).unwrap();
        let refused = Lock::acquire(&path, &holder("other"), Duration::from_millis(60)).unwrap_err().to_string();
        assert!(refused.ends_with("held by process 7 on h since 2026-01-01T00:00:00Z (`apply`)"), "{refused}");
        drop(first);
        Lock::acquire(&path, &holder("other"), Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_taken_over_does_not_come_back_with_its_old_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let frozen = Lock::acquire(&path, &holder("frozen"), Duration::ZERO).unwrap();
        let taken = Lock::take_over(&path, &holder("rescue")).unwrap();
        drop(frozen);
        let refused = Lock::acquire(&path, &holder("third"), Duration::ZERO).unwrap_err().to_string();
        assert!(refused.contains("`rescue`"), "{refused}");
        drop(taken);
    }

    #[test]
    fn who_has_the_number_of_a_killed_holder_by_now_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let me = Holder { pid: std::process::id(), host: host_name(), ..holder("apply") };
        let held = Lock::acquire(&path, &me, Duration::ZERO).unwrap();
        assert_eq!(living_holder(&path), Some(me));
        drop(held);
        assert_eq!(living_holder(&path), None);
    }

    #[test]
    fn lock_files_lie_beside_their_targets() {
        assert_eq!(beside(Path::new("/a/b/x.db")), Path::new("/a/b/.x.db.cutover-lock"));
    }
}

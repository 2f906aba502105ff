//! Who has a store open.
//!
//! Owns the look at a lock file before a store's own library tries it, so that whoever holds it can be named.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::error::{KvError, KvErrorKind, Result};

/// More than an engine's threads ever needed; who opens it then is told who has it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refuses a folder whose `lock` file another open file holds locked. No such file is no holder.
pub(crate) fn refuse(folder: &Path, lock: &str) -> Result<()> {
    hold(folder, lock).map(drop)
}

/// The same, and nobody else can open it until the file is dropped.
pub(crate) fn hold(folder: &Path, lock: &str) -> Result<Option<File>> {
    let path = folder.join(lock);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KvError::of(&path, error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(KvError::of(&path, error)),
        Err(TryLockError::WouldBlock) => {
            let who = holder(&file).unwrap_or_else(|| "another process".to_owned());
            Err(KvError::of(folder, KvErrorKind::InUse(format!("{who} has it open"))))
        }
    }
}

/// Waits when dropped until nobody holds the lock file any more: an engine's threads let go of it a little after the
/// last handle went, and until then nobody can open the store again.
#[derive(Debug)]
pub(crate) struct Closing(pub(crate) PathBuf);

impl Drop for Closing {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        while File::open(&self.0).is_ok_and(|file| file.try_lock().is_err()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The process that holds a lock on the file, as the kernel lists it: "process 71 (`badger`)".
pub(crate) fn holder(file: &File) -> Option<String> {
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(4);
        let pid = words.next()?;
        let (_, found) = words.next()?.rsplit_once(':')?;
        (found == inode).then_some(pid)
    })?;
    if pid == std::process::id().to_string() {
        return Some("this process".to_owned());
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("process {pid} (`{}`)", name.trim_end()))
}

//! Whether another process has the database open.
//!
//! Owns the question to the kernel. With a write-ahead log every connection holds a shared lock on one byte of the `-shm`
//! file as long as it is open ("deadman switch": `UNIX_SHM_DMS` in SQLite's os_unix.c, byte 128). Connections of this
//! process are not seen.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::still::sibling;

/// The byte on which every connection holds its lock.
const SWITCH: u64 = 128;

/// The `-shm` files that were asked about, by device and inode. None is ever closed: with any descriptor of a file, the
/// kernel drops every lock that this process has on it, those of its connections too.
static FILES: Mutex<BTreeMap<(u64, u64), File>> = Mutex::new(BTreeMap::new());

/// Whether another process has the database at `path` open; also where nothing tells (no write-ahead log).
pub(crate) fn has_others(path: &Path) -> bool {
    look(path).unwrap_or(true)
}

fn look(path: &Path) -> std::io::Result<bool> {
    let path = sibling(path, "-shm");
    let found = std::fs::metadata(&path)?;
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    if !files.contains_key(&(found.dev(), found.ino())) {
        let file = File::open(&path)?;
        // Another file may have taken its place since.
        let is = file.metadata().map(|found| (found.dev(), found.ino()));
        match is {
            Ok(is) if !files.contains_key(&is) => drop(files.insert(is, file)),
            _ => std::mem::forget(file),
        }
    }
    let Some(file) = files.get(&(found.dev(), found.ino())) else { return Ok(true) };
    let lock = Flock { start: SWITCH, length: 1, ..Flock::from(FlockType::WriteLock) };
    Ok(fcntl_getlk(file, &lock)?.is_some())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    use rusqlite::Connection;

    use super::*;

    #[test]
    fn another_process_is_seen_as_long_as_it_has_the_database_open_and_this_one_keeps_its_locks() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(has_others(&path), "without a log nothing tells");
        conn.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO t VALUES (1)").unwrap();
        assert!(!has_others(&path));

        let mut other =
            Command::new("sqlite3").arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(other.stdout.take().unwrap()).lines();
        let mut input = other.stdin.take().unwrap();
        input.write_all(b"SELECT count(*) FROM t;\n").unwrap();
        assert_eq!(said.next().unwrap().unwrap(), "1");
        assert!(has_others(&path));
        // Had a look cost this process its locks, the other would fold the log away under it when it closes.
        conn.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        drop(input);
        assert!(other.wait().unwrap().success());
        assert!(!has_others(&path));
        assert!(sibling(&path, "-wal").exists());
        assert_eq!(conn.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)).unwrap(), 2);
    }
}

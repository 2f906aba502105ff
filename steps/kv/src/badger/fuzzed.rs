//! What a fuzzer feeds of a directory. The first byte says how the rest is to be read.

use std::fs;
use std::path::{Path, PathBuf};

use super::cipher::Key;
use super::entry::{Entry, Stored};
use super::log::{self, Kind, Log};
use super::manifest::{self, Compression, TableEntry, Version};
use super::registry::Registry;
use super::table::{self, Table};
use crate::error::{KvError, Result};

/// A file with those bytes, in memory where that can be.
fn with_file(bytes: &[u8], name: &str, work: impl FnOnce(&Path)) {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()) else { return };
    let path = folder.path().join(name);
    if fs::write(&path, bytes).is_ok() {
        work(&path);
    }
}

fn registry() -> Registry {
    Registry::of_one(1, Key::of(vec![1; 16]))
}

fn lies_inside(error: &KvError, path: &Path, length: usize) {
    assert_eq!(error.path, PathBuf::from(path), "{error}");
    assert!(error.offset.is_none_or(|at| at <= length as u64), "{error} lies outside of {length} bytes");
}

/// Any bytes as a table: the first chooses its version (1), its compression (2, 4) and whether it is encrypted (8). The reader
/// ends and names what is wrong; so do the readers of an index and of a block, whose checksums any other bytes would fail.
pub fn read_table(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let version = if how & 1 == 0 { Version::V2 } else { Version::V3 };
    let compression = match how & 6 {
        2 => Compression::Snappy,
        4 => Compression::Zstd,
        _ => Compression::None,
    };
    let entry = TableEntry { level: 1, key_id: u64::from(how & 8 != 0), compression };
    with_file(bytes, "000001.sst", |path| {
        let mut table = match Table::open(path, version, entry, &registry()) {
            Ok(table) => table,
            Err(error) => return lies_inside(&error, path, bytes.len()),
        };
        let read: Result<Vec<Entry>> = std::iter::from_fn(|| table.next().transpose()).collect();
        if let Err(error) = read {
            lies_inside(&error, path, bytes.len());
        }
        // Sought or read, it ends.
        let _ = table.seek(b"a", 1);
    });
    table::fuzzed(bytes, version, compression);
}

/// Any bytes as a manifest, and as one change of it.
pub fn read_manifest(bytes: &[u8]) {
    let path = Path::new("MANIFEST");
    if let Err(error) = manifest::parse(path, bytes) {
        lies_inside(&error, path, bytes.len());
    }
    let change = [&(bytes.len() as u32).to_be_bytes()[..], &crc32c::crc32c(bytes).to_be_bytes(), bytes].concat();
    let whole = [b"Bdgr\0\0\0\x08", &change[..], &change].concat();
    if let Err(error) = manifest::parse(path, &whole) {
        lies_inside(&error, path, whole.len());
    }
}

/// Any bytes as the log of a memtable; the first says whether it is encrypted (1). The reader ends and names what is wrong, and
/// what it found is found again by its place.
pub fn read_log(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let head = [&u64::from(how & 1).to_be_bytes()[..], &[9; 12]].concat();
    let bytes = [&head, bytes].concat();
    with_file(&bytes, "00001.mem", |path| {
        let mut log = match Log::open(path, &registry()) {
            Ok(log) => log,
            Err(error) => return lies_inside(&error, path, bytes.len()),
        };
        let mut found = Vec::new();
        match log.replay(1, Kind::Memory, 0, &mut found) {
            Ok(left) => assert!(left <= bytes.len() as u64, "{left} bytes were left of {}", bytes.len()),
            Err(error) => lies_inside(&error, path, bytes.len()),
        }
        for entry in found {
            let Stored::Memory(pointer) = entry.value else { panic!("{entry:?} is not in the log") };
            let record = log.at(pointer).unwrap_or_else(|error| panic!("{error}"));
            assert!(record.key.starts_with(&entry.key) && record.key.len() == entry.key.len() + 8);
        }
    });
    log::fuzzed(&bytes);
}

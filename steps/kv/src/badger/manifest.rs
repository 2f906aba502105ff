//! MANIFEST: which tables are there, on which level, and the version that chooses how everything else is read.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use super::bytes::{Bytes, Located, Parsed};
use super::proto::{ManifestChange, ManifestChangeSet};
use crate::{KvError, KvErrorKind, Result};

/// The file's name.
pub(super) const NAME: &str = "MANIFEST";
const MAGIC: &[u8] = b"Bdgr";
/// Badger keeps seven levels; a level is a byte in it.
const LEVELS: u32 = 255;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Badger 2 (format 7): protobuf indexes, the value log is the log.
    V2,
    /// Badger 3 and 4 (format 8): flatbuffers indexes, a log beside each memtable.
    V3,
}

/// How the blocks of a table are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy, raw blocks.
    Snappy,
    /// Zstandard frames.
    Zstd,
}

/// A table as MANIFEST has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableEntry {
    pub(super) level: u32,
    /// 0: not encrypted.
    pub(super) key_id: u64,
    pub(super) compression: Compression,
}

/// What the file says.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) version: Version,
    /// By number; a table's file is its number.
    pub(super) tables: BTreeMap<u64, TableEntry>,
    /// Bytes at the end that are no whole record: a change that was being written.
    pub(super) torn: u64,
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Manifest> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            KvError::of(path, KvErrorKind::Missing("there is no such file, so the folder is no Badger database".into()))
        }
        _ => KvError::of(path, error),
    })?;
    parse(path, &bytes)
}

/// Reads what is in the file.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Manifest> {
    let mut rest = Bytes::of(bytes, "the manifest");
    let version = head(&mut rest).at(path, 0)?;
    let mut manifest = Manifest { version, tables: BTreeMap::new(), torn: 0 };
    loop {
        let left = rest.rest().len();
        let offset = (bytes.len() - left) as u64;
        let Some((set, sum)) = change_set(&mut rest) else {
            manifest.torn = left as u64;
            return Ok(manifest);
        };
        manifest.take(set, sum).at(path, offset)?;
    }
}

fn head(rest: &mut Bytes<'_>) -> Parsed<Version> {
    if rest.take(4)? != MAGIC {
        return Err(KvErrorKind::Malformed("does not begin as Badger's manifests do".into()));
    }
    let number = rest.u32_be()?;
    // From version 3 on the upper half is the application's own.
    match (number >> 16, number & 0xFFFF) {
        (0, 7) => Ok(Version::V2),
        (_, 8) => Ok(Version::V3),
        (0, 4) => {
            Err(KvErrorKind::Unsupported("the manifest is of format 4 (Badger 1.6); formats 7 and 8 are read".into()))
        }
        _ => Err(KvErrorKind::Unsupported(format!(
            "the manifest is of format {number}; formats 7 (Badger 2) and 8 (Badger 3 and 4) are read"
        ))),
    }
}

/// The next record and its checksum; none where what is left is no whole record.
fn change_set<'a>(rest: &mut Bytes<'a>) -> Option<(&'a [u8], u32)> {
    let mut ahead = *rest;
    let length = ahead.u32_be().ok()?;
    let sum = ahead.u32_be().ok()?;
    let set = ahead.take(usize::try_from(length).ok()?).ok()?;
    *rest = ahead;
    Some((set, sum))
}

impl Manifest {
    fn take(&mut self, set: &[u8], sum: u32) -> Parsed<()> {
        if crc32c::crc32c(set) != sum {
            return Err(KvErrorKind::Checksum("the checksum of a change does not match".into()));
        }
        let set = ManifestChangeSet::decode(set)
            .map_err(|error| KvErrorKind::Malformed(format!("a change is no message: {error}")))?;
        set.changes.into_iter().try_for_each(|change| self.change(&change))
    }

    fn change(&mut self, change: &ManifestChange) -> Parsed<()> {
        let id = change.id;
        match change.operation {
            0 => {
                let compression = match change.compression {
                    0 => Compression::None,
                    1 => Compression::Snappy,
                    2 => Compression::Zstd,
                    other => {
                        return Err(KvErrorKind::Unsupported(format!(
                            "table {id} has the unknown compression {other}"
                        )));
                    }
                };
                if change.encryption != 0 {
                    return Err(KvErrorKind::Unsupported(format!("table {id} has an unknown encryption")));
                }
                if change.level > LEVELS {
                    return Err(KvErrorKind::Malformed(format!("table {id} is on level {}", change.level)));
                }
                let entry = TableEntry { level: change.level, key_id: change.key_id, compression };
                match self.tables.insert(id, entry) {
                    None => Ok(()),
                    Some(_) => Err(KvErrorKind::Malformed(format!("table {id} is made twice"))),
                }
            }
            1 => match self.tables.remove(&id) {
                Some(_) => Ok(()),
                None => Err(KvErrorKind::Malformed(format!("table {id} is deleted and was not there"))),
            },
            other => Err(KvErrorKind::Malformed(format!("a change of table {id} is of the unknown kind {other}"))),
        }
    }
}

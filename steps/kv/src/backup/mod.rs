//! Badger's backup files, of its versions 2, 3 and 4: the record in them is the same in all three.
//!
//! Owns the format, which has no document of its own; from Badger's `backup.go` and `pb/badgerpb*.proto`: frames until the
//! file ends, each a length (u64, little endian) and a protobuf message of that length:
//!
//! ```text
//! KVList { 1: repeated KV; 10: uint64 alloc_ref, without meaning in a file }
//! KV     { 1: key; 2: value; 3: user_meta, one byte; 4: version; 5: expires_at, unix seconds; 6: meta, one byte;
//!          10: stream_id; 11: stream_done, such a message is no record }
//! ```
//!
//! There is no magic, no checksum and no trailer: a file that ends between two frames looks whole. What tells is the
//! [`Sidecar`] that is written beside each backup of ours. Badger writes frames of 4 MB (version 2) to 100 MB (4), sorted
//! inside the range of one of its producers and not beyond.

mod file;
mod reader;
mod sidecar;
mod wire;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::record::Record;
use crate::source::{Order, RecordSource};

pub(crate) use file::write_backup_of;
pub use file::{write_backup, write_backup_parts};
pub use reader::{BackupReader, Limits};
pub use sidecar::Sidecar;
pub use writer::BackupWriter;

/// What a backup holds, as counted while it was read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Frames.
    pub frames: u64,
    /// Records, each version of each key.
    pub records: u64,
    /// Records that delete their key.
    pub deletes: u64,
    /// Bytes of keys and values.
    pub payload: u64,
    /// The highest version. An incremental backup that goes on from here is asked for since this very version: Badger 2
    /// then writes its records again, which does no harm, and Badger 3 and 4 take it as exclusive, as their documentation
    /// does not say; since one more they would leave out a commit.
    pub max_version: u64,
}

impl Tally {
    fn add(&mut self, more: &Self) {
        self.frames += more.frames;
        self.records += more.records;
        self.deletes += more.deletes;
        self.payload += more.payload;
        self.max_version = self.max_version.max(more.max_version);
    }

    fn count(&mut self, record: &Record) {
        self.records += 1;
        self.deletes += u64::from(record.meta.is_delete());
        self.payload += (record.key.len() + record.value.len()) as u64;
        self.max_version = self.max_version.max(record.version);
    }
}

/// A backup file as a source of records.
#[derive(Debug, Clone)]
pub struct BackupFile {
    path: PathBuf,
}

impl BackupFile {
    /// The file at `path`; it is opened when it is read.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl RecordSource for BackupFile {
    fn records(&self, since: u64) -> Result<Box<dyn Iterator<Item = Result<Record>> + Send + '_>> {
        let wanted = move |found: &Result<Record>| found.as_ref().map_or(true, |record| record.version >= since);
        Ok(Box::new(BackupReader::open(&self.path)?.filter(wanted)))
    }

    fn order(&self) -> Order {
        Order::Unsorted
    }
}

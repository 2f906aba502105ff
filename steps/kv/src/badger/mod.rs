//! Badger's own directories, read and never written: Badger 2 (MANIFEST of format 7), 3 and 4 (format 8).
//!
//! Owns the formats of MANIFEST, KEYREGISTRY, tables and logs, and which of their records count. Every length is checked
//! before it is used; what is damaged is an error with file and offset. Memory is a block of each run of tables, their
//! indexes, and of what is replayed the keys.
//!
//! Source of the formats: Badger v2.2007.2 and v4 (`manifest.go`, `key_registry.go`, `table/builder.go`, `table/table.go`,
//! `value.go`, `memtable.go`).

mod bytes;
mod checksum;
mod cipher;
mod entry;
#[cfg(any(test, feature = "fuzzed"))]
pub(crate) mod fuzzed;
mod layout;
mod lock;
mod log;
mod manifest;
mod merge;
mod proto;
mod registry;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod unclean;
mod values;
mod window;

use std::path::Path;

pub use cipher::Key;
pub(crate) use lock::hold_alone;
pub use manifest::{Compression, Version};
pub use scan::{Scan, Tally};

use crate::record::Record;
use crate::source::{Order, RecordSource};
use crate::{KvError, KvErrorKind, Result};
use layout::Layout;
use registry::Registry;

/// How a directory is read.
#[derive(Debug, Clone, Default)]
pub struct BadgerOptions {
    /// The master key of an encrypted database.
    pub key: Option<Key>,
    /// Reads a database that was not closed too, with what only its logs hold, as Badger finds it when it opens it.
    pub replay: bool,
}

/// A Badger directory that nobody can open to write while this lives.
#[derive(Debug)]
pub struct BadgerDir {
    layout: Layout,
    /// Bytes at the ends of logs that belong to no whole transaction.
    unfinished: u64,
    _hold: lock::Hold,
}

impl BadgerDir {
    /// Opens a directory: nobody else has it open, its manifest, keys and indexes are whole, and it was closed or is to be
    /// replayed.
    pub fn open(folder: &Path, options: &BadgerOptions) -> Result<Self> {
        let hold = lock::hold(folder)?;
        let registry = Registry::read(&folder.join(registry::NAME), options.key.as_ref())?;
        let mut layout = Layout::read(folder, registry)?;
        let logs = unclean::look(&layout)?;
        let mut unfinished = 0;
        if let Some(why) = &logs.unclean {
            if !options.replay {
                return Err(KvError::of(folder, KvErrorKind::Unclean(format!("the database was not closed: {why}"))));
            }
            unfinished = logs.replay(&mut layout)?;
        }
        Ok(Self { layout, unfinished, _hold: hold })
    }

    /// Which Badger wrote it.
    pub fn version(&self) -> Version {
        self.layout.version()
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.layout.registry.encrypted
    }

    /// The level and the compression of each table.
    pub fn tables(&self) -> impl Iterator<Item = (u32, Compression)> + '_ {
        self.layout.manifest.tables.values().map(|table| (table.level, table.compression))
    }

    /// Files of the value log, and of memtables' logs.
    pub fn logs(&self) -> (usize, usize) {
        (self.layout.values.len(), self.layout.memories.len())
    }

    /// What is not as a closed database leaves it and was left out, as Badger leaves it out, a line each.
    pub fn remarks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.layout.manifest.torn > 0 {
            lines.push(format!("the last {} bytes of MANIFEST are no whole change", self.layout.manifest.torn));
        }
        if self.unfinished > 0 {
            lines
                .push(format!("{} bytes of the logs belong to transactions that were never finished", self.unfinished));
        }
        lines.extend(self.layout.strays.iter().map(|name| format!("MANIFEST does not name the table `{name}`")));
        lines
    }

    /// Every record from version `since` on, in order, with what was met and is none.
    pub fn scan(&self, since: u64) -> Result<Scan<'_>> {
        Scan::start(&self.layout, since)
    }
}

impl RecordSource for BadgerDir {
    fn records(&self, since: u64) -> Result<Box<dyn Iterator<Item = Result<Record>> + Send + '_>> {
        Ok(Box::new(self.scan(since)?))
    }

    fn order(&self) -> Order {
        Order::Sorted
    }
}

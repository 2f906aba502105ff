//! Which files make up a database, and in which order what they hold wins.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::log::Log;
use super::manifest::{self, Manifest, TableEntry, Version};
use super::registry::Registry;
use super::table::Table;
use crate::{KvError, Result};

/// The first key and version of a table, in Badger's order, and its number.
type First = (Vec<u8>, Reverse<u64>, u64);

/// Everything that reading needs to know; nothing is open.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) folder: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) registry: Registry,
    /// Sorted runs of tables, those whose entries win first: each table of level 0 by itself, the newest first, then each
    /// level as a whole, whose tables do not overlap.
    pub(super) runs: Vec<Vec<u64>>,
    /// Files of the value log by number, with their bytes.
    pub(super) values: BTreeMap<u32, u64>,
    /// Logs of memtables by number, with their bytes.
    pub(super) memories: BTreeMap<u32, u64>,
    /// Tables that MANIFEST does not name: Badger deletes them when it opens.
    pub(super) strays: Vec<String>,
    /// What was replayed from the logs, in order: it wins over all tables.
    pub(super) replayed: Vec<Entry>,
}

impl Layout {
    pub(super) fn read(folder: &Path, registry: Registry) -> Result<Self> {
        let manifest = manifest::read(&folder.join(manifest::NAME))?;
        let mut layout = Self {
            folder: folder.to_owned(),
            manifest,
            registry,
            runs: Vec::new(),
            values: BTreeMap::new(),
            memories: BTreeMap::new(),
            strays: Vec::new(),
            replayed: Vec::new(),
        };
        layout.list()?;
        layout.arrange()?;
        Ok(layout)
    }

    pub(super) fn version(&self) -> Version {
        self.manifest.version
    }

    fn list(&mut self) -> Result<()> {
        for item in std::fs::read_dir(&self.folder).map_err(|error| KvError::of(&self.folder, error))? {
            let item = item.map_err(|error| KvError::of(&self.folder, error))?;
            let name = item.file_name();
            let Some((stem, extension)) = name.to_str().and_then(|name| name.rsplit_once('.')) else { continue };
            let bytes = || item.metadata().map(|m| m.len()).map_err(|error| KvError::of(&item.path(), error));
            match (stem.parse::<u32>(), extension) {
                (Ok(number), "vlog") => drop(self.values.insert(number, bytes()?)),
                (Ok(number), "mem") => drop(self.memories.insert(number, bytes()?)),
                (Ok(number), "sst") if !self.manifest.tables.contains_key(&number.into()) => {
                    self.strays.push(format!("{stem}.sst"));
                }
                _ => {}
            }
        }
        self.strays.sort();
        Ok(())
    }

    /// Opens each table once: their indexes are whole, and the levels can be put in order.
    fn arrange(&mut self) -> Result<()> {
        let mut levels: BTreeMap<u32, Vec<First>> = BTreeMap::new();
        for (&id, entry) in &self.manifest.tables {
            let table = self.table(id, *entry)?;
            if let Some((key, version)) = table.first()? {
                levels.entry(entry.level).or_default().push((key, Reverse(version), id));
            }
        }
        for (level, mut tables) in levels {
            if level == 0 {
                tables.sort_by_key(|&(_, _, id)| Reverse(id));
                self.runs.extend(tables.into_iter().map(|(_, _, id)| vec![id]));
            } else {
                tables.sort();
                self.runs.push(tables.into_iter().map(|(_, _, id)| id).collect());
            }
        }
        Ok(())
    }

    pub(super) fn open(&self, id: u64) -> Result<Option<Table>> {
        self.manifest.tables.get(&id).map(|entry| self.table(id, *entry)).transpose()
    }

    fn table(&self, id: u64, entry: TableEntry) -> Result<Table> {
        Table::open(&self.folder.join(format!("{id:06}.sst")), self.version(), entry, &self.registry)
    }

    pub(super) fn value_log(&self, number: u32) -> Result<Log> {
        Log::open(&self.folder.join(format!("{number:06}.vlog")), &self.registry)
    }

    pub(super) fn memory_log(&self, number: u32) -> Result<Log> {
        Log::open(&self.folder.join(format!("{number:05}.mem")), &self.registry)
    }
}

//! Whether a database was closed, and what its logs hold that its tables do not.

use std::collections::BTreeMap;

use super::bytes::Located;
use super::entry::{Entry, Pointer, Stored};
use super::layout::Layout;
use super::lock;
use super::log::{HEAD, Kind};
use super::manifest::Version;
use super::merge::Merge;
use super::table::pointer;
use crate::Result;

/// Badger 2 notes here up to where the value log is in the tables.
const HEAD_KEY: &[u8] = b"!badger!head";

/// What is to be replayed.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// Why the database counts as not closed, if it does.
    pub(super) unclean: Option<String>,
    /// Files of the value log, and from where on.
    values: BTreeMap<u32, u64>,
    memories: Vec<u32>,
}

/// Looks, and reads no log.
pub(super) fn look(layout: &Layout) -> Result<Logs> {
    let mut logs = Logs::default();
    match layout.version() {
        Version::V2 => {
            let head = head(layout)?;
            let end = u64::from(head.offset) + u64::from(head.length);
            for (&file, &bytes) in layout.values.range(head.file..) {
                let from = if file == head.file { end.max(HEAD) } else { HEAD };
                if bytes > from {
                    logs.values.insert(file, from);
                }
                if bytes > HEAD && bytes > from {
                    logs.unclean = Some(format!("its value log goes on where the tables end, in {file:06}.vlog"));
                }
            }
        }
        Version::V3 => {
            logs.memories = layout.memories.iter().filter(|&(_, &bytes)| bytes > HEAD).map(|(&file, _)| file).collect();
            if let Some(file) = logs.memories.first() {
                logs.unclean = Some(format!("it has the log of a memtable, {file:05}.mem"));
            }
        }
    }
    if let Some(stray) = layout.strays.first() {
        logs.unclean = Some(format!("MANIFEST does not name its table `{stray}`"));
    }
    if layout.manifest.torn > 0 {
        logs.unclean = Some(format!("the last {} bytes of MANIFEST are no whole change", layout.manifest.torn));
    }
    if let Some(pid) = lock::opener(&layout.folder) {
        logs.unclean = Some(format!("`{}` is left by process {pid}", lock::PID_FILE));
    }
    Ok(logs)
}

/// The newest note, or the begin of the log.
fn head(layout: &Layout) -> Result<Pointer> {
    let none = Pointer { file: 0, length: 0, offset: 0 };
    match Merge::start(layout, Some(HEAD_KEY))?.next()? {
        Some(Entry { key, value: Stored::Here(value), .. }) if key == HEAD_KEY && !value.is_empty() => {
            pointer(&value).at(&layout.folder, 0)
        }
        _ => Ok(none),
    }
}

impl Logs {
    /// Reads the logs into `layout`; says how many bytes belong to transactions that were never finished.
    pub(super) fn replay(&self, layout: &mut Layout) -> Result<u64> {
        let mut entries = Vec::new();
        let mut unfinished = 0;
        for (&file, &from) in &self.values {
            unfinished += layout.value_log(file)?.replay(file, Kind::Value, from, &mut entries)?;
        }
        for &file in &self.memories {
            unfinished += layout.memory_log(file)?.replay(file, Kind::Memory, 0, &mut entries)?;
        }
        // What was written later wins, and comes first of its equals.
        entries.reverse();
        entries.sort_by(Entry::order);
        layout.replayed = entries;
        Ok(unfinished)
    }
}

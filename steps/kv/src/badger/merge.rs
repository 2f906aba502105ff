//! All entries of a database in order, each version of each key once.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::path::PathBuf;

use super::entry::{Entry, order};
use super::layout::Layout;
use super::table::Table;
use crate::{KvError, KvErrorKind, Result};

/// What is merged, with the next entry of each.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    runs: Vec<Run<'a>>,
    heads: BinaryHeap<Reverse<Head>>,
    last: Option<(Vec<u8>, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    entry: Entry,
    /// Which run; the lower one wins.
    run: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.entry.order(&other.entry).then(self.run.cmp(&other.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> Merge<'a> {
    /// From the first entry at or after `from` on; from the very first without.
    pub(super) fn start(layout: &'a Layout, from: Option<&[u8]>) -> Result<Self> {
        let logs = Run::Logs { rest: &layout.replayed };
        let tables = layout.runs.iter().map(|ids| Run::Tables { layout, rest: ids, open: None });
        let mut merge =
            Self { runs: std::iter::once(logs).chain(tables).collect(), heads: BinaryHeap::new(), last: None };
        for (index, run) in merge.runs.iter_mut().enumerate() {
            let first = match from {
                Some(key) => run.seek(key)?,
                None => run.next()?,
            };
            merge.heads.extend(first.map(|entry| Reverse(Head { entry, run: index })));
        }
        Ok(merge)
    }

    /// The next entry; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        while let Some(mut top) = self.heads.peek_mut() {
            let index = top.0.run;
            let entry = match self.runs[index].next()? {
                Some(next) => std::mem::replace(&mut top.0.entry, next),
                None => PeekMut::pop(top).0.entry,
            };
            let after = self.last.as_ref().map(|(key, version)| order((key, *version), (&entry.key, entry.version)));
            match after {
                Some(Ordering::Equal) => continue,
                Some(Ordering::Greater) => {
                    let text = "the entries of the table are not in order".to_owned();
                    return Err(KvError::of(&self.runs[index].path(), KvErrorKind::Malformed(text)));
                }
                Some(Ordering::Less) | None => {}
            }
            let (key, version) = self.last.get_or_insert_default();
            key.clone_from(&entry.key);
            *version = entry.version;
            return Ok(Some(entry));
        }
        Ok(None)
    }
}

/// Entries in order: what was replayed, or tables one after the other.
#[derive(Debug)]
enum Run<'a> {
    Logs { rest: &'a [Entry] },
    Tables { layout: &'a Layout, rest: &'a [u64], open: Option<Box<Table>> },
}

impl Run<'_> {
    fn next(&mut self) -> Result<Option<Entry>> {
        match self {
            Self::Logs { rest } => Ok(rest.split_off_first().cloned()),
            Self::Tables { layout, rest, open } => loop {
                if let Some(table) = open
                    && let Some(entry) = table.next()?
                {
                    return Ok(Some(entry));
                }
                let Some(id) = rest.split_off_first() else { return Ok(None) };
                *open = layout.open(*id)?.map(Box::new);
            },
        }
    }

    /// The first entry whose key is `key` or after it.
    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry>> {
        match self {
            Self::Logs { rest } => {
                let before = rest.partition_point(|entry| entry.key.as_slice() < key);
                *rest = &rest[before..];
                self.next()
            }
            Self::Tables { layout, rest, open } => {
                while let Some(id) = rest.split_off_first() {
                    *open = layout.open(*id)?.map(Box::new);
                    if let Some(table) = open
                        && let Some(entry) = table.seek(key, u64::MAX)?
                    {
                        return Ok(Some(entry));
                    }
                }
                Ok(None)
            }
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Tables { open: Some(table), .. } => table.path().to_owned(),
            Self::Tables { layout, .. } => layout.folder.clone(),
            Self::Logs { .. } => PathBuf::new(),
        }
    }
}

//! A table: its index, and its entries from the first to the last, a block at a time.

mod block;
mod flat;

use std::path::Path;

use prost::Message;

pub(super) use block::pointer;
use block::{Entries, Opener};

use super::bytes::{Bytes, Located, Parsed, split_key};
use super::checksum;
use super::cipher::Key;
use super::entry::{Entry, order};
use super::manifest::{TableEntry, Version};
use super::proto;
use super::registry::Registry;
use super::window::Window;
use crate::{KvError, KvErrorKind, Result};

/// Where a block lies.
#[derive(Debug)]
struct Block {
    /// Its first key, with the version.
    key: Vec<u8>,
    offset: u32,
    length: u32,
}

/// An open table, and the place in it.
#[derive(Debug)]
pub(super) struct Table {
    window: Window,
    blocks: Vec<Block>,
    /// The block that comes next.
    next: usize,
    /// Where the present block begins.
    at: u64,
    opener: Opener,
    entries: Entries,
}

impl Table {
    /// Opens a table and checks its index.
    pub(super) fn open(path: &Path, version: Version, entry: TableEntry, registry: &Registry) -> Result<Self> {
        let mut window = Window::open(path)?;
        let key = registry.key(entry.key_id).at(path, 0)?.cloned();
        let blocks = index(&mut window, version, key.as_ref())?;
        let opener = Opener::new(entry.compression, key);
        Ok(Self { window, blocks, next: 0, at: 0, opener, entries: Entries::default() })
    }

    pub(super) fn path(&self) -> &Path {
        self.window.path()
    }

    /// The first key and its version.
    pub(super) fn first(&self) -> Result<Option<(Vec<u8>, u64)>> {
        let Some(block) = self.blocks.first() else { return Ok(None) };
        let (key, version) = split_key(&block.key).at(self.path(), block.offset.into())?;
        Ok(Some((key.to_vec(), version)))
    }

    /// The next entry; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.entries.next().at(self.window.path(), self.at)? {
                return Ok(Some(entry));
            }
            if !self.enter(self.next)? {
                return Ok(None);
            }
        }
    }

    /// The first entry at or after a key and version, from which [`next`](Self::next) goes on.
    pub(super) fn seek(&mut self, key: &[u8], version: u64) -> Result<Option<Entry>> {
        let after = self.blocks.partition_point(|block| {
            split_key(&block.key).is_ok_and(|(first, its)| order((first, its), (key, version)).is_le())
        });
        self.entries = Entries::default();
        self.next = after.saturating_sub(1);
        while let Some(entry) = self.next()? {
            if order((&entry.key, entry.version), (key, version)).is_ge() {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, index: usize) -> Result<bool> {
        let Some(block) = self.blocks.get(index) else { return Ok(false) };
        self.at = block.offset.into();
        let stored = self.window.read(self.at, block.length as usize)?;
        let opened = self.opener.open(stored, &mut self.entries);
        opened.at(self.window.path(), self.at)?;
        self.next = index + 1;
        Ok(true)
    }
}

/// The blocks of a table, from what ends it: index, its length, checksum, its length.
fn index(window: &mut Window, version: Version, key: Option<&Key>) -> Result<Vec<Block>> {
    let path = window.path().to_owned();
    let mut tail = Tail { at: window.bytes(), window };
    let length = tail.number()?;
    if length > checksum::LONGEST {
        let long = format!("the checksum of the index is {length} bytes long");
        return Err(KvError::at(&path, tail.at, KvErrorKind::Malformed(long)));
    }
    let sum = tail.back(length)?;
    let length = tail.number()?;
    let mut bytes = tail.back(length)?;
    let begin = tail.at;
    checksum::verify(&bytes, &sum, "the index").at(&path, begin)?;
    if let Some(key) = key {
        key.open(&mut bytes).at(&path, begin)?;
    }
    let blocks = match version {
        Version::V2 => listed(&bytes),
        Version::V3 => flat::blocks(&bytes),
    };
    let blocks = blocks.at(&path, begin)?;
    check(&blocks, begin).at(&path, begin)?;
    Ok(blocks)
}

/// A table read from its end.
struct Tail<'a> {
    window: &'a mut Window,
    at: u64,
}

impl Tail<'_> {
    /// The `count` bytes in front of those that were read.
    fn back(&mut self, count: u32) -> Result<Vec<u8>> {
        let Some(at) = self.at.checked_sub(count.into()) else {
            let short = format!("the table of {} bytes is shorter than what ends it", self.window.bytes());
            return Err(KvError::at(self.window.path(), 0, KvErrorKind::Truncated(short)));
        };
        self.at = at;
        self.window.read(at, count as usize).map(<[u8]>::to_vec)
    }

    fn number(&mut self) -> Result<u32> {
        let bytes = self.back(4)?;
        Bytes::of(&bytes, "a length").u32_be().at(self.window.path(), self.at)
    }
}

fn listed(bytes: &[u8]) -> Parsed<Vec<Block>> {
    let index = proto::TableIndex::decode(bytes)
        .map_err(|error| KvErrorKind::Malformed(format!("the index is no message: {error}")))?;
    Ok(index.offsets.into_iter().map(|b| Block { key: b.key, offset: b.offset, length: b.len }).collect())
}

/// Blocks lie one after the other, before the index, and their first keys ascend.
fn check(blocks: &[Block], end: u64) -> Parsed<()> {
    let (mut past, mut before) = (0, None);
    for block in blocks {
        let from = u64::from(block.offset);
        if from < past || from + u64::from(block.length) > end {
            return Err(KvErrorKind::Malformed(format!("the index has a block at byte {from} that cannot lie there")));
        }
        past = from + u64::from(block.length);
        let first = split_key(&block.key)?;
        if before.is_some_and(|before| order(before, first).is_ge()) {
            return Err(KvErrorKind::Malformed(format!(
                "the block at byte {from} begins before the one in front of it"
            )));
        }
        before = Some(first);
    }
    Ok(())
}

/// Any bytes as an index, and as the entries of a block with a checksum that matches.
#[cfg(any(test, feature = "fuzzed"))]
pub(super) fn fuzzed(bytes: &[u8], version: Version, compression: super::Compression) {
    let blocks = match version {
        Version::V2 => listed(bytes),
        Version::V3 => flat::blocks(bytes),
    };
    if let Ok(blocks) = blocks {
        let _ = check(&blocks, bytes.len() as u64);
    }
    let sum = proto::Checksum { algorithm: 0, sum: crc32c::crc32c(bytes).into() }.encode_to_vec();
    let block = [bytes, &sum, &(sum.len() as u32).to_be_bytes()].concat();
    let mut entries = Entries::default();
    let mut opener = Opener::new(super::Compression::None, None);
    if opener.open(&block, &mut entries).is_ok() {
        while let Ok(Some(_)) = entries.next() {}
    }
    let _ = Opener::new(compression, None).open(bytes, &mut entries);
}

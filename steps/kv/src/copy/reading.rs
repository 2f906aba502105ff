//! What a copy reads, counted into its cursor.
//!
//! Owns where a copy may end: behind each group of records its cursor has a place, and the caller is asked whether it goes on.

use super::run::{Cursor, Flow};
use crate::error::{KvError, Result};
use crate::record::Record;

/// A group is full with as many records, or as many bytes. With twice as much of either in a batch sled takes six times the
/// memory for a million records (800 MiB instead of 130).
const RECORDS: usize = 1_000;
const BYTES: usize = 256 << 10;

/// Records on their way out of the source.
pub(super) struct Reading<'a> {
    records: Box<dyn Iterator<Item = Result<Record>> + 'a>,
    next: Option<Record>,
    /// What the source failed with: what came before it is written all the same.
    failed: Option<KvError>,
    cursor: Cursor,
    between: &'a mut dyn FnMut(&Cursor) -> Flow,
    stopped: bool,
    group: Group,
}

/// What was taken since the cursor had a place.
#[derive(Default)]
struct Group {
    records: usize,
    bytes: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        records: Box<dyn Iterator<Item = Result<Record>> + 'a>,
        next: Option<Record>,
        mut cursor: Cursor,
        between: &'a mut dyn FnMut(&Cursor) -> Flow,
    ) -> Self {
        cursor.done = next.is_none();
        Self { records, next, failed: None, cursor, between, stopped: false, group: Group::default() }
    }

    /// Whether nothing more is to be read.
    pub(super) fn ended(&self) -> bool {
        self.next.is_none() || self.stopped
    }

    /// Whether the copy can end behind what was taken.
    pub(super) fn at_place(&self) -> bool {
        self.group.records == 0
    }

    /// How far that is.
    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// How far it came, unless the source failed.
    pub(super) fn end(self) -> Result<Cursor> {
        self.failed.map_or(Ok(self.cursor), Err)
    }
}

impl Iterator for Reading<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let record = self.next.take().filter(|_| !self.stopped)?;
        self.cursor.add(&record);
        self.group.records += 1;
        self.group.bytes += record.key.len() + record.value.len();
        match self.records.next().transpose() {
            Ok(next) => {
                self.cursor.done = next.is_none();
                self.next = next;
            }
            Err(error) => self.failed = Some(error),
        }
        if self.group.records == RECORDS || self.group.bytes >= BYTES || self.next.is_none() {
            self.group = Group::default();
            self.cursor.key = Some(hex(&record.key));
            if self.next.is_some() {
                self.stopped = (self.between)(&self.cursor) == Flow::Stop;
            }
        }
        Some(record)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! A file of the value log, or the log of a memtable: single records by their place, and all of them from a place on.

use std::path::Path;

use super::bytes::{Bytes, Located, Parsed, split_key};
use super::cipher::{IV, Key};
use super::entry::{Entry, Pointer, Stored};
use super::registry::Registry;
use super::window::Window;
use crate::record::Meta;
use crate::{KvError, KvErrorKind, Result};

/// What a file begins with: the number of its key, and the first part of each record's initial counter.
pub(super) const HEAD: u64 = 20;
/// Two bytes and three numbers.
const LONGEST_HEADER: usize = 2 + 5 + 5 + 10;
/// Badger takes no longer keys for keys.
const LONGEST_KEY: u64 = 1 << 16;

/// A transaction writes its records in any order, so that their neighbours are read before and after them.
const PIECES: usize = 4;
/// How far behind what ends a log whole records are looked for, and how long ones: each byte may begin one.
const REACH: usize = 1 << 20;
const LONGEST_LOOKED_FOR: usize = 64 << 10;

/// Whether pointers into a file are pointers into the value log or into the log of a memtable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Value,
    Memory,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Log {
    window: Window,
    key: Option<Key>,
    iv: [u8; 12],
}

/// A record as it is stored.
#[derive(Debug)]
pub(super) struct LogRecord {
    /// With the version.
    pub(super) key: Vec<u8>,
    pub(super) meta: u8,
    pub(super) user_meta: u8,
    pub(super) expires_at: u64,
    pub(super) value: Vec<u8>,
}

struct Header {
    meta: u8,
    user_meta: u8,
    key: usize,
    value: usize,
    expires_at: u64,
    length: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut rest = Bytes::of(bytes, "a record of the log");
        let (meta, user_meta) = (rest.u8()?, rest.u8()?);
        let (key, value, expires_at) = (rest.uvarint()?, rest.uvarint()?, rest.uvarint()?);
        if !(8..=LONGEST_KEY).contains(&key) {
            return Err(KvErrorKind::Malformed(format!("a record of the log has a key of {key} bytes")));
        }
        let value = u32::try_from(value)
            .map_err(|_| KvErrorKind::Malformed(format!("a record of the log has a value of {value} bytes")))?;
        let length = bytes.len() - rest.rest().len();
        Ok(Self { meta, user_meta, key: key as usize, value: value as usize, expires_at, length })
    }

    /// Of the record, with its checksum.
    fn whole(&self) -> usize {
        self.length + self.key + self.value + 4
    }
}

impl Log {
    /// Opens a file; one that is shorter than its head holds nothing.
    pub(super) fn open(path: &Path, registry: &Registry) -> Result<Self> {
        let mut window = Window::with_pieces(path, PIECES)?;
        if window.bytes() < HEAD {
            return Ok(Self { window, key: None, iv: [0; 12] });
        }
        let mut head = Bytes::of(window.read(0, HEAD as usize)?, "the head of a log");
        let id = head.u64_be().at(path, 0)?;
        let iv = head.array().at(path, 0)?;
        let key = registry.key(id).at(path, 0)?.cloned();
        Ok(Self { window, key, iv })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.window.bytes()
    }

    pub(super) fn path(&self) -> &Path {
        self.window.path()
    }

    /// The record that a pointer names.
    pub(super) fn at(&mut self, pointer: Pointer) -> Result<LogRecord> {
        let (offset, length) = (u64::from(pointer.offset), pointer.length as usize);
        let stored = self.window.read(offset, length)?;
        let record = record(stored, self.key.as_ref(), &self.iv, pointer.offset);
        record.at(self.window.path(), offset)
    }

    /// All whole records from `from` on, as Badger takes them when it opens: transactions whole or not at all. Says how many
    /// bytes at the end are of a record or transaction that was never finished.
    pub(super) fn replay(&mut self, file: u32, kind: Kind, from: u64, take: &mut Vec<Entry>) -> Result<u64> {
        let mut at = from.max(HEAD);
        let mut open: Option<Open> = None;
        while at < self.bytes() {
            let (record, length) = match self.whole(at)? {
                Ok(whole) => whole,
                Err(wrong) => {
                    let left = self.torn(at, wrong)?;
                    return Ok(open.map_or(left, |open| at - open.from + left));
                }
            };
            let place = KvError::at(self.path(), at, KvErrorKind::Malformed(String::new()));
            let misplaced = |text: &str| KvError { kind: KvErrorKind::Malformed(text.into()), ..place };
            let (key, version) = split_key(&record.key).at(self.path(), at)?;
            if record.meta & Meta::TRANSACTION_END != 0 {
                let ends = std::str::from_utf8(&record.value).ok().and_then(|text| text.parse::<u64>().ok());
                match open.take() {
                    Some(done) if ends == Some(done.version) => take.extend(done.entries),
                    _ => return Err(misplaced("a transaction ends in the log that did not begin")),
                }
            } else {
                let pointer = Pointer { file, length, offset: at as u32 };
                let value = if kind == Kind::Value { Stored::Value(pointer) } else { Stored::Memory(pointer) };
                let LogRecord { meta, user_meta, expires_at, .. } = record;
                let entry = Entry { key: key.to_vec(), version, meta, user_meta, expires_at, value };
                match (&mut open, meta & Meta::TRANSACTION) {
                    (None, 0) => take.push(entry),
                    (None, _) => open = Some(Open { version, from: at, entries: vec![entry] }),
                    (Some(open), 1..) if open.version == version => open.entries.push(entry),
                    _ => return Err(misplaced("a transaction in the log is interrupted by what is no part of it")),
                }
            }
            at += u64::from(length);
        }
        Ok(open.map_or(0, |open| at - open.from))
    }

    /// The record at `at` with its length, or why there is no whole one.
    fn whole(&mut self, at: u64) -> Result<Parsed<(LogRecord, u32)>> {
        let Ok(offset) = u32::try_from(at) else {
            return Err(KvError::at(self.path(), at, KvErrorKind::TooLarge("the log is above 4 GiB".into())));
        };
        let header = match Header::parse(self.window.read_some(at, LONGEST_HEADER)?) {
            Ok(header) => header,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let length = header.whole();
        if self.bytes() - at < length as u64 {
            return Ok(Err(KvErrorKind::Truncated("the log ends inside a record".into())));
        }
        let stored = self.window.read(at, length)?;
        Ok(record(stored, self.key.as_ref(), &self.iv, offset).map(|record| (record, length as u32)))
    }

    /// What ends the log at `at` is what a crash leaves there, and nothing whole comes after it; else it is damage. Says how
    /// many bytes it is long, without the zeros behind it.
    fn torn(&mut self, at: u64, wrong: KvErrorKind) -> Result<u64> {
        let end = self.bytes();
        let (mut used, mut place) = (at, at);
        while place < end {
            let piece = self.window.read_some(place, 64 << 10)?;
            if let Some(last) = piece.iter().rposition(|&byte| byte != 0) {
                used = place + last as u64 + 1;
            }
            place += piece.len() as u64;
        }
        // Not found: that much damage, or a longer record behind it. Either way Badger ends its log here too.
        let near = self.window.read_some(at, REACH)?;
        let whole = |place: usize| {
            let rest = &near[place..];
            let header = Header::parse(rest).ok()?;
            let stored = rest.get(..header.whole().min(LONGEST_LOOKED_FOR + 1))?;
            let fits = stored.len() == header.whole();
            (fits && is_whole(stored)).then_some(())
        };
        match (1..near.len()).find_map(whole) {
            Some(()) => Err(KvError::at(self.path(), at, wrong)),
            None => Ok(used - at),
        }
    }
}

fn is_whole(stored: &[u8]) -> bool {
    stored.split_last_chunk::<4>().is_some_and(|(body, sum)| crc32c::crc32c(body) == u32::from_be_bytes(*sum))
}

/// A transaction whose end was not seen yet.
struct Open {
    version: u64,
    from: u64,
    entries: Vec<Entry>,
}

fn record(stored: &[u8], key: Option<&Key>, iv: &[u8; 12], offset: u32) -> Parsed<LogRecord> {
    let header = Header::parse(stored)?;
    if header.whole() != stored.len() {
        return Err(KvErrorKind::Malformed("a record of the log is not as long as what refers to it says".into()));
    }
    if !is_whole(stored) {
        return Err(KvErrorKind::Checksum("the checksum of a record of the log does not match".into()));
    }
    let mut both = stored[header.length..stored.len() - 4].to_vec();
    if let Some(key) = key {
        let mut counter = [0; IV];
        counter[..12].copy_from_slice(iv);
        counter[12..].copy_from_slice(&offset.to_be_bytes());
        key.apply(&counter, &mut both);
    }
    let value = both.split_off(header.key);
    let Header { meta, user_meta, expires_at, .. } = header;
    Ok(LogRecord { key: both, meta, user_meta, expires_at, value })
}

/// Any bytes as a record with a checksum that matches.
#[cfg(any(test, feature = "fuzzed"))]
pub(super) fn fuzzed(bytes: &[u8]) {
    let whole = [bytes, &crc32c::crc32c(bytes).to_be_bytes()].concat();
    let _ = record(&whole, None, &[0; 12], 0);
}

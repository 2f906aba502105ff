//! The protobuf of one record, read without a copy but that of key and value, and written.
//!
//! Owns fields and wire types. Prost would allocate for each byte of meta and would not say where a message is wrong.

use crate::encoding::uvarint;
use crate::error::KvErrorKind;
use crate::record::{Meta, Record};

/// The field of a `KVList` that holds a record.
pub(super) const LIST_KV: u64 = 1;

const KEY: u64 = 1;
const VALUE: u64 = 2;
const USER_META: u64 = 3;
const VERSION: u64 = 4;
const EXPIRES_AT: u64 = 5;
const META: u64 = 6;
const STREAM_ID: u64 = 10;
const STREAM_DONE: u64 = 11;

/// How a field's value lies in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Eight,
    Bytes,
    Four,
}

/// What is wrong, and how many bytes into what was read.
#[derive(Debug)]
pub(super) struct Wrong {
    pub at: usize,
    pub kind: KvErrorKind,
}

/// The number of a field and its wire type.
pub(super) fn field(tag: u64) -> Result<(u64, Wire), KvErrorKind> {
    let wire = match tag & 7 {
        0 => Wire::Varint,
        1 => Wire::Eight,
        2 => Wire::Bytes,
        5 => Wire::Four,
        other => {
            return Err(KvErrorKind::Malformed(format!("a field of wire type {other}, which Badger never writes")));
        }
    };
    match tag >> 3 {
        0 => Err(KvErrorKind::Malformed("a field without a number".to_owned())),
        number => Ok((number, wire)),
    }
}

/// The record of a `KV` message; none for the mark that a stream is done.
pub(super) fn read_kv(message: &[u8]) -> Result<Option<Record>, Wrong> {
    let mut input = Slice { bytes: message, at: 0 };
    let mut record = Record::default();
    let mut done = false;
    while input.at < message.len() {
        let begin = input.at;
        let wrong = |kind| Wrong { at: begin, kind };
        let (number, wire) = field(input.varint()?).map_err(wrong)?;
        match (number, wire) {
            (KEY, Wire::Bytes) => record.key = input.bytes()?.to_vec(),
            (VALUE, Wire::Bytes) => record.value = input.bytes()?.to_vec(),
            (USER_META, Wire::Bytes) => record.user_meta = one(input.bytes()?, "user meta").map_err(wrong)?,
            (VERSION, Wire::Varint) => record.version = input.varint()?,
            (EXPIRES_AT, Wire::Varint) => record.expires_at = input.varint()?,
            (META, Wire::Bytes) => record.meta = Meta::of(one(input.bytes()?, "meta").map_err(wrong)?.unwrap_or(0)),
            (STREAM_ID, Wire::Varint) => drop(input.varint()?),
            (STREAM_DONE, Wire::Varint) => done = input.varint()? != 0,
            (KEY..=META | STREAM_ID | STREAM_DONE, _) => {
                return Err(wrong(KvErrorKind::Malformed(format!("field {number} of a record is of another type"))));
            }
            (_, wire) => input.skip(wire)?,
        }
    }
    if done {
        return Ok(None);
    }
    if record.key.is_empty() {
        return Err(Wrong { at: 0, kind: KvErrorKind::Malformed("a record without a key".to_owned()) });
    }
    Ok(Some(record))
}

/// Appends the record as a field of a `KVList`, as Badger writes it.
pub(super) fn push_kv(frame: &mut Vec<u8>, record: &Record) {
    let mut len = bytes_len(record.key.len()) + varint_field_len(record.version) + 3;
    len += if record.value.is_empty() { 0 } else { bytes_len(record.value.len()) };
    len += record.user_meta.map_or(0, |_| 3) + varint_field_len(record.expires_at);
    frame.reserve(len + 6);
    tag(frame, LIST_KV, Wire::Bytes);
    uvarint(frame, len as u64);
    let begin = frame.len();
    push_bytes(frame, KEY, &record.key);
    if !record.value.is_empty() {
        push_bytes(frame, VALUE, &record.value);
    }
    if let Some(byte) = record.user_meta {
        push_bytes(frame, USER_META, &[byte]);
    }
    push_varint(frame, VERSION, record.version);
    push_varint(frame, EXPIRES_AT, record.expires_at);
    push_bytes(frame, META, &[record.meta.bits()]);
    debug_assert_eq!(frame.len() - begin, len);
}

fn tag(frame: &mut Vec<u8>, number: u64, wire: Wire) {
    let wire = match wire {
        Wire::Varint => 0,
        Wire::Eight => 1,
        Wire::Bytes => 2,
        Wire::Four => 5,
    };
    uvarint(frame, number << 3 | wire);
}

fn push_bytes(frame: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    tag(frame, number, Wire::Bytes);
    uvarint(frame, bytes.len() as u64);
    frame.extend_from_slice(bytes);
}

/// Nothing for 0, as proto3 has it.
fn push_varint(frame: &mut Vec<u8>, number: u64, n: u64) {
    if n != 0 {
        tag(frame, number, Wire::Varint);
        uvarint(frame, n);
    }
}

fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

fn varint_field_len(n: u64) -> usize {
    if n == 0 { 0 } else { 1 + varint_len(n) }
}

fn bytes_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn one(bytes: &[u8], what: &str) -> Result<Option<u8>, KvErrorKind> {
    match bytes {
        [] => Ok(None),
        [byte] => Ok(Some(*byte)),
        more => Err(KvErrorKind::Malformed(format!("{} bytes of {what}, where Badger has one", more.len()))),
    }
}

/// A message that is being read.
struct Slice<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Slice<'a> {
    fn varint(&mut self) -> Result<u64, Wrong> {
        let rest = &self.bytes[self.at..];
        // Most are one byte.
        if let Some(&byte @ ..0x80) = rest.first() {
            self.at += 1;
            return Ok(byte.into());
        }
        match crate::encoding::read_uvarint(rest) {
            Some((n, after)) => {
                self.at = self.bytes.len() - after.len();
                Ok(n)
            }
            None => Err(self.wrong("a number that does not end or takes more than 64 bits")),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], Wrong> {
        let begin = self.at;
        let len = self.varint()?;
        let rest = self.bytes.len() - self.at;
        match usize::try_from(len) {
            Ok(len) if len <= rest => {
                self.at += len;
                Ok(&self.bytes[self.at - len..self.at])
            }
            _ => Err(Wrong {
                at: begin,
                kind: KvErrorKind::Malformed(format!("a field of {len} bytes in a record that has {rest} left")),
            }),
        }
    }

    fn skip(&mut self, wire: Wire) -> Result<(), Wrong> {
        let fixed = match wire {
            Wire::Varint => return self.varint().map(drop),
            Wire::Bytes => return self.bytes().map(drop),
            Wire::Eight => 8,
            Wire::Four => 4,
        };
        if self.bytes.len() - self.at < fixed {
            return Err(self.wrong("a field that goes beyond its record"));
        }
        self.at += fixed;
        Ok(())
    }

    fn wrong(&self, what: &str) -> Wrong {
        Wrong { at: self.at, kind: KvErrorKind::Malformed(what.to_owned()) }
    }
}

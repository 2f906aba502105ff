//! A block of a table: decrypted, decompressed, checked, and its entries one after the other.

use std::ops::Range;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::KvErrorKind;
use crate::badger::bytes::{Bytes, Parsed, split_key};
use crate::badger::checksum;
use crate::badger::cipher::Key;
use crate::badger::entry::{Entry, Pointer, Stored};
use crate::badger::manifest::Compression;
use crate::record::Meta;

/// Longest block once decompressed. Badger writes 4 KiB, or a little more than its largest value (1 MiB) and key.
const LONGEST: usize = 64 << 20;

/// How blocks are opened; keeps its buffers from block to block.
pub(super) struct Opener {
    compression: Compression,
    key: Option<Key>,
    zstd: FrameDecoder,
    snappy: snap::raw::Decoder,
    stored: Vec<u8>,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("compression", &self.compression).finish_non_exhaustive()
    }
}

/// A block's entries, and the place of the next one.
#[derive(Debug, Default)]
pub(super) struct Entries {
    data: Vec<u8>,
    /// Where the list of entries' offsets is, after the last entry.
    offsets: Range<usize>,
    next: usize,
    /// The first key, of which the others share a beginning.
    base: Vec<u8>,
}

impl Opener {
    pub(super) fn new(compression: Compression, key: Option<Key>) -> Self {
        let (zstd, snappy) = (FrameDecoder::new(), snap::raw::Decoder::new());
        Self { compression, key, zstd, snappy, stored: Vec::new() }
    }

    /// Opens what is stored into `entries`, whose buffers it takes over.
    pub(super) fn open(&mut self, stored: &[u8], entries: &mut Entries) -> Parsed<()> {
        self.stored.clear();
        self.stored.extend_from_slice(stored);
        if let Some(key) = &self.key {
            key.open(&mut self.stored)?;
        }
        entries.data.clear();
        match self.compression {
            Compression::None => std::mem::swap(&mut entries.data, &mut self.stored),
            Compression::Snappy => {
                let length = snap::raw::decompress_len(&self.stored).map_err(|error| undone("Snappy", &error))?;
                entries.data.resize(within(length)?, 0);
                let written = self
                    .snappy
                    .decompress(&self.stored, &mut entries.data)
                    .map_err(|error| undone("Snappy", &error))?;
                entries.data.truncate(written);
            }
            Compression::Zstd => self.zstd(&mut entries.data)?,
        }
        entries.begin()
    }

    fn zstd(&mut self, out: &mut Vec<u8>) -> Parsed<()> {
        let mut source = self.stored.as_slice();
        self.zstd.reset(&mut source).map_err(|error| undone("Zstandard", &error))?;
        // Pieces, so that a few bytes that claim to be very many are found out before they are.
        while !self.zstd.is_finished() {
            self.zstd
                .decode_blocks(&mut source, BlockDecodingStrategy::UptoBytes(1 << 20))
                .map_err(|error| undone("Zstandard", &error))?;
            self.zstd.collect_to_writer(&mut *out).map_err(|error| undone("Zstandard", &error))?;
            within(out.len())?;
        }
        self.zstd.collect_to_writer(&mut *out).map_err(|error| undone("Zstandard", &error))?;
        within(out.len()).map(|_| ())
    }
}

fn within(length: usize) -> Parsed<usize> {
    if length <= LONGEST {
        Ok(length)
    } else {
        Err(KvErrorKind::TooLarge(format!("a block of {length} bytes is above the limit of {LONGEST}")))
    }
}

fn undone(how: &str, error: &dyn std::fmt::Display) -> KvErrorKind {
    KvErrorKind::Malformed(format!("a block is not what {how} makes: {error}"))
}

impl Entries {
    /// Checks the block and stands before its first entry.
    fn begin(&mut self) -> Parsed<()> {
        let mut rest = Bytes::of(&self.data, "a block");
        let length = rest.u32_be_end()?;
        if length > checksum::LONGEST {
            return Err(KvErrorKind::Malformed(format!("the checksum of a block is {length} bytes long")));
        }
        let sum = rest.take_end(length as usize)?;
        checksum::verify(rest.rest(), sum, "a block")?;
        let count = rest.u32_be_end()? as usize;
        let offsets = rest.take_end(count.checked_mul(4).ok_or_else(damaged)?)?.len();
        let end = rest.rest().len();
        self.offsets = end..end + offsets;
        self.next = 0;
        self.base.clear();
        Ok(())
    }

    fn offset(&self, index: usize) -> Option<usize> {
        let at = self.offsets.start + 4 * index;
        if at >= self.offsets.end {
            return None;
        }
        self.data.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize)
    }

    /// The next entry; none at the end.
    pub(super) fn next(&mut self) -> Parsed<Option<Entry>> {
        let Some(start) = self.offset(self.next) else { return Ok(None) };
        let end = self.offset(self.next + 1).unwrap_or(self.offsets.start);
        let mut rest = Bytes::of(self.data.get(start..end).ok_or_else(damaged)?, "an entry");
        let overlap = usize::from(rest.u16_le()?);
        let own = usize::from(rest.u16_le()?);
        let own = rest.take(own)?;
        let mut key = Vec::with_capacity(overlap + own.len());
        key.extend_from_slice(self.base.get(..overlap).ok_or_else(damaged)?);
        key.extend_from_slice(own);
        if self.next == 0 {
            self.base.clone_from(&key);
        }
        let (_, version) = split_key(&key)?;
        key.truncate(key.len() - 8);
        let (meta, user_meta) = (rest.u8()?, rest.u8()?);
        let expires_at = rest.uvarint()?;
        let value = match meta & Meta::VALUE_POINTER {
            0 => Stored::Here(rest.rest().to_vec()),
            _ => Stored::Value(pointer(rest.rest())?),
        };
        self.next += 1;
        Ok(Some(Entry { key, version, meta, user_meta, expires_at, value }))
    }
}

/// A pointer as it is stored: the memory of a Go structure on a little-endian machine.
pub(in crate::badger) fn pointer(bytes: &[u8]) -> Parsed<Pointer> {
    let mut rest = Bytes::of(bytes, "a pointer into the value log");
    let pointer = Pointer { file: rest.u32_le()?, length: rest.u32_le()?, offset: rest.u32_le()? };
    if rest.rest().is_empty() {
        Ok(pointer)
    } else {
        Err(KvErrorKind::Malformed("a pointer into the value log is too long".into()))
    }
}

fn damaged() -> KvErrorKind {
    KvErrorKind::Malformed("a block refers to what is not in it".into())
}

//! Writes small directories by hand, for what Badger itself would not write on demand.

use std::fs;
use std::path::Path;

use prost::Message;
use twox_hash::XxHash64;

use crate::Version;
use crate::badger::cipher::IV;
use crate::badger::proto::{BlockOffset, Checksum, DataKey, ManifestChange, ManifestChangeSet, TableIndex};
use crate::badger::{Compression, Key};

/// How a directory is written.
pub(super) struct Writer<'a> {
    pub(super) folder: &'a Path,
    pub(super) version: Version,
    pub(super) compression: Compression,
    /// XXH64 instead of CRC-32C.
    pub(super) xx: bool,
    /// The data key, and the master key that seals it.
    pub(super) keys: Option<(Key, Key)>,
    pub(super) changes: Vec<ManifestChange>,
}

/// An entry as it is stored.
#[derive(Clone)]
pub(super) struct Put<'a> {
    pub(super) key: &'a [u8],
    pub(super) version: u64,
    pub(super) meta: u8,
    pub(super) value: Vec<u8>,
}

pub(super) fn put<'a>(key: &'a str, version: u64, value: &str) -> Put<'a> {
    Put { key: key.as_bytes(), version, meta: 0, value: value.into() }
}

/// A pointer into the value log as it is stored.
pub(super) fn pointing(mut put: Put<'_>, file: u32, (offset, length): (u32, u32)) -> Put<'_> {
    put.meta |= 2;
    put.value = [file.to_le_bytes(), length.to_le_bytes(), offset.to_le_bytes()].concat();
    put
}

impl Put<'_> {
    fn stored_key(&self) -> Vec<u8> {
        [self.key, &(u64::MAX - self.version).to_be_bytes()].concat()
    }
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

impl<'a> Writer<'a> {
    pub(super) fn new(folder: &'a Path, version: Version) -> Self {
        Self { folder, version, compression: Compression::None, xx: false, keys: None, changes: Vec::new() }
    }

    fn sum(&self, data: &[u8]) -> Vec<u8> {
        let sum = match self.xx {
            true => Checksum { algorithm: 1, sum: XxHash64::oneshot(0, data) },
            false => Checksum { algorithm: 0, sum: crc32c::crc32c(data).into() },
        };
        let sum = sum.encode_to_vec();
        [&sum[..], &(sum.len() as u32).to_be_bytes()].concat()
    }

    fn seal(&self, mut data: Vec<u8>) -> Vec<u8> {
        if let Some((key, _)) = &self.keys {
            let iv = [7; IV];
            key.apply(&iv, &mut data);
            data.extend(iv);
        }
        data
    }

    fn block(&self, puts: &[Put<'_>]) -> Vec<u8> {
        let base = puts[0].stored_key();
        let (mut block, mut offsets) = (Vec::new(), Vec::new());
        for (at, put) in puts.iter().enumerate() {
            offsets.extend((block.len() as u32).to_le_bytes());
            let key = put.stored_key();
            let overlap = if at == 0 { 0 } else { key.iter().zip(&base).take_while(|(a, b)| a == b).count() };
            block.extend((overlap as u16).to_le_bytes());
            block.extend(((key.len() - overlap) as u16).to_le_bytes());
            block.extend(&key[overlap..]);
            block.extend([put.meta, 0, 0]);
            block.extend(&put.value);
        }
        block.extend(offsets);
        block.extend((puts.len() as u32).to_be_bytes());
        block.extend(self.sum(&block));
        self.seal(match self.compression {
            Compression::Snappy => snap::raw::Encoder::new().compress_vec(&block).unwrap(),
            _ => block,
        })
    }

    /// A table with blocks of two entries, at a level.
    pub(super) fn table(&mut self, id: u64, level: u32, puts: &[Put<'_>]) {
        let (mut table, mut offsets) = (Vec::new(), Vec::new());
        for puts in puts.chunks(2) {
            let block = self.block(puts);
            let (offset, len) = (table.len() as u32, block.len() as u32);
            offsets.push(BlockOffset { key: puts[0].stored_key(), offset, len });
            table.extend(block);
        }
        let index = self.seal(match self.version {
            Version::V2 => TableIndex { offsets }.encode_to_vec(),
            Version::V3 => flat(&offsets),
        });
        table.extend(&index);
        table.extend((index.len() as u32).to_be_bytes());
        table.extend(self.sum(&index));
        fs::write(self.folder.join(format!("{id:06}.sst")), table).unwrap();
        let (key_id, compression) = (u64::from(self.keys.is_some()), self.compression as u32);
        self.changes.push(ManifestChange { id, operation: 0, level, key_id, encryption: 0, compression });
    }

    /// A log of that name; says where each record is: offset and length.
    pub(super) fn log(&self, name: &str, puts: &[Put<'_>]) -> Vec<(u32, u32)> {
        let iv = [9; 12];
        let mut log = [&u64::from(self.keys.is_some()).to_be_bytes()[..], &iv].concat();
        let mut places = Vec::new();
        for put in puts {
            let offset = log.len() as u32;
            let (key, mut record) = (put.stored_key(), vec![put.meta, 0]);
            varint(key.len() as u64, &mut record);
            varint(put.value.len() as u64, &mut record);
            varint(0, &mut record);
            let mut both = [&key[..], &put.value].concat();
            if let Some((key, _)) = &self.keys {
                let counter: Vec<u8> = [&iv[..], &offset.to_be_bytes()].concat();
                key.apply(&counter.try_into().unwrap(), &mut both);
            }
            record.extend(both);
            record.extend(crc32c::crc32c(&record).to_be_bytes());
            places.push((offset, record.len() as u32));
            log.extend(record);
        }
        fs::write(self.folder.join(name), log).unwrap();
        places
    }

    /// MANIFEST and KEYREGISTRY.
    pub(super) fn finish(&self) {
        let number: u32 = if self.version == Version::V2 { 7 } else { 8 };
        let set = ManifestChangeSet { changes: self.changes.clone() }.encode_to_vec();
        let manifest = [b"Bdgr", &number.to_be_bytes()[..], &framed(&set)].concat();
        fs::write(self.folder.join("MANIFEST"), manifest).unwrap();
        let (iv, mut sanity, mut keys) = ([3; IV], b"Hello Badger".to_vec(), Vec::new());
        if let Some((Key(data), master)) = &self.keys {
            master.apply(&iv, &mut sanity);
            let mut data = data.clone();
            master.apply(&[5; IV], &mut data);
            keys = framed(&DataKey { key_id: 1, data, iv: vec![5; IV], created_at: 1 }.encode_to_vec());
        }
        fs::write(self.folder.join("KEYREGISTRY"), [&iv[..], &sanity, &keys].concat()).unwrap();
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], &crc32c::crc32c(message).to_be_bytes(), message].concat()
}

/// A flatbuffer `TableIndex` with nothing but blocks, written front to back.
fn flat(blocks: &[BlockOffset]) -> Vec<u8> {
    let mut out = vec![0; 4];
    // The vtables: of the index, one field; of a block, three.
    let index_vtable = out.len();
    out.extend([6u16, 8, 4].iter().flat_map(|n| n.to_le_bytes()));
    let block_vtable = out.len();
    out.extend([10u16, 16, 4, 8, 12].iter().flat_map(|n| n.to_le_bytes()));
    let index = out.len();
    out.extend(((index - index_vtable) as i32).to_le_bytes());
    out.extend(4u32.to_le_bytes());
    out.extend((blocks.len() as u32).to_le_bytes());
    let references = out.len();
    out.resize(references + 4 * blocks.len(), 0);
    let point = |out: &mut Vec<u8>, at: usize| {
        let distance = (out.len() - at) as u32;
        out[at..at + 4].copy_from_slice(&distance.to_le_bytes());
    };
    for (at, block) in blocks.iter().enumerate() {
        point(&mut out, references + 4 * at);
        let table = out.len();
        out.extend(((table - block_vtable) as i32).to_le_bytes());
        out.extend([0; 4]);
        out.extend(block.offset.to_le_bytes());
        out.extend(block.len.to_le_bytes());
        point(&mut out, table + 4);
        out.extend((block.key.len() as u32).to_le_bytes());
        out.extend(&block.key);
    }
    out[..4].copy_from_slice(&(index as u32).to_le_bytes());
    out
}

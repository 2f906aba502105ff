//! Values of the stores: Badger's two bytes of meta, the second of expiry, then the value itself.
//!
//! Owns the layout `meta | user meta | uvarint expires_at | value`. The pointer bit of the meta, which a record never has,
//! says that the user meta is absent.

use crate::record::{Meta, Record};

const NO_USER_META: u8 = Meta::VALUE_POINTER;

/// What is kept of a record beside its key and version.
pub(crate) fn value(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + 5 + record.value.len());
    let absent = if record.user_meta.is_none() { NO_USER_META } else { 0 };
    bytes.extend([record.meta.bits() | absent, record.user_meta.unwrap_or(0)]);
    uvarint(&mut bytes, record.expires_at);
    bytes.extend(&record.value);
    bytes
}

/// The record of a key and version; none for what [`value`] does not make.
pub(crate) fn read_value(key: Vec<u8>, version: u64, bytes: &[u8]) -> Option<Record> {
    let (&[meta, user_meta], rest) = bytes.split_first_chunk()?;
    let (expires_at, value) = read_uvarint(rest)?;
    Some(Record {
        key,
        version,
        value: value.to_vec(),
        user_meta: (meta & NO_USER_META == 0).then_some(user_meta),
        meta: Meta::of(meta),
        expires_at,
    })
}

/// Appends `n`, seven bits a byte, the lowest first, as protobuf and Go do.
pub(crate) fn uvarint(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// The number at the beginning of `bytes` and what follows it; none where it does not end or is above 64 bits.
pub(crate) fn read_uvarint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut n = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        if i == 9 && byte > 1 {
            return None;
        }
        n |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            return Some((n, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_is_read_back_as_it_was(
            value_bytes in any::<Vec<u8>>(),
            user_meta in any::<Option<u8>>(),
            meta in any::<u8>(),
            expires_at in prop_oneof![Just(0), any::<u64>()],
        ) {
            let (key, meta) = (b"k".to_vec(), Meta::of(meta));
            let record = Record { key, version: 7, value: value_bytes, user_meta, meta, expires_at };
            prop_assert_eq!(read_value(b"k".to_vec(), 7, &value(&record)), Some(record));
        }

        #[test]
        fn numbers_are_those_of_protobuf(n in any::<u64>(), rest in any::<Vec<u8>>()) {
            let mut bytes = Vec::new();
            uvarint(&mut bytes, n);
            let mut theirs = Vec::new();
            prost::encoding::encode_varint(n, &mut theirs);
            prop_assert_eq!(&bytes, &theirs);
            bytes.extend(&rest);
            prop_assert_eq!(read_uvarint(&bytes), Some((n, rest.as_slice())));
        }
    }

    #[test]
    fn a_number_above_64_bits_or_without_an_end_is_none() {
        assert_eq!(read_uvarint(&[0xFF; 12]), None);
        assert_eq!(read_uvarint(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]), None);
        assert_eq!(read_uvarint(&[0x80]), None);
        assert_eq!(read_value(vec![], 1, &[1]), None);
    }
}

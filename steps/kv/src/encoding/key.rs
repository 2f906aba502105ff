//! Keys of the stores: escaped user keys with the version behind them, and the two other spaces.
//!
//! Owns their order. Plain `key || version` would be wrong: the version of `a` would sort among the keys that begin
//! with `a`. So a zero byte becomes `00 FF` and a key ends with `00 01`, which sorts below both `00 FF` and any other
//! byte: byte order is then (key ascending, version descending), also for keys that begin one another.

use std::ops::Range;

/// Space of the records.
pub(crate) const DATA: u8 = b'd';
/// Space of the store's own entries.
pub(crate) const NOTE: u8 = b'm';
/// Space of the index over what expires.
pub(crate) const EXPIRY: u8 = b'x';

const ZERO: [u8; 2] = [0x00, 0xFF];
const END: [u8; 2] = [0x00, 0x01];

/// Where one version of a key is kept.
pub(crate) fn data_key(key: &[u8], version: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len() + END.len() + size_of::<u64>());
    bytes.push(DATA);
    push_data(&mut bytes, key, version);
    bytes
}

/// The versions of every key that begins with `prefix`.
pub(crate) fn data_prefix(prefix: &[u8]) -> Range<Vec<u8>> {
    let mut from = Vec::with_capacity(1 + prefix.len());
    from.push(DATA);
    push_escaped(&mut from, prefix);
    let to = after(&from);
    from..to
}

/// Where the index says that a version of a key expires at `expires_at`.
pub(crate) fn expiry_key(expires_at: u64, key: &[u8], version: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len() + END.len() + 2 * size_of::<u64>());
    bytes.push(EXPIRY);
    bytes.extend(expires_at.to_be_bytes());
    push_data(&mut bytes, key, version);
    bytes
}

/// All of the index that expires at or before `now`.
pub(crate) fn expiry_until(now: u64) -> Range<Vec<u8>> {
    let to = now.checked_add(1).map_or_else(|| vec![EXPIRY + 1], |end| [&[EXPIRY][..], &end.to_be_bytes()].concat());
    vec![EXPIRY]..to
}

/// Where an entry of the store's own is kept.
pub(crate) fn note_key(name: &str) -> Vec<u8> {
    [&[NOTE], name.as_bytes()].concat()
}

/// The key and version of a stored key of [`DATA`]; none for what [`data_key`] does not make.
pub(crate) fn read_data_key(bytes: &[u8]) -> Option<(Vec<u8>, u64)> {
    read_data(bytes.strip_prefix(&[DATA])?)
}

/// The key, version and second of a stored key of [`EXPIRY`].
pub(crate) fn read_expiry_key(bytes: &[u8]) -> Option<(Vec<u8>, u64, u64)> {
    let (at, data) = bytes.strip_prefix(&[EXPIRY])?.split_first_chunk()?;
    let (key, version) = read_data(data)?;
    Some((key, version, u64::from_be_bytes(*at)))
}

/// The least bytes that sort above everything that begins with `prefix`, whose first byte is a space's.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.last() == Some(&0xFF) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn push_data(bytes: &mut Vec<u8>, key: &[u8], version: u64) {
    push_escaped(bytes, key);
    bytes.extend(END);
    bytes.extend((!version).to_be_bytes());
}

fn push_escaped(bytes: &mut Vec<u8>, key: &[u8]) {
    let mut parts = key.split(|&byte| byte == 0);
    bytes.extend(parts.next().unwrap_or_default());
    for part in parts {
        bytes.extend(ZERO);
        bytes.extend(part);
    }
}

fn read_data(bytes: &[u8]) -> Option<(Vec<u8>, u64)> {
    let (rest, version) = bytes.split_last_chunk()?;
    let escaped = rest.strip_suffix(&END)?;
    let mut key = Vec::with_capacity(escaped.len());
    let mut parts = escaped.split(|&byte| byte == 0);
    key.extend(parts.next()?);
    for part in parts {
        key.push(0);
        key.extend(part.strip_prefix(&[0xFF])?);
    }
    Some((key, !u64::from_be_bytes(*version)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Record;

    /// Keys of few, awkward bytes, so that they begin one another and hold what is escaped.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, b'a', 0xFE, 0xFF]), 0..6)
    }

    fn version() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..4, Just(u64::MAX), Just(1 << 56), any::<u64>()]
    }

    proptest! {
        #[test]
        fn stored_keys_sort_as_badger_sorts_and_are_read_back(a in key(), v in version(), b in key(), w in version()) {
            let (left, right) = (data_key(&a, v), data_key(&b, w));
            let record = |key: &[u8], version| Record { key: key.to_vec(), version, ..Record::default() };
            prop_assert_eq!(left.cmp(&right), record(&a, v).order(&record(&b, w)));
            prop_assert_eq!(read_data_key(&left), Some((a, v)));
        }

        #[test]
        fn a_prefix_spans_the_keys_that_begin_with_it_and_no_other(prefix in key(), k in key(), v in version()) {
            let within = data_prefix(&prefix).contains(&data_key(&k, v));
            prop_assert_eq!(within, k.starts_with(&prefix));
        }

        #[test]
        fn the_index_sorts_by_the_second(k in key(), v in version(), at in any::<u64>(), now in any::<u64>()) {
            let stored = expiry_key(at, &k, v);
            prop_assert_eq!(expiry_until(now).contains(&stored), at <= now);
            prop_assert_eq!(read_expiry_key(&stored), Some((k, v, at)));
        }

        #[test]
        fn bytes_that_no_key_makes_are_none(bytes in prop::collection::vec(0u8..3, 0..16)) {
            let stored = [&[DATA][..], &bytes].concat();
            if let Some((key, version)) = read_data_key(&stored) {
                prop_assert_eq!(data_key(&key, version), stored);
            }
        }
    }
}

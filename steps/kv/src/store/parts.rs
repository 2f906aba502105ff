//! Where a store is cut, so that its parts are read at the same time.
//!
//! Owns the places. Nobody knows how many records lie between two keys, so a range is halved as if its keys were spread
//! evenly, again and again; the versions of a key are never divided.

use std::ops::Range;

use super::Engine;
use crate::encoding::{data_key, read_data_key};
use crate::error::Result;

/// Bytes of a part, about.
const PART: u64 = 4 << 20;
/// More halvings than this take longer than they spare.
const DEEPEST: u32 = 14;

/// How often the whole of a store of that many bytes is halved.
pub(super) fn depth(bytes: u64) -> u32 {
    (bytes / PART).max(1).ilog2().min(DEEPEST)
}

/// Ranges that follow one another and are `whole` together: up to two to the power of `depth`, each with a record.
pub(super) fn cut<E: Engine>(engine: &E, whole: Range<Vec<u8>>, depth: u32) -> Result<Vec<Range<Vec<u8>>>> {
    let Some(place) = (if depth > 0 { place(engine, &whole)? } else { None }) else { return Ok(vec![whole]) };
    let mut parts = cut(engine, whole.start..place.clone(), depth - 1)?;
    parts.extend(cut(engine, place..whole.end, depth - 1)?);
    Ok(parts)
}

/// Where the versions of a key begin, with something on both sides; none where there is no such place.
fn place<E: Engine>(engine: &E, range: &Range<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    let mut within = engine.range(range.clone());
    let (Some(first), Some(last)) = (within.next().transpose()?, within.next_back().transpose()?) else {
        return Ok(None);
    };
    let (first, last) = (first.0.as_ref(), last.0.as_ref());
    let Some(middle) = middle(first, last) else { return Ok(None) };
    let Some(found) = engine.range(middle..range.end.clone()).next().transpose()? else { return Ok(None) };
    let key = read_data_key(found.0.as_ref()).map(|(key, _)| data_key(&key, u64::MAX));
    Ok(key.filter(|key| key.as_slice() > first))
}

/// Bytes between the two, or none.
fn middle(first: &[u8], last: &[u8]) -> Option<Vec<u8>> {
    let same = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let number = |bytes: &[u8]| {
        let mut number = [0; 8];
        bytes[same..].iter().zip(&mut number).for_each(|(byte, to)| *to = *byte);
        u64::from_be_bytes(number)
    };
    let (low, high) = (number(first), number(last));
    let between = low + high.saturating_sub(low) / 2;
    (between > low).then(|| [&first[..same], &between.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between_and_a_large_store_has_small_parts() {
        let found = middle(b"made/0001", b"made/0009 and more").unwrap();
        assert!((&b"made/0001"[..]..b"made/0009").contains(&found.as_slice()), "{found:?}");
        assert_eq!([middle(b"a", b"a"), middle(b"a", b"a\0")], [None, None]);
        assert_eq!([0, PART, 2 * PART, 190 << 20, u64::MAX].map(depth), [0, 0, 1, 5, DEEPEST]);
    }
}

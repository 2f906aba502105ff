//! The index of a table of Badger 3 and 4: a flatbuffer, walked by hand.
//!
//! Flatbuffers: a table begins with the signed distance back to its vtable, which says for each field how far from the
//! table's begin it lies (0: absent); vectors and tables are referred to by the distance from the reference. Each step is
//! checked, since the bytes may be anybody's.

use super::Block;
use crate::KvErrorKind;
use crate::badger::bytes::Parsed;

/// The blocks that an index lists.
pub(super) fn blocks(bytes: &[u8]) -> Parsed<Vec<Block>> {
    let buffer = Buffer(bytes);
    let root = buffer.follow(0)?;
    // table TableIndex { offsets: [BlockOffset]; bloom_filter: [ubyte]; max_version: uint64; … }
    let Some(field) = buffer.field(root, 0)? else { return Ok(Vec::new()) };
    let vector = buffer.follow(field)?;
    let count = buffer.u32(vector)? as usize;
    // A reference takes four bytes.
    if count > bytes.len() / 4 {
        return Err(damaged());
    }
    (0..count)
        .map(|at| {
            let table = buffer.follow(vector.checked_add(4 + 4 * at).ok_or_else(damaged)?)?;
            // table BlockOffset { key: [ubyte]; offset: uint; len: uint; }
            let number = |index| -> Parsed<u32> {
                match buffer.field(table, index)? {
                    Some(field) => buffer.u32(field),
                    None => Ok(0),
                }
            };
            let key = match buffer.field(table, 0)? {
                Some(field) => buffer.vector(buffer.follow(field)?)?.to_vec(),
                None => Vec::new(),
            };
            Ok(Block { key, offset: number(1)?, length: number(2)? })
        })
        .collect()
}

struct Buffer<'a>(&'a [u8]);

impl<'a> Buffer<'a> {
    fn array<const N: usize>(&self, at: usize) -> Parsed<[u8; N]> {
        self.0.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or_else(damaged)
    }

    fn u16(&self, at: usize) -> Parsed<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Parsed<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// Where the reference at `at` leads.
    fn follow(&self, at: usize) -> Parsed<usize> {
        at.checked_add(self.u32(at)? as usize).filter(|&to| to < self.0.len()).ok_or_else(damaged)
    }

    /// Where a field of the table at `table` lies, if it is there.
    fn field(&self, table: usize, index: usize) -> Parsed<Option<usize>> {
        let back = self.array(table).map(i32::from_le_bytes)?;
        let vtable = i64::try_from(table).ok().and_then(|table| table.checked_sub(i64::from(back)));
        let vtable = vtable.and_then(|at| usize::try_from(at).ok()).ok_or_else(damaged)?;
        let entry = 4 + 2 * index;
        if entry + 2 > usize::from(self.u16(vtable)?) {
            return Ok(None);
        }
        match self.u16(vtable.checked_add(entry).ok_or_else(damaged)?)? {
            0 => Ok(None),
            distance => table.checked_add(usize::from(distance)).map(Some).ok_or_else(damaged),
        }
    }

    /// The bytes of the vector at `at`.
    fn vector(&self, at: usize) -> Parsed<&'a [u8]> {
        let count = self.u32(at)? as usize;
        self.0.get(at + 4..).and_then(|rest| rest.get(..count)).ok_or_else(damaged)
    }
}

fn damaged() -> KvErrorKind {
    KvErrorKind::Malformed("the index refers to what is not in it".into())
}

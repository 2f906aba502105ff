//! The digest of a table's rows, in order or as a multiset.
//!
//! Owns how rows become bytes and bytes a digest. Whoever reads the rows does not wait for their hashing: what does not
//! fit into the first block goes to a thread of its own, block by block.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use cutover_core::{PartPrint, StepError};
use rusqlite::Row;

use crate::value::push_bytes;

/// Rows are hashed in blocks of about this many bytes: long enough for BLAKE3 to use the whole machine word, short enough
/// to stay in the cache between the two threads.
const BLOCK: usize = 1 << 17;

/// Blocks under way at once.
const BLOCKS: usize = 4;

/// Takes rows, gives their digest.
pub(super) struct Printer<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    block: Block,
    hashing: Hashing<'scope>,
    count: u64,
}

/// Rows one after the other.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Where each row ends; none when only the order counts.
    ends: Vec<usize>,
}

/// Who hashes.
enum Hashing<'scope> {
    /// Nobody yet.
    Here(Box<Digest>),
    /// A thread: it gets full blocks and gives empty ones back.
    There { full: SyncSender<Block>, empty: Receiver<Block>, thread: ScopedJoinHandle<'scope, Digest> },
}

impl<'scope, 'env> Printer<'scope, 'env> {
    /// No rows yet. `ordered`: their order counts.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, ordered: bool) -> Self {
        let digest = Digest { hasher: blake3::Hasher::new(), sum: (!ordered).then_some([0; 4]) };
        Self { scope, block: Block::default(), hashing: Hashing::Here(Box::new(digest)), count: 0 }
    }

    /// The next row, of `columns` values.
    pub(super) fn row(&mut self, row: &Row<'_>, columns: usize) -> rusqlite::Result<()> {
        let bytes = &mut self.block.bytes;
        for i in 0..columns {
            push_bytes(bytes, row.get_ref(i)?);
        }
        bytes.push(b'\n');
        self.block.ends.push(bytes.len());
        self.count += 1;
        if bytes.len() >= BLOCK {
            self.hand_over();
        }
        Ok(())
    }

    /// Gives the full block to the thread, which begins with the first one.
    fn hand_over(&mut self) {
        if let Hashing::Here(digest) = &mut self.hashing {
            let digest = std::mem::take(digest);
            let (full, blocks) = sync_channel(BLOCKS);
            let (back, empty) = sync_channel(BLOCKS + 2);
            let thread = self.scope.spawn(move || digest.of(&blocks, &back));
            self.hashing = Hashing::There { full, empty, thread };
        }
        if let Hashing::There { full, empty, .. } = &self.hashing {
            let next = empty.try_recv().unwrap_or_else(|_| Block::with_capacity());
            // Refused only by a thread that has panicked, which its end tells.
            let _ = full.send(std::mem::replace(&mut self.block, next));
        }
    }

    /// The digest of all rows.
    pub(super) fn finish(self) -> Result<PartPrint, StepError> {
        let mut digest = match self.hashing {
            Hashing::Here(digest) => *digest,
            Hashing::There { full, empty, thread } => {
                drop((full, empty));
                thread.join().map_err(|_| StepError::internal("hashing the rows ended without a result"))?
            }
        };
        digest.add(&self.block);
        Ok(PartPrint { digest: digest.finish(), count: self.count })
    }
}

impl Block {
    fn with_capacity() -> Self {
        Self { bytes: Vec::with_capacity(BLOCK + BLOCK / 8), ends: Vec::with_capacity(BLOCK / 64) }
    }
}

/// The digest of the rows so far.
#[derive(Debug, Default)]
struct Digest {
    hasher: blake3::Hasher,
    /// Sum of the rows' digests modulo 2^256, low word first; none when the order counts.
    sum: Option<[u64; 4]>,
}

impl Digest {
    fn of(mut self, blocks: &Receiver<Block>, back: &SyncSender<Block>) -> Self {
        for mut block in blocks {
            self.add(&block);
            block.bytes.clear();
            block.ends.clear();
            // Nobody waits for it when the last row is read.
            let _ = back.try_send(block);
        }
        self
    }

    fn add(&mut self, block: &Block) {
        let Some(sum) = &mut self.sum else {
            self.hasher.update(&block.bytes);
            return;
        };
        let mut start = 0;
        for &end in &block.ends {
            add(sum, blake3::hash(&block.bytes[start..end]).as_bytes());
            start = end;
        }
    }

    fn finish(mut self) -> String {
        for word in self.sum.into_iter().flatten() {
            self.hasher.update(&word.to_le_bytes());
        }
        self.hasher.finalize().to_hex().to_string()
    }
}

fn add(sum: &mut [u64; 4], digest: &[u8; 32]) {
    let mut carry = false;
    for (word, chunk) in sum.iter_mut().zip(digest.chunks_exact(8)) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        let (first, over) = word.overflowing_add(u64::from_le_bytes(bytes));
        let (second, again) = first.overflowing_add(u64::from(carry));
        *word = second;
        carry = over || again;
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// The digest of the rows `1..=n` of 100 bytes, from one thread.
    fn plainly(n: i64, ordered: bool) -> String {
        let mut digest = Digest { sum: (!ordered).then_some([0; 4]), ..Digest::default() };
        let mut block = Block::default();
        for i in 1..=n {
            push_bytes(&mut block.bytes, rusqlite::types::ValueRef::Integer(i));
            push_bytes(&mut block.bytes, rusqlite::types::ValueRef::Text(format!("{i:0100}").as_bytes()));
            block.bytes.push(b'\n');
            block.ends.push(block.bytes.len());
        }
        digest.add(&block);
        digest.finish()
    }

    #[test]
    fn however_many_blocks_the_rows_fill_their_digest_is_the_same() {
        let conn = Connection::open_in_memory().unwrap();
        for n in [0, 1, 1000, 100_000] {
            let sql = format!(
                "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {n})
                 SELECT i, printf('%0100d', i) FROM c WHERE {n} > 0"
            );
            for ordered in [true, false] {
                let mut statement = conn.prepare(&sql).unwrap();
                let print = std::thread::scope(|scope| {
                    let mut printer = Printer::new(scope, ordered);
                    let mut rows = statement.query([]).unwrap();
                    while let Some(row) = rows.next().unwrap() {
                        printer.row(row, 2).unwrap();
                    }
                    printer.finish().unwrap()
                });
                assert_eq!(
                    (print.count, print.digest),
                    (u64::try_from(n).unwrap(), plainly(n, ordered)),
                    "{n} {ordered}"
                );
            }
        }
    }
}

//! What a store needs of an engine: ordered bytes, and batches that are written whole.
//!
//! Owns the trait. Knows no records.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use crate::error::Result;

/// An embedded database with one ordered tree of ours in it.
pub trait Engine: Sized + fmt::Debug + Send + Sync + 'static {
    /// Its name in plans and messages.
    const NAME: &'static str;

    /// Bytes as the engine lends them.
    type Bytes: AsRef<[u8]>;

    /// Opens what is in the folder, or makes it there.
    fn open(path: &Path) -> Result<Self>;

    /// Whether a database of this engine lies in the folder.
    fn is_there(path: &Path) -> bool;

    /// The file that a process which has it open holds locked, relative to the folder.
    fn lock_file() -> &'static str;

    /// What is kept under a key.
    fn get(&self, key: &[u8]) -> Result<Option<Self::Bytes>>;

    /// Keys and what is kept under them, in byte order.
    fn range(
        &self,
        range: Range<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = Result<(Self::Bytes, Self::Bytes)>> + Send + use<'_, Self>;

    /// The store as it is at one moment; as it is at any, where the engine has no such thing.
    type View: Send + Sync;

    /// As it is now.
    fn view(&self) -> Self::View;

    /// Keys and what was kept under them then.
    fn range_of<'s>(
        &'s self,
        view: &Self::View,
        range: Range<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(Self::Bytes, Self::Bytes)>> + Send + use<'s, Self>;

    /// Writes all or nothing; none removes. Keys ascend, and none comes twice.
    fn write(&self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>, durable: bool) -> Result<()>;

    /// Writes very many entries past its log, all or nothing, durably, if it can: where it cannot, it says so and takes none.
    /// Keys ascend, and none comes twice.
    fn ingest(&self, _entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<bool> {
        Ok(false)
    }

    /// Makes durable what was written.
    fn flush(&self) -> Result<()>;

    /// Puts what was written where the next one who opens it need not read a log for it, as far as that can be done now.
    fn rest(&self) {}

    /// Bytes on disk.
    fn size(&self) -> Result<u64>;
}

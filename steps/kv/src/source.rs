//! Where records come from: a backup file, a Badger directory, a store.
//!
//! Owns the one trait that copying and verifying read through. Knows no source.

use crate::error::Result;
use crate::record::Record;
use crate::store::Part;

/// A thing that records are read from, again and again if asked.
pub trait RecordSource: Send {
    /// Every record with a version of `since` or more, in the source's own order; 0 is all of them. A record may come
    /// twice. The iterator ends with the first error.
    fn records(&self, since: u64) -> Result<Box<dyn Iterator<Item = Result<Record>> + Send + '_>>;

    /// The same in parts that follow one another, each in the source's order. They may be read at the same time.
    fn parts(&self, since: u64) -> Result<Vec<Part<'_>>> {
        let records = self.records(since)?;
        Ok(vec![Box::new(move || Ok(records))])
    }

    /// How the records come.
    fn order(&self) -> Order;
}

/// How records follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By [`Record::order`], each once.
    Sorted,
    /// Anyhow.
    Unsorted,
}

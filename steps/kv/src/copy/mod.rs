//! Moves records from a source into a store, and compares the two afterwards.
//!
//! Owns the sorted, resumable copy. Knows neither what the source is nor which engine the store has.

mod compare;
mod reading;
mod run;
mod sort;
mod sum;
#[cfg(test)]
mod tests;
mod waiting;
mod writing;

pub use compare::{Comparison, Differing, compare, compare_with_backup};
pub use run::{Copied, Copy, Cursor, Flow};
pub use sort::{Sorted, sorted};
pub use sum::Sum;
pub(crate) use sum::hash;

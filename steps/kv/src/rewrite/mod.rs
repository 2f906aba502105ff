//! Rewrites records of a store where they lie, in batches that carry the place where they end.
//!
//! Owns that nothing is rewritten twice and nothing of what was there before is lost: the records that a batch replaces are
//! durable as a Badger backup before the batch is written, and the batch and its cursor are one write of the store. Knows
//! nothing of what is made of a record, nor of steps.

mod back;
mod cursor;
mod refused;
mod run;

pub(crate) use back::{PutBack, put_back, standing};
pub(crate) use cursor::Cursor;
pub(crate) use refused::Refusal;
pub(crate) use run::{Made, Rewrite};

//! Places where a test kills the program.

/// The intent is durable; no record is dropped.
pub(super) const INTENDED: &str = "kv.gc:intended";
/// The records of some keys are dropped; the next keys are as they were.
pub(super) const BATCH: &str = "kv.gc:batch";
/// All is dropped and the store is closed; the step does not know it.
pub(super) const DONE: &str = "kv.gc:done";

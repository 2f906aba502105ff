//! Places where a test kills the program.

/// The intent is durable: no record is copied.
pub(super) const INTENDED: &str = "kv.copy:intended";
/// A batch of records is complete, and not in the store: those before it are, with the cursor.
pub(super) const BATCH: &str = "kv.copy:batch";
/// Every record is copied and the store is closed; the step does not know it.
pub(super) const DONE: &str = "kv.copy:done";
/// Some records of a copy are removed; the others and the cursor are there.
pub(super) const BACK: &str = "kv.copy:back";
/// All records of a copy and its cursor are removed; a store that was not there before still is.
pub(super) const EMPTIED: &str = "kv.copy:emptied";

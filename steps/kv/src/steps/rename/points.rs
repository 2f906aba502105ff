//! Places where a test kills the program.

use crate::steps::rewriting::Points;

/// The intent is durable; no key is changed.
const INTENDED: &str = "kv.rename-prefix:intended";
/// The records that a batch moves are durable; the batch is not written.
const KEPT: &str = "kv.rename-prefix:kept";
/// A batch is moved, with the cursor; the next one is not.
const BATCH: &str = "kv.rename-prefix:batch";
/// Every record has its new key and the store is closed; the step does not know it.
const DONE: &str = "kv.rename-prefix:done";
/// Some records have their old keys again; the others and the cursor are there.
const BACK: &str = "kv.rename-prefix:back";
/// All records have their old keys and the cursor is gone; what was kept of them is there still.
const FORGOTTEN: &str = "kv.rename-prefix:forgotten";

pub(super) const POINTS: Points =
    Points { intended: INTENDED, kept: KEPT, batch: BATCH, done: DONE, back: BACK, forgotten: FORGOTTEN };

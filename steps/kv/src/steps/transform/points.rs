//! Places where a test kills the program.

use crate::steps::rewriting::Points;

/// The intent is durable; no record is changed.
const INTENDED: &str = "kv.transform:intended";
/// What a batch replaces is durable; the batch is not written.
const KEPT: &str = "kv.transform:kept";
/// A batch and the cursor behind it are written; the next one is not.
const BATCH: &str = "kv.transform:batch";
/// Every record is transformed and the store is closed; the step does not know it.
const DONE: &str = "kv.transform:done";
/// Some records are as they were; the others and the cursor are there.
const BACK: &str = "kv.transform:back";
/// All records are as they were and the cursor is gone; what was kept of them is there still.
const FORGOTTEN: &str = "kv.transform:forgotten";

pub(super) const POINTS: Points =
    Points { intended: INTENDED, kept: KEPT, batch: BATCH, done: DONE, back: BACK, forgotten: FORGOTTEN };

//! The names of what the steps of a mapping keep in the user's database. All begin alike, so that fingerprints, counts
//! and exports can leave them out.

/// How every name of ours begins that stands beside the user's tables.
pub(crate) const PREFIX: &str = "_cutover_";

/// A row for each pair, whose `origin` is the side that is being mirrored; NULL when no trigger of the pair is at work.
pub(crate) const GUARD: &str = "_cutover_guard";

/// Rows that cannot be shown on the other side, each with the reason.
pub(crate) const QUARANTINE: &str = "_cutover_quarantine";

/// A row for each mapping: the stage that it is at.
pub(crate) const STAGE: &str = cutover_dual::STAGE_TABLE;

/// The raw old values of the pair `name`, by key.
pub(crate) fn raw(name: &str) -> String {
    format!("{PREFIX}raw_{name}")
}

/// Whether `name` is one of them.
pub(crate) fn is_helper(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

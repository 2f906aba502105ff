//! A part of the rows of a pair, on both sides.

use rusqlite::types::Value;

/// Conditions that are added to a `WHERE`: each is empty, or from its ` AND ` on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// Over the row `old`.
    pub(crate) old: String,
    /// Over the row `new`.
    pub(crate) new: String,
    /// Over `k0`, `k1` and so on: the old key in a table of ours.
    pub(crate) key: String,
    /// The parameters, the same of each.
    pub(crate) values: Vec<Value>,
}

impl Part {
    /// What is not in `other`, which has no parameters.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let less = |part: &str, other: &str| format!("{part} AND (1{other}) IS NOT TRUE");
        Self {
            old: less(&self.old, &other.old),
            new: less(&self.new, &other.new),
            key: less(&self.key, &other.key),
            values: self.values.clone(),
        }
    }
}

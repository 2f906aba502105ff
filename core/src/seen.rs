//! What targets were when a run ended, and what others did to them since.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Depth, Difference, StepContext, StepError, Target, differences};

/// As much of a digest as tells two definitions apart.
const DIGITS: usize = 16;

/// What a target was at the end of a run: whatever differs later was done by somebody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TargetSeen {
    /// The beginning of the digest of each structural object, by name ("table conversations").
    pub schema: BTreeMap<String, String>,
    /// Rows, records or files by table, prefix or folder.
    pub counts: BTreeMap<String, u64>,
}

impl TargetSeen {
    /// What it is now. Read-only.
    pub async fn of(target: &dyn Target, cx: &StepContext) -> Result<Self, StepError> {
        let print = target.fingerprint(cx, Depth::Schema).await?;
        let short = |digest: String| digest.chars().take(DIGITS).collect();
        let schema = print.schema.into_iter().map(|(name, digest)| (name, short(digest))).collect();
        Ok(Self { schema, counts: target.counts(cx).await? })
    }

    /// What was done to the structure between `self` and `now`, a line each.
    pub fn structure_since(&self, now: &Self) -> Vec<String> {
        differences(&self.schema, &now.schema).map(|(name, how)| format!("{name} {how}")).collect()
    }

    /// Where rows came or went between `self` and `now`, a line each.
    pub fn rows_since(&self, now: &Self) -> Vec<String> {
        let told = |(part, how)| match how {
            Difference::Other { was, is } => Some(format!("{part}: {was} then, {is} now")),
            Difference::Gone | Difference::New => None,
        };
        differences(&self.counts, &now.counts).filter_map(told).collect()
    }
}

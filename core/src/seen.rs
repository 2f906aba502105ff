//! What targets were when a run ended, and what others did to them since.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Depth, StepContext, StepError, Target};

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
        let gone = self.schema.iter().filter_map(|(name, digest)| match now.schema.get(name) {
            None => Some(format!("{name} is gone")),
            Some(other) => (other != digest).then(|| format!("{name} is another one")),
        });
        let new = now.schema.keys().filter(|name| !self.schema.contains_key(*name));
        gone.chain(new.map(|name| format!("{name} is new"))).collect()
    }

    /// Where rows came or went between `self` and `now`, a line each.
    pub fn rows_since(&self, now: &Self) -> Vec<String> {
        let differs = |(part, then): (&String, &u64)| {
            let is = now.counts.get(part)?;
            (is != then).then(|| format!("{part}: {then} then, {is} now"))
        };
        self.counts.iter().filter_map(differs).collect()
    }
}

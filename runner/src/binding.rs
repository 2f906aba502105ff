//! What a saved plan or a rehearsal holds for: one plan, on targets in one state. Says what moved since.

use std::collections::BTreeMap;

use cutover_core::{Depth, Difference, Fingerprint, StepContext, differences};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::session::Session;

/// The plan and the state of its targets at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Binding {
    /// The plan's name.
    pub plan: String,
    /// Digest of each step, by id, and of the plan as a whole under the empty id.
    pub steps: BTreeMap<String, String>,
    /// Its targets by name.
    pub targets: BTreeMap<String, BoundTarget>,
}

/// A target at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct BoundTarget {
    /// Structure, and content where that is bound too.
    pub fingerprint: Fingerprint,
    /// Digest of each step that its ledger has of this plan, by id.
    pub ledger: BTreeMap<String, String>,
}

impl Binding {
    /// The plan and its targets as they are now. Read-only.
    pub(crate) async fn of(session: &Session, cx: &StepContext, depth: Depth) -> Result<Self> {
        let plan = &session.plan;
        let mut steps: BTreeMap<_, _> = plan.steps().map(|(_, s)| (s.id.clone(), s.digest.clone())).collect();
        steps.insert(String::new(), plan.digest.clone());
        let mut targets = BTreeMap::new();
        for (name, target) in session.targets.iter() {
            let mut ledger = BTreeMap::new();
            if let Some(kept) = target.ledger() {
                let rows = kept.entries(cx, &plan.name).await?;
                ledger = rows.into_iter().filter(|r| r.success).map(|r| (r.step, r.digest)).collect();
            }
            let fingerprint = target.fingerprint(cx, depth).await?;
            targets.insert(name.clone(), BoundTarget { fingerprint, ledger });
        }
        Ok(Self { plan: plan.name.clone(), steps, targets })
    }

    /// How deep the targets were looked at.
    pub(crate) fn depth(&self) -> Depth {
        let content = self.targets.values().any(|t| t.fingerprint.content.is_some());
        if content { Depth::Content } else { Depth::Schema }
    }

    /// One digest of all of it.
    pub(crate) fn digest(&self) -> String {
        cutover_core::blake3_hex(cutover_core::canonical_json(&serde_json::json!(self)).as_bytes())
    }

    /// What is not any more as it was here, a line for each; empty when all is.
    pub(crate) fn moved(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.plan != now.plan {
            lines.push(format!("the plan was `{}`, and is `{}`", self.plan, now.plan));
        }
        let steps = differences(&self.steps, &now.steps).filter(|(id, _)| !id.is_empty());
        lines.extend(steps.map(|(id, how)| match how {
            Difference::Gone => format!("step `{id}` is no longer in the plan"),
            Difference::New => format!("step `{id}` is new in the plan"),
            Difference::Other { .. } => format!("step `{id}` changed"),
        }));
        if lines.is_empty() && self.steps.get("") != now.steps.get("") {
            lines.push("the order of the plan's steps, what they need or their units changed".to_owned());
        }
        for (name, was) in &self.targets {
            let Some(is) = now.targets.get(name) else {
                lines.push(format!("target `{name}` is no longer in the plan"));
                continue;
            };
            lines.extend(differences(&was.ledger, &is.ledger).map(|(id, how)| match how {
                Difference::Gone => format!("{name}: the ledger no longer has step `{id}`"),
                Difference::New => format!("{name}: the ledger has step `{id}` now"),
                Difference::Other { .. } => format!("{name}: the ledger has another step `{id}` now"),
            }));
            lines.extend(was.fingerprint.changes(&is.fingerprint).into_iter().map(|line| format!("{name}: {line}")));
        }
        lines.extend(
            now.targets
                .keys()
                .filter(|n| !self.targets.contains_key(*n))
                .map(|n| format!("target `{n}` is new in the plan")),
        );
        lines
    }
}

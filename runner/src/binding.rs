//! What a saved plan or a rehearsal holds for: one plan, on targets in one state. Says what moved since.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use cutover_core::journal::{BoundTo, RunState};
use cutover_core::plan::{OnFailure, PlanStep};
use cutover_core::{Depth, Difference, Fingerprint, StepContext, blake3_hex, canonical_json, differences};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::Result;
use crate::executor::Bound;
use crate::session::{Session, real_or_given};

/// The plan and the state of its targets at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Binding {
    /// The plan's name.
    pub plan: String,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// Digest of each step, by id, and of the plan as a whole under the empty id. Tuning is not in it.
    pub steps: BTreeMap<String, String>,
    /// The root.
    pub root: PathBuf,
    /// Its targets by name.
    pub targets: BTreeMap<String, BoundTarget>,
    /// The folder from which places outside of the root, and the root, are told; without one they are absolute.
    #[serde(skip)]
    pub from: Option<PathBuf>,
}

/// A target at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct BoundTarget {
    /// Where it lies: relative to the root where it lies inside. Links are resolved.
    pub place: PathBuf,
    /// The name of its ledger, where that is not the default one.
    pub ledger_name: Option<String>,
    /// Digest of its kind's own configuration.
    pub config: String,
    /// Structure, and content where that is bound too.
    pub fingerprint: Fingerprint,
    /// Digest of each step that its ledger has of this plan, by id.
    pub ledger: BTreeMap<String, String>,
}

impl Binding {
    /// The plan and its targets as they are now, as seen from the folder `from`. Read-only.
    pub(crate) async fn of(session: &Session, cx: &StepContext, depth: Depth, from: Option<PathBuf>) -> Result<Self> {
        let plan = &session.plan;
        let mut steps: BTreeMap<_, _> = plan.steps().map(|(_, s)| (s.id.clone(), of_step(s))).collect();
        steps.insert(String::new(), plan.digest.clone());
        let seen = |path: &Path| from.as_deref().map_or_else(|| path.to_owned(), |from| between(from, path));
        let mut targets = BTreeMap::new();
        for (name, target) in session.targets.iter() {
            let mut ledger = BTreeMap::new();
            if let Some(kept) = target.ledger() {
                let rows = kept.entries(cx, &plan.name).await?;
                ledger = rows.into_iter().filter(|r| r.success).map(|r| (r.step, r.digest)).collect();
            }
            let fingerprint = target.fingerprint(cx, depth).await?;
            let path = real_or_given(target.path());
            let place = path.strip_prefix(&session.root).map_or_else(|_| seen(&path), Path::to_owned);
            let spec = plan.targets.get(name);
            let ledger_name = spec.and_then(|s| s.ledger.clone());
            let config = spec.map(|s| json!([s.kind, s.config])).unwrap_or_default();
            let config = blake3_hex(canonical_json(&config).as_bytes());
            targets.insert(name.clone(), BoundTarget { place, ledger_name, config, fingerprint, ledger });
        }
        let root = seen(&session.root);
        Ok(Self { plan: plan.name.clone(), on_failure: plan.on_failure, steps, root, targets, from })
    }

    /// The same of now: seen from the same place, as deep.
    pub(crate) async fn now(&self, session: &Session, cx: &StepContext) -> Result<Self> {
        Self::of(session, cx, self.depth(), self.from.clone()).await
    }

    /// How deep the targets were looked at.
    fn depth(&self) -> Depth {
        let content = self.targets.values().any(|t| t.fingerprint.content.is_some());
        if content { Depth::Content } else { Depth::Schema }
    }

    /// One digest of all of it.
    pub(crate) fn digest(&self) -> String {
        blake3_hex(canonical_json(&json!(self)).as_bytes())
    }

    /// Whether that run was begun under this and did not come to its end: it moved the targets itself.
    pub(crate) fn is_under_way(&self, run: &RunState) -> bool {
        let digest = self.digest();
        run.outcome.as_deref() != Some("done") && run.bound_to.iter().any(|b| b.digest == digest)
    }

    /// What is not any more as it was here, a line for each; empty when all is.
    pub(crate) fn moved(&self, now: &Self) -> Vec<String> {
        let mut lines = self.edited(now);
        lines.extend(self.targets_moved(now));
        lines
    }

    /// The part of it that no run of the plan moves: what runs, and on what.
    pub(crate) fn edited(&self, now: &Self) -> Vec<String> {
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
            lines.push("the plan's phases, the order of its steps or what they need changed".to_owned());
        }
        if self.on_failure != now.on_failure {
            let (was, is) = (self.on_failure.name(), now.on_failure.name());
            lines.push(format!("on-failure was {was}, and is {is}"));
        }
        if self.root != now.root {
            lines.push(format!("the root was `{}`, and is `{}`", self.root.display(), now.root.display()));
        }
        lines.extend(differences(&self.targets, &now.targets).flat_map(|(name, how)| match how {
            Difference::Gone => vec![format!("target `{name}` is no longer in the plan")],
            Difference::New => vec![format!("target `{name}` is new in the plan")],
            Difference::Other { was, is } => was.replaced(is).map(|how| format!("target `{name}`: {how}")).collect(),
        }));
        lines
    }

    /// What a run of the plan moves, and what others do.
    pub(crate) fn targets_moved(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, was) in &self.targets {
            let Some(is) = now.targets.get(name) else { continue };
            lines.extend(differences(&was.ledger, &is.ledger).map(|(id, how)| match how {
                Difference::Gone => format!("{name}: the ledger no longer has step `{id}`"),
                Difference::New => format!("{name}: the ledger has step `{id}` now"),
                Difference::Other { .. } => format!("{name}: the ledger has another step `{id}` now"),
            }));
            lines.extend(was.fingerprint.changes(&is.fingerprint).into_iter().map(|line| format!("{name}: {line}")));
        }
        lines
    }
}

impl Bound {
    /// As the journal has it.
    pub(crate) fn journalled(&self) -> BoundTo {
        BoundTo { digest: self.binding.digest(), saved: self.saved.clone() }
    }
}

impl BoundTarget {
    /// How it is another target now.
    fn replaced(&self, now: &Self) -> impl Iterator<Item = String> {
        let name =
            |name: &Option<String>| name.as_ref().map_or_else(|| "the default one".to_owned(), |n| format!("`{n}`"));
        let place = (self.place != now.place)
            .then(|| format!("its place was `{}`, and is `{}`", self.place.display(), now.place.display()));
        let ledger = (self.ledger_name != now.ledger_name)
            .then(|| format!("its ledger was {}, and is {}", name(&self.ledger_name), name(&now.ledger_name)));
        let config = (self.config != now.config).then(|| "its kind or its configuration changed".to_owned());
        [place, ledger, config].into_iter().flatten()
    }
}

/// All of a step that decides what it does and how its failure is met.
fn of_step(step: &PlanStep) -> String {
    let rest = json!([step.digest, step.atomic, step.unit, step.irreversible, step.supersedes]);
    blake3_hex(canonical_json(&rest).as_bytes())
}

/// The way from the folder `from` to `to`, both absolute.
pub(crate) fn between(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[same..].iter().map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to[same..].iter().copied()).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_two_places_is_relative() {
        let way = |from: &str, to: &str| between(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/b", "/a/c/plan.toml"), "../c/plan.toml");
        assert_eq!(way("/a/b", "/a/b/plan.toml"), "plan.toml");
        assert_eq!(way("/a", "/a"), ".");
    }
}

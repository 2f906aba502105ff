//! What a report knows, as one document. Pure but for [`prints`], which looks at targets.

use std::collections::BTreeMap;

use cutover_core::journal::{Entry, PlanState, Record, RunCommand, StepState};
use cutover_core::plan::{Plan, Risk};
use cutover_core::{Depth, Layer, SnapshotManifest, StepContext, TargetSeen};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Kind;
use super::gates::{self, Gate};
use super::incidents::{self, Incident, Recovery};
use crate::session::Session;

/// A report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Facts {
    pub version: u32,
    pub kind: Kind,
    pub plan: String,
    pub summary: Option<String>,
    /// When the time begins that it is about; none: with the first run.
    pub from: Option<Timestamp>,
    pub until: Timestamp,
    /// The last run's end, in the journal's words.
    pub outcome: Option<String>,
    pub phases: Vec<Phase>,
    pub gates: Vec<Gate>,
    pub incidents: Vec<Incident>,
    pub recoveries: Vec<Recovery>,
    pub approvals: Vec<Approval>,
    pub risks: Vec<Watched>,
    pub targets: Vec<Target>,
    pub runs: Vec<Ran>,
    /// Of what nobody could be told.
    pub unheard: Vec<Unheard>,
    pub lessons: Option<String>,
}

/// How far a phase is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Phase {
    pub name: String,
    pub summary: Option<String>,
    pub layer: Layer,
    pub steps: usize,
    pub applied: usize,
    pub skipped: usize,
    /// Steps that are neither, nor pending: with what they are.
    pub open: BTreeMap<String, String>,
    pub began: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Seconds of the applies of its applied steps.
    pub worked: f64,
}

impl Phase {
    pub(super) fn is_done(&self) -> bool {
        self.applied + self.skipped == self.steps
    }
}

/// Somebody's word on a step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Approval {
    pub at: Timestamp,
    pub step: String,
    pub by: String,
    pub approved: bool,
    pub note: String,
}

/// A risk, and where the steps stand that watch it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Watched {
    #[serde(flatten)]
    pub risk: Risk,
    pub watchers: BTreeMap<String, String>,
}

/// A target before and after.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Target {
    pub name: String,
    pub kind: String,
    /// When it was before: its first snapshot was taken.
    pub before_at: Option<Timestamp>,
    /// Digest of its structure then.
    pub before: Option<String>,
    /// And now; none where it cannot be looked at.
    pub now: Option<String>,
    /// Rows, records or files by part: then, and at the end of the last run.
    pub counts: BTreeMap<String, (Option<u64>, Option<u64>)>,
}

/// A run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Ran {
    pub id: String,
    pub command: RunCommand,
    pub operator: String,
    pub host: String,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    /// None: it was killed, or is under way.
    pub outcome: Option<String>,
}

/// A notice that was not brought.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Unheard {
    pub at: Timestamp,
    pub notifier: String,
    pub on: &'static str,
    pub error: String,
}

/// What is so while the report is made.
#[derive(Debug)]
pub(super) struct Now {
    pub at: Timestamp,
    /// Digest of the structure of each target that can be looked at.
    pub prints: BTreeMap<String, String>,
}

/// Looks at the structure of every target.
pub(super) async fn prints(session: &Session, cx: &StepContext) -> BTreeMap<String, String> {
    let mut prints = BTreeMap::new();
    for (name, target) in session.targets.iter() {
        if let Ok(print) = target.fingerprint(cx, Depth::Schema).await {
            prints.insert(name.clone(), print.schema_digest());
        }
        // A report is read while others run: nothing is kept open.
        let _ = target.close(cx).await;
    }
    prints
}

/// Reads the journal's records.
pub(super) fn gather(
    plan: &Plan,
    entries: &[Entry],
    state: &PlanState,
    seen: &BTreeMap<String, TargetSeen>,
    now: &Now,
    kind: Kind,
    lessons: Option<String>,
) -> Facts {
    let phases = phases(plan, entries, state);
    let mut incidents = incidents::read(entries);
    let from = match kind {
        Kind::Daily => now.at.checked_sub(SignedDuration::from_hours(24)).ok(),
        Kind::Weekly => now.at.checked_sub(SignedDuration::from_hours(24 * 7)).ok(),
        Kind::Milestone => since_milestone(&phases),
        Kind::Incident => incidents.last().map(|incident| incident.began),
        Kind::Final => None,
    };
    let within = |at: &Timestamp| from.is_none_or(|from| *at >= from);
    if kind == Kind::Incident {
        incidents.drain(..incidents.len().saturating_sub(1));
    } else {
        incidents.retain(|incident| within(&incident.ended.unwrap_or(incident.began)));
    }
    let risks = plan.risks.iter().map(|risk| Watched {
        watchers: risk.watched_by.iter().map(|id| (id.clone(), state.state_of(id).to_string())).collect(),
        risk: risk.clone(),
    });
    let unheard = entries.iter().filter(|e| within(&e.at)).filter_map(|entry| match &entry.record {
        Record::Notified { notifier, on, error: Some(error) } => {
            Some(Unheard { at: entry.at, notifier: notifier.clone(), on: on.name(), error: error.clone() })
        }
        _ => None,
    });
    Facts {
        version: 1,
        kind,
        plan: plan.name.clone(),
        summary: plan.summary.clone(),
        from: from.or_else(|| entries.first().map(|e| e.at)),
        until: now.at,
        outcome: state.run.as_ref().and_then(|run| run.outcome.clone()),
        gates: gates::read(plan, entries, state, &within),
        recoveries: incidents::recoveries(entries).into_iter().filter(|r| within(&r.began)).collect(),
        approvals: approvals(entries).into_iter().filter(|a| within(&a.at)).collect(),
        risks: risks.collect(),
        targets: targets(plan, entries, seen, &now.prints),
        runs: runs(entries).into_iter().filter(|r| within(&r.ended.unwrap_or(r.began))).collect(),
        unheard: unheard.collect(),
        phases,
        incidents,
        lessons,
    }
}

fn phases(plan: &Plan, entries: &[Entry], state: &PlanState) -> Vec<Phase> {
    let mut begun: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for entry in entries {
        match &entry.record {
            Record::StepStarted { step } => {
                begun.entry(&step.id).or_insert(entry.at);
            }
            Record::GroupStarted { members, .. } => {
                for member in members {
                    begun.entry(&member.step.id).or_insert(entry.at);
                }
            }
            _ => {}
        }
    }
    let phase = |phase: &cutover_core::plan::Phase| {
        let ids: Vec<&str> = phase.steps.iter().map(|s| s.id.as_str()).collect();
        let count = |wanted: StepState| ids.iter().filter(|id| state.state_of(id) == wanted).count();
        let open = ids.iter().filter_map(|id| match state.state_of(id) {
            StepState::Pending | StepState::Applied | StepState::Skipped => None,
            other => Some(((*id).to_owned(), other.to_string())),
        });
        let records = || ids.iter().filter_map(|id| state.steps.get(*id)).filter(|r| r.state == StepState::Applied);
        let (applied, skipped) = (count(StepState::Applied), count(StepState::Skipped));
        let done = applied + skipped == ids.len();
        Phase {
            name: phase.name.clone(),
            summary: phase.summary.clone(),
            layer: phase.layer,
            steps: ids.len(),
            applied,
            skipped,
            open: open.collect(),
            began: ids.iter().filter_map(|id| begun.get(id)).min().copied(),
            ended: records().filter_map(|r| r.at).max().filter(|_| done),
            worked: records().filter_map(|r| r.seconds).sum(),
        }
    };
    plan.phases.iter().map(phase).collect()
}

/// The end of the phase before the last finished one.
fn since_milestone(phases: &[Phase]) -> Option<Timestamp> {
    let mut ends: Vec<Timestamp> = phases.iter().filter_map(|p| p.ended).collect();
    ends.sort();
    ends.len().checked_sub(2).map(|at| ends[at])
}

fn approvals(entries: &[Entry]) -> Vec<Approval> {
    let approval = |entry: &Entry| match &entry.record {
        Record::StepApproved { step, approved, by, note, .. } => {
            Some(Approval { at: entry.at, step: step.clone(), by: by.clone(), approved: *approved, note: note.clone() })
        }
        _ => None,
    };
    entries.iter().filter_map(approval).collect()
}

fn targets(
    plan: &Plan,
    entries: &[Entry],
    seen: &BTreeMap<String, TargetSeen>,
    prints: &BTreeMap<String, String>,
) -> Vec<Target> {
    let mut first: BTreeMap<String, SnapshotManifest> = BTreeMap::new();
    for entry in entries {
        let Record::StepApplied { receipt, .. } = &entry.record else { continue };
        let Some(manifests) = receipt.body.get("manifests") else { continue };
        let Ok(manifests) = serde_json::from_value::<Vec<SnapshotManifest>>(manifests.clone()) else { continue };
        for manifest in manifests {
            first.entry(manifest.target.clone()).or_insert(manifest);
        }
    }
    let target = |spec: &cutover_core::TargetSpec| {
        let before = first.get(&spec.name);
        let mut counts: BTreeMap<String, (Option<u64>, Option<u64>)> = BTreeMap::new();
        for (part, count) in before.iter().flat_map(|b| &b.counts) {
            counts.entry(part.clone()).or_default().0 = Some(*count);
        }
        for (part, count) in seen.get(&spec.name).iter().flat_map(|s| &s.counts) {
            counts.entry(part.clone()).or_default().1 = Some(*count);
        }
        Target {
            name: spec.name.clone(),
            kind: spec.kind.clone(),
            before_at: before.map(|b| b.taken_at),
            before: before.map(|b| b.schema_digest.clone()),
            now: prints.get(&spec.name).cloned(),
            counts,
        }
    };
    plan.targets.values().map(target).collect()
}

fn runs(entries: &[Entry]) -> Vec<Ran> {
    let mut runs: Vec<Ran> = Vec::new();
    for entry in entries {
        match &entry.record {
            Record::RunStarted { command, operator, host, .. } => runs.push(Ran {
                id: entry.run.clone(),
                command: *command,
                operator: operator.clone(),
                host: host.clone(),
                began: entry.at,
                ended: None,
                outcome: None,
            }),
            Record::RunFinished { outcome, .. } => {
                if let Some(run) = runs.last_mut().filter(|run| run.id == entry.run) {
                    (run.ended, run.outcome) = (Some(entry.at), Some(outcome.clone()));
                }
            }
            _ => {}
        }
    }
    runs
}

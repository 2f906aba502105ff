//! How long each step of the plan will take here, and how that is known.
//!
//! Owns the arithmetic, and the words for where a figure comes from. Knows steps by what they say of themselves, no
//! kind by name; measures nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cutover_core::plan::StepOutline;
use cutover_core::{Access, Action, Effects};
use serde::{Deserialize, Serialize};

use crate::rates::{Rates, rounded};

/// Rows that are written in a second. Assumed, not measured: it depends on the target's indexes.
const ROWS_PER_SECOND: f64 = 50_000.0;

/// Seconds for a declared change inside a transaction. Assumed.
const CHANGE_SECONDS: f64 = 0.0005;

/// Commits that every step costs: the journal's records of its beginning and its end.
const RECORDS: f64 = 2.0;

/// Commits that a step costs which writes: the records, and that of what it wrote.
const COMMITS: f64 = 3.0;

/// What a target is like, as far as time goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Rows, records or files in all.
    pub(crate) rows: u64,
    /// How long looking at it took.
    pub(crate) look: Duration,
}

/// Seconds that work on the whole of a target takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct TargetEstimate {
    /// A look at it: counts and a check of its health. Measured.
    pub(crate) look_seconds: f64,
    /// Reading and hashing every byte.
    pub(crate) hash_seconds: f64,
    /// Copying every byte, hashing it, and a look at the copy.
    pub(crate) copy_seconds: f64,
    /// Writing every byte and every row once.
    pub(crate) rewrite_seconds: f64,
}

/// The step that makes the estimates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThisStep<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// How long it has worked.
    pub(crate) so_far: Duration,
}

/// Where the seconds of a step come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Basis {
    /// It reads its targets and makes something of what it read: a snapshot, an export.
    Copy,
    /// It runs a program, or reaches beyond the targets.
    Program,
    /// It only reads its targets.
    Read,
    /// It writes its targets in more than one transaction, or in none.
    Rewrite,
    /// This very assessment.
    ThisStep,
    /// It writes in one transaction.
    Transaction,
    /// It touches no target, or one that was not assessed.
    Unknown,
}

/// How long one step will take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct StepEstimate {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) phase: String,
    /// None: not known before it ran.
    pub(crate) seconds: Option<f64>,
    pub(crate) basis: Basis,
    /// Whether its `when` holds now; none where it has none. An earlier step may change that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) when_holds: Option<bool>,
}

/// All steps together, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Total {
    /// Of the steps that are known, without those whose `when` does not hold now.
    pub(crate) seconds: f64,
    /// Steps that will run, as far as can be told now.
    pub(crate) steps: usize,
    /// Those of them whose time is not known.
    pub(crate) not_known: usize,
    /// Steps whose `when` does not hold now.
    pub(crate) left_out: usize,
}

/// What the figures mean, by the name under which they stand in the artifact.
const LEGEND: &[(&str, &str)] = &[
    ("seconds", "to apply and to verify; null: not known before it ran"),
    ("read", "only reads its targets: 2 × look-seconds + 2 × commit-seconds; one that repeats a query takes longer"),
    (
        "copy",
        "makes something of all that it reads (a snapshot, an export): copy-seconds + look-seconds + 3 × commit-seconds",
    ),
    (
        "transaction",
        "writes in one transaction: 3 × commit-seconds + 0.0005 s, assumed, for each declared change; a script that \
         rewrites many rows takes longer, neighbours that share a transaction take less",
    ),
    (
        "rewrite",
        "writes piece by piece (a backfill, files): rewrite-seconds + look-seconds + 3 × commit-seconds, as if it \
         wrote every byte and row of its targets once; mostly less",
    ),
    ("this-step", "the assessment itself: measured until this was written, + 3 × commit-seconds"),
    ("program", "a program, or something beyond the targets: not known before it ran"),
    ("unknown", "no target, or one that was not assessed: not known"),
    ("when-holds", "whether the step's `when` holds now; an earlier step may change that"),
    ("total", "all known steps, one after the other, without those whose `when` does not hold now"),
    ("look-seconds", "how long this assessment took to look at the target (counts, health, schema): measured"),
    ("hash-seconds", "bytes / hash rate"),
    ("copy-seconds", "bytes / copy rate + hash-seconds + look-seconds (the copy is opened and looked at)"),
    ("rewrite-seconds", "bytes / copy rate + rows / 50000 a second, assumed: it depends on the target's indexes"),
    ("commit-seconds", "a small write with fsync, the middle one of 5: measured on this disk"),
    ("rates", "hash, copy (with fsync): bytes a second, measured on this disk with a file of 8 MiB"),
];

/// The legend as it stands in the artifact.
pub(crate) fn legend() -> BTreeMap<String, String> {
    LEGEND.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

impl TargetEstimate {
    /// The estimate for a target like that on a disk like this.
    pub(crate) fn of(target: &Figures, rates: &Rates) -> Self {
        let bytes = target.bytes as f64;
        let (look, hash, copy) = (target.look.as_secs_f64(), bytes / rates.hash, bytes / rates.copy);
        Self {
            look_seconds: rounded(look),
            hash_seconds: rounded(hash),
            copy_seconds: rounded(copy + hash + look),
            rewrite_seconds: rounded(copy + target.rows as f64 / ROWS_PER_SECOND),
        }
    }
}

impl StepEstimate {
    /// The estimate of a step, to apply and to verify it.
    pub(crate) fn of(
        step: &StepOutline,
        this: &ThisStep<'_>,
        when_holds: Option<bool>,
        targets: &BTreeMap<String, TargetEstimate>,
        rates: &Rates,
    ) -> Self {
        let used: BTreeSet<&String> = step.uses.iter().map(|u| &u.target).chain(&step.snapshots).collect();
        let sum = |seconds: fn(&TargetEstimate) -> f64| {
            used.iter().map(|name| targets.get(*name).map(seconds)).sum::<Option<f64>>()
        };
        let basis = basis_of(step, this.id);
        let (work, commits) = match basis {
            // The second look is verify's.
            Basis::Read => (sum(|t| 2.0 * t.look_seconds), RECORDS),
            Basis::Copy => (sum(|t| t.copy_seconds + t.look_seconds), COMMITS),
            Basis::Rewrite => (sum(|t| t.rewrite_seconds + t.look_seconds), COMMITS),
            Basis::ThisStep => (Some(this.so_far.as_secs_f64()), COMMITS),
            Basis::Transaction => (Some(CHANGE_SECONDS * step.changes.len() as f64), COMMITS),
            Basis::Program | Basis::Unknown => (None, 0.0),
        };
        let seconds = work.map(|work| work + commits * rates.commit_seconds);
        let basis = match (seconds, basis) {
            (None, Basis::Copy | Basis::Read | Basis::Rewrite) => Basis::Unknown,
            (_, basis) => basis,
        };
        let (id, kind, phase) = (step.id.clone(), step.kind.clone(), step.phase.clone());
        Self { id, kind, phase, seconds: seconds.map(rounded), basis, when_holds }
    }
}

fn basis_of(step: &StepOutline, this: &str) -> Basis {
    let does = |wanted: &[Action]| step.changes.iter().any(|change| wanted.contains(&change.action));
    if step.id == this {
        Basis::ThisStep
    } else if step.effects == Effects::External || does(&[Action::Run]) {
        Basis::Program
    } else if step.uses.is_empty() && step.snapshots.is_empty() {
        Basis::Unknown
    } else if step.transactional.is_some() {
        Basis::Transaction
    } else if step.uses.iter().any(|u| u.access == Access::Write) {
        Basis::Rewrite
    } else if does(&[Action::Create, Action::Alter, Action::Remove]) {
        Basis::Copy
    } else {
        Basis::Read
    }
}

impl Total {
    /// The sum of all.
    pub(crate) fn of(steps: &[StepEstimate]) -> Self {
        let running = || steps.iter().filter(|step| step.when_holds != Some(false));
        Self {
            seconds: rounded(running().filter_map(|step| step.seconds).sum()),
            steps: running().count(),
            not_known: running().filter(|step| step.seconds.is_none()).count(),
            left_out: steps.len() - running().count(),
        }
    }

    /// "estimated: about 1.2 s for 60 steps, 3 not known".
    pub(crate) fn for_people(&self) -> String {
        let steps = if self.steps == 1 { "step" } else { "steps" };
        let mut text = format!("estimated: about {:.1} s for {} {steps}", self.seconds, self.steps);
        if self.not_known > 0 {
            text.push_str(&format!(", {} not known", self.not_known));
        }
        if self.left_out > 0 {
            text.push_str(&format!("; {} left out by `when`", self.left_out));
        }
        text
    }
}

#[cfg(test)]
mod tests;

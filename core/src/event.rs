//! What reporters see: the only thing that a display or a machine reader of a run depends on.
//!
//! Every event carries its index; `RunStarted` carries the whole step list, so that a late reader needs nothing else.

use serde::Serialize;

use crate::journal::Triggered;
use crate::{Occasion, Verdict};

/// One thing that happened in a run.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// From 0, without gaps, in one run.
    pub index: u64,
    /// RFC 3339, UTC.
    pub at: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A command began its work.
    RunStarted {
        /// "apply", "rollback".
        command: String,
        /// The plan's name.
        plan: String,
        /// The run's id.
        run: String,
        /// All steps of the plan in order: (phase, id, kind).
        steps: Vec<(String, String, String)>,
        /// Whether an interrupted run is being continued.
        resumed: bool,
    },
    /// A phase began.
    PhaseStarted {
        /// Its name.
        phase: String,
    },
    /// A step does not apply here.
    StepSkipped {
        /// The step's id.
        step: String,
        /// Why.
        why: String,
    },
    /// A step began.
    StepStarted {
        /// The step's id.
        step: String,
    },
    /// How far a step has come.
    StepProgress {
        /// The step's id.
        step: String,
        /// Units done.
        done: u64,
        /// Units in all, where known.
        total: Option<u64>,
        /// "rows", "bytes".
        unit: String,
    },
    /// A line for people.
    StepNote {
        /// The step's id.
        step: String,
        /// The line.
        text: String,
    },
    /// A gate looked, and what it saw is recorded.
    StepSampled {
        /// The step's id.
        step: String,
        /// Which slot of its window, from 0.
        slot: u64,
        /// In the order of its probes.
        readings: Vec<Reading>,
    },
    /// A trigger of a gate fired, and that is recorded.
    StepTriggered {
        /// The step's id.
        step: String,
        /// What it watches, why it fired, and what follows.
        trigger: Triggered,
    },
    /// A step is applied, verified and recorded.
    StepDone {
        /// The step's id.
        step: String,
        /// What it came to.
        figures: StepFigures,
    },
    /// A step waits.
    StepWaiting {
        /// The step's id.
        step: String,
        /// For what.
        why: String,
    },
    /// A step stopped at a checkpoint.
    StepStopped {
        /// The step's id.
        step: String,
        /// Where.
        at: String,
    },
    /// A step failed.
    StepFailed {
        /// The step's id.
        step: String,
        /// What is wrong.
        error: String,
        /// What to do next.
        help: Option<String>,
    },
    /// Unwinding began.
    UnwindStarted {
        /// "phase schema", "step x", "start".
        to: String,
        /// Steps that will be undone, in that order.
        steps: Vec<String>,
    },
    /// A step is rolled back.
    StepRolledBack {
        /// The step's id.
        step: String,
        /// Seconds it took.
        seconds: f64,
    },
    /// A step could not be rolled back.
    StepStuck {
        /// The step's id.
        step: String,
        /// What is wrong.
        error: String,
    },
    /// A step was verified (by `verify`).
    StepVerified {
        /// The step's id.
        step: String,
        /// What was found.
        verdict: Verdict,
    },
    /// The targets were compared with what the last run left (by `verify`).
    TargetsVerified {
        /// Where journal and ledgers disagree.
        ledgers: Vec<String>,
        /// What others changed in the structure.
        structure: Vec<String>,
        /// Where others added or removed rows.
        rows: Vec<String>,
    },
    /// Somebody who was to be told was not reached.
    NotReached {
        /// The registered kind of the notifier.
        notifier: String,
        /// Of what it was to tell.
        on: Occasion,
        /// Why.
        error: String,
    },
    /// The command ended.
    RunFinished {
        /// How.
        outcome: Outcome,
        /// The next command for a person, where there is one.
        next: Option<String>,
    },
}

/// What a step came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StepFigures {
    /// Seconds from start to record.
    pub seconds: f64,
    /// Those of them that went into verifying.
    pub verified: f64,
    /// Rows written.
    pub rows: Option<u64>,
    /// Bytes written.
    pub bytes: Option<u64>,
    /// True when all was there already.
    pub already: bool,
    /// Lines for people.
    pub notes: Vec<String>,
}

/// What one probe of a gate showed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// The probe's name.
    pub probe: String,
    /// Its unit; empty for a bare number.
    pub unit: String,
    /// The figure; none where the probe gave none.
    pub figure: Option<f64>,
    /// Why that is not what it may be.
    pub broke: Option<String>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All asked for is done.
    Done,
    /// There was nothing to do.
    NothingToDo,
    /// A step failed, and what the plan says was rolled back.
    FailedRolledBack,
    /// A step failed and nothing was undone.
    FailedPaused,
    /// A step failed, and what the plan says was rolled back down to a step that cannot be undone.
    FailedBlocked,
    /// A rollback that was interrupted was finished; nothing went forward.
    Unwound,
    /// A rollback failed: a person is needed.
    Stuck,
    /// A step waits.
    Waiting,
    /// Stopped by the operator.
    Interrupted,
}

//! The commands with their arguments and help. What a command does is in `commands`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Subcommand, ValueEnum};
use clap_complete::Shell;

use super::args::{Locking, Observing};
use crate::builtin::import::Tool;

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the step kinds and target kinds, or show one with its fields and an example
    Steps {
        /// A kind: sqlite.columns
        kind: Option<String>,
        /// Print a JSON Schema of whole plan files
        #[arg(long)]
        schema: bool,
    },
    /// Compile a plan and report every mistake in it (text, json, sarif, github)
    Check {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// End with 65 when there are warnings
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Show what apply would change. Writes nothing (text, json, markdown)
    Plan {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// End with 3 when changes are pending
        #[arg(long)]
        exit_code: bool,
        /// Save the plan, bound to its steps and to structure and ledgers of the targets; `apply FILE` runs just that
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Bind the saved plan to every row too
        #[arg(long, requires = "out")]
        exact: bool,
        /// End with 65 when there are warnings about steps that are to be applied
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Run the plan forward; the same command again resumes an interrupted run
    Apply {
        /// The plan file, a folder with plan.toml, or a plan that `plan --out` saved (every command takes one)
        plan: PathBuf,
        /// Up to and including this step or phase
        #[arg(long, value_name = "STEP|PHASE")]
        to: Option<String>,
        /// Refuse unless this very plan passed a rehearsal on targets with this structure and these ledgers
        #[arg(long)]
        require_rehearsal: bool,
        #[command(flatten)]
        locking: Locking,
        #[command(flatten)]
        observing: Observing,
    },
    /// Say that steps which ask for it may go on, or that they may not: gates, and steps that cannot be undone
    Approve {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// The steps
        #[arg(value_name = "STEP", required_unless_present = "all", conflicts_with = "all")]
        steps: Vec<String>,
        /// Every step of the plan that asks
        #[arg(long)]
        all: bool,
        /// Who you are; kept in the journal
        #[arg(long = "as", value_name = "NAME")]
        by: String,
        /// Why; kept in the journal
        #[arg(long, value_name = "TEXT")]
        note: String,
        /// They may not go on
        #[arg(long)]
        reject: bool,
        #[command(flatten)]
        locking: Locking,
    },
    /// Keep looking at what a waiting run waits for: samples, windows, triggers. Holds its lock only while it looks
    Watch {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// Look once and end with 103 when it waits still (for cron)
        #[arg(long)]
        once: bool,
        #[command(flatten)]
        locking: Locking,
        #[command(flatten)]
        observing: Observing,
    },
    /// Run the plan on a copy of the system, there, back and there again, and prove that the way back leads home
    Rehearse {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// Up to and including this step or phase
        #[arg(long, value_name = "STEP|PHASE")]
        to: Option<String>,
        /// Leave the copy where it is
        #[arg(long)]
        keep: bool,
        /// Make the copy here (default: inside the state folder)
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
        #[command(flatten)]
        observing: Observing,
    },
    /// Prove again that every applied step holds. Writes nothing
    Verify {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// Undo the last phase, or everything after --to
    Rollback {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// Keep this step or phase and what came before it; `start` undoes everything
        #[arg(long, value_name = "STEP|PHASE|start")]
        to: Option<String>,
        /// A restore may drop rows that others wrote since the snapshot; they are set aside first
        #[arg(long)]
        accept_loss: bool,
        #[command(flatten)]
        locking: Locking,
        #[command(flatten)]
        observing: Observing,
    },
    /// Show where every step stands (text, json)
    Status {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// List what the journal recorded (text, json)
    History {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// Say in plain words what is committed, what is not, and the next command
    Explain {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// Tell what became of a plan to people who were not there (markdown, html, json)
    Report {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// What it is for
        #[arg(long, value_enum, default_value = "final")]
        kind: crate::commands::report::Kind,
        /// A text file with what was learnt, taken in as it is
        #[arg(long, value_name = "FILE")]
        lessons: Option<PathBuf>,
    },
    /// Accept a deliberate edit of an applied step, or what others did to the structure of targets
    Accept {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// The step
        #[arg(required_unless_present = "structure", conflicts_with = "structure")]
        step: Option<String>,
        /// What others did to the structure of targets since the last run: it is right as it is
        #[arg(long)]
        structure: bool,
        /// Why; kept in the journal
        #[arg(long)]
        note: String,
        #[command(flatten)]
        locking: Locking,
    },
    /// Settle a step that a person has put right; the claim is proven by inspection first
    Resolve {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// The step
        step: String,
        /// The claim
        #[arg(long = "as", value_enum)]
        claim: Claim,
        /// Why; kept in the journal
        #[arg(long)]
        note: String,
        /// Take `rolled-back` on your word where nothing can prove it; the journal says so
        #[arg(long)]
        unproven: bool,
        #[command(flatten)]
        locking: Locking,
    },
    /// Adopt a system that already has the plan's first steps, by inspection
    Baseline {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// Up to and including this step or phase
        #[arg(long, value_name = "STEP|PHASE")]
        to: String,
        #[command(flatten)]
        locking: Locking,
    },
    /// Turn a folder of another tool's SQL migrations into a plan, and adopt what a database has applied of it
    Import {
        /// The folder of migrations
        dir: PathBuf,
        /// The plan's folder: empty, not there yet, or with this very plan (default: DIR-plan)
        #[arg(long, value_name = "PLANDIR")]
        out: Option<PathBuf>,
        /// The database that they are for; what the tool's own table has as applied is adopted
        #[arg(long, value_name = "FILE")]
        database: Option<PathBuf>,
        /// Whose they are, where names and marks do not tell
        #[arg(long, value_name = "TOOL", value_parser = tool())]
        from: Option<Tool>,
        /// The plan's name (default: that of its folder)
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        locking: Locking,
    },
    /// Delete what no rollback needs: earlier snapshots, what was set aside, outputs, copies. Shows it first, and asks
    Prune {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// How many of each sort to keep, the newest
        #[arg(long, value_name = "N", default_value_t = 1)]
        keep: usize,
        #[command(flatten)]
        locking: Locking,
    },
    /// Build a plan's version-1 system with real content, migrate it, and roll it back
    Demo {
        /// The plan's name: cortex-2.0, consensus-read-path, thought-engine-v2
        name: String,
        /// Where (default: a temporary folder)
        dir: Option<PathBuf>,
        /// Which shape of the system
        #[arg(long)]
        shape: Option<String>,
        /// Only build the system
        #[arg(long)]
        build_only: bool,
        /// Up to and including this step or phase
        #[arg(long, value_name = "STEP|PHASE")]
        to: Option<String>,
    },
    /// A program of a demo's application: runs until its standard input ends
    #[command(hide = true)]
    DemoProgram {
        /// Which
        role: String,
        /// What it calls itself in what it writes
        name: String,
        /// Its database
        database: PathBuf,
    },
    /// The memory program of a demo's application: serves a store, or asks the one that does
    #[command(hide = true)]
    DemoMemory {
        /// What to do
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Write a new step crate or plan
    New {
        #[command(subcommand)]
        what: New,
    },
    /// Print a completion script
    Completions {
        /// For which shell
        shell: Shell,
    },
}

impl Command {
    /// How it is to be watched from outside.
    pub(super) fn observing(&self) -> Observing {
        match self {
            Self::Apply { observing, .. }
            | Self::Watch { observing, .. }
            | Self::Rehearse { observing, .. }
            | Self::Rollback { observing, .. } => observing.clone(),
            _ => Observing::default(),
        }
    }
}

/// What to write anew.
#[derive(Debug, Subcommand)]
pub(crate) enum New {
    /// A crate with one step, its conformance test, a plan and its own runner
    StepCrate {
        /// The crate's name
        name: String,
        /// A folder that is empty or not there yet
        dir: PathBuf,
        /// A checkout of Cutover that the crate depends on by path
        #[arg(long, value_name = "DIR")]
        cutover: Option<PathBuf>,
    },
    /// A small commented plan that runs
    Plan {
        /// The plan's name
        name: String,
        /// A folder that is empty or not there yet
        dir: PathBuf,
    },
}

/// A person's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Claim {
    /// The step's effects are there.
    Applied,
    /// They are gone.
    RolledBack,
}

fn tool() -> impl TypedValueParser<Value = Tool> {
    let named = |name: String| Tool::ALL.into_iter().find(|tool| tool.name() == name).ok_or("no such tool");
    PossibleValuesParser::new(Tool::ALL.map(Tool::name)).try_map(named)
}

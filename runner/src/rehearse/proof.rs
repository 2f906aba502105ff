//! The proof of a rehearsal: kept in state, and what `apply --require-rehearsal` asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cutover_core::disk::{PRIVATE_FILE, private_dir, write_atomic};
use serde::{Deserialize, Serialize};

use crate::binding::Binding;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::session::Session;

/// The document's format version.
const VERSION: u32 = 1;

/// A rehearsal that passed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Proof {
    version: u32,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// The plan, and the real targets as they were when they were copied.
    pub binding: Binding,
    /// How far it went: a step or a phase; none for the whole plan.
    pub to: Option<String>,
    /// What it came to.
    pub figures: Figures,
}

/// What a rehearsal measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Figures {
    /// Each step that was applied, in order.
    pub steps: Vec<StepFigure>,
    /// Seconds of copying.
    pub copy: f64,
    /// Seconds of the first apply.
    pub apply: f64,
    /// Seconds of verify.
    pub verify: f64,
    /// Seconds of the rollback: the recovery time.
    pub rollback: f64,
    /// Seconds of the second apply.
    pub again: f64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Whether the copy shared its blocks with the system.
    #[serde(default)]
    pub shared: bool,
    /// Whether the copy lay on another file system than the system: its times are that one's.
    #[serde(default)]
    pub elsewhere: bool,
    /// Bytes more than that, at the most, that apply and rollback needed.
    pub space: u64,
    /// What was not rehearsed, and why: by step.
    pub not_rehearsed: BTreeMap<String, String>,
    /// Links of the system that lead out of what was copied, and where they led in the copy: by path.
    pub leading_out: BTreeMap<String, String>,
}

/// One step of a rehearsal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepFigure {
    /// Its id.
    pub step: String,
    /// Its phase.
    pub phase: String,
    /// Seconds of its apply and verify.
    pub seconds: f64,
    /// Seconds of its rollback; none where nothing of its own was undone.
    #[serde(default)]
    pub back: Option<f64>,
    /// Rows it wrote, where it says so.
    pub rows: Option<u64>,
    /// Bytes it wrote, where it says so.
    pub bytes: Option<u64>,
}

impl Proof {
    /// A proof of now.
    pub(super) fn new(binding: Binding, to: Option<String>, figures: Figures) -> Self {
        Self { version: VERSION, at: crate::clock::now().to_string(), binding, to, figures }
    }

    /// Keeps it, in place of an earlier one.
    pub(super) fn write(&self, session: &Session) -> Result<PathBuf> {
        let path = path(session);
        let folder = path.parent().map(std::path::Path::to_owned).unwrap_or_default();
        private_dir(&folder)?;
        let text = serde_json::to_vec_pretty(self).map_err(|e| RunnerError::internal(format!("a proof: {e}")))?;
        write_atomic(&path, &text, PRIVATE_FILE)?;
        Ok(path)
    }

    /// The last one that passed. None is an error that says what to do.
    pub(crate) fn read(session: &Session) -> Result<Self> {
        let rehearse = session.command_line("rehearse");
        let missing = |why: String| RunnerError::new(Exit::Drift, why).with_help(format!("rehearse it: `{rehearse}`"));
        let path = path(session);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(missing("this plan has not passed a rehearsal here; nothing was changed".to_owned()));
            }
            Err(e) => return Err(missing(format!("the proof `{}` cannot be read: {e}", path.display()))),
        };
        let proof: Self = serde_json::from_slice(&text)
            .map_err(|e| missing(format!("the proof `{}` cannot be read: {e}", path.display())))?;
        if proof.version > VERSION {
            return Err(missing(format!("the proof `{}` is of a newer program", path.display())));
        }
        Ok(proof)
    }
}

fn path(session: &Session) -> PathBuf {
    session.state_dir.join("rehearsals").join(format!("{}.json", session.plan.name))
}

//! What a restore would take away, at one moment: the present state set aside, and in it what others wrote.
//!
//! Owns the refusals, and whether a look still holds. Knows nothing of how pages are copied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cutover_core::disk::{self, io_error};
use cutover_core::{RestoreOptions, SnapshotManifest, StepError, StepInfo, fault};
use rusqlite::Connection;

use super::loss::Comparison;
use super::lost::Lost;
use super::session::Session;
use super::{snapshot, watch};

/// How a database is looked at before the snapshot `from` (its file: `older`) is put back.
#[derive(Debug)]
pub(crate) struct Looking<'a> {
    pub(crate) session: &'a Session,
    pub(crate) target: &'a str,
    pub(crate) step: &'a StepInfo,
    pub(crate) from: &'a SnapshotManifest,
    pub(crate) older: &'a Path,
    pub(crate) options: &'a RestoreOptions,
    /// A connection of its own: it works while the writer is busy with the copy, and hears of every commit.
    pub(crate) reader: &'a Connection,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Look {
    /// The whole state.
    pub(crate) aside: PathBuf,
    /// What in it is no step's.
    pub(crate) lost: Lost,
    version: i64,
}

impl Looking<'_> {
    /// Sets the present state aside, counts and exports what others wrote. An error when the restore may not be.
    pub(crate) fn look(&self) -> Result<Look, StepError> {
        let (path, options) = (&self.session.path, self.options);
        let version = watch::data_version(self.reader)?;
        let name = snapshot::free_name(&options.aside, path);
        let (aside, ..) = snapshot::copy(self.session, self.reader, &options.aside, &name, None)?;
        fault::point(fault::SQLITE_RESTORE_ASIDE);
        let comparison = Comparison::of_copy(&aside, self.older, &self.session.ledger)?;
        let bystanders = comparison.bystanders(&self.step.plan, options)?;
        if !bystanders.is_empty() && !options.accept_loss {
            return Err(in_the_way(path, &self.step.plan, &bystanders));
        }
        let known = comparison.known(self.target, &self.step.plan, options)?;
        let lost = Lost::export(&comparison, &known, &aside, self.from)?;
        fault::point(fault::SQLITE_RESTORE_EXPORTED);
        if !lost.is_empty() && !options.accept_loss {
            return Err(lost.refusal(path));
        }
        Ok(Look { aside, lost, version })
    }

    /// While nobody can commit: `look`, if nobody did since, else another.
    pub(crate) fn again(&self, look: Look) -> Result<Look, StepError> {
        if watch::data_version(self.reader)? == look.version {
            return Ok(look);
        }
        look.lost.discard()?;
        disk::remove_file(&look.aside).map_err(|e| io_error("cannot remove", &look.aside, e))?;
        self.look()
    }
}

/// Steps that nobody asked to undo would be undone.
fn in_the_way(path: &Path, mine: &str, steps: &BTreeMap<String, Vec<String>>) -> StepError {
    let named = |steps: &[String]| steps.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
    let lines: Vec<String> = steps.iter().map(|(plan, steps)| format!("{} of plan `{plan}`", named(steps))).collect();
    let first = match steps.keys().find(|plan| *plan != mine) {
        Some(plan) => format!("roll plan `{plan}` back first"),
        None => "roll those steps back first".to_owned(),
    };
    StepError::conflict(format!(
        "restoring `{}` would undo steps that were applied since the snapshot: {}",
        path.display(),
        lines.join("; ")
    ))
    .with_help(format!(
        "{first}, or run again with `--accept-loss`: their rows are exported then, and lost. Nothing was changed"
    ))
}

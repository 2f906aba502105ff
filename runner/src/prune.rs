//! What may be deleted, because no rollback and no resumption needs it. Owns the choice and the deletion; whoever asks
//! shows it first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::journal::PlanState;
use cutover_core::{SnapshotManifest, StepContext};

use crate::error::{Result, RunnerError};
use crate::rehearse::in_use;
use crate::session::{Session, real_path};

/// One thing to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// Where.
    pub path: PathBuf,
    /// What it is.
    pub what: &'static str,
    /// Bytes of it.
    pub bytes: u64,
}

/// What may go. Of each sort the newest `keep` stay; what a rehearsal or a killed command left goes in any case.
pub(crate) async fn leftovers(
    session: &Session,
    cx: &StepContext,
    state: &PlanState,
    keep: usize,
) -> Result<Vec<Leftover>> {
    let dir = &session.state_dir;
    let needed = needed(state);
    let mut found = Vec::new();
    let mut add = |paths: Vec<PathBuf>, keep: usize, what: &'static str| {
        let unneeded = paths.into_iter().filter(|p| !needed.iter().any(|n| n.starts_with(p)));
        let mut sorted: Vec<PathBuf> = unneeded.collect();
        sorted.sort_by_key(|p| (modified(p), p.clone()));
        sorted.truncate(sorted.len().saturating_sub(keep));
        found.extend(sorted.into_iter().map(|path| Leftover { bytes: bytes(&path), path, what }));
    };
    let scratch = entries(dir, |n| n == "scratch").into_iter().filter(|folder| !in_use(folder)).collect();
    add(scratch, 0, "the copy of a rehearsal");
    add(entries(&dir.join("aside"), |_| true), keep, "what a rollback set aside");
    add(entries(dir, |n| n.starts_with("journal.damaged-")), keep, "a damaged journal that was set aside");
    let mut sets = BTreeSet::new();
    for (_, step) in session.plan.steps() {
        sets.extend(step.step.leftovers(cx).await?);
    }
    add(sets.into_iter().collect(), keep, "an earlier set of snapshots");
    let plan = dir.join("steps").join(&session.plan.name);
    for step in entries(&plan, |_| true) {
        add(entries(&step, |n| n.starts_with("output-")), keep, "the output of an earlier run of a command");
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Deletes one thing.
pub(crate) fn delete(leftover: &Leftover) -> Result<()> {
    let path = &leftover.path;
    let deleted = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    };
    deleted.map_err(|e| RunnerError::io(format!("cannot delete `{}`", path.display()), e))
}

/// The folders of every snapshot that a step which may have effects remembers.
fn needed(state: &PlanState) -> Vec<PathBuf> {
    let receipts = state.steps.values().filter(|r| r.state.may_have_effects()).filter_map(|r| r.receipt.as_ref());
    let manifests = receipts.filter_map(|r| r.body.get("manifests").cloned());
    let manifests = manifests.filter_map(|m| serde_json::from_value::<Vec<SnapshotManifest>>(m).ok()).flatten();
    manifests.map(|m| real_path(&m.folder).unwrap_or(m.folder)).collect()
}

fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    found.filter(|e| wanted(&e.file_name().to_string_lossy())).map(|e| e.path()).collect()
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.symlink_metadata().and_then(|m| m.modified()).ok()
}

/// Bytes of a file, or of all files of a folder; links count nothing.
pub(crate) fn bytes(path: &Path) -> u64 {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => entries(path, |_| true).iter().map(|p| bytes(p)).sum(),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    }
}

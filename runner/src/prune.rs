//! What may be deleted, because no rollback and no resumption needs it. Owns the choice and the deletion; whoever asks
//! shows it first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk;
use cutover_core::{SnapshotManifest, StepContext, StepInfo};

use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::journal::{DAMAGED, damaged_number};
use crate::recorder::journal_error;
use crate::rehearse::in_use;
use crate::session::{Session, real_or_given};

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

/// What may go. Of each sort stays what the last `keep` runs left, or its last `keep` numbers; what a rehearsal or a
/// killed command left goes in any case.
pub(crate) async fn leftovers(session: &Session, cx: &StepContext, keep: usize) -> Result<Vec<Leftover>> {
    let dir = &session.state_dir;
    let needed = needed(session)?;
    let mut found = Vec::new();
    let mut add = |paths: BTreeSet<(u64, PathBuf)>, keep: usize, what: &'static str| {
        let needs = |path: &PathBuf| {
            let real = real_or_given(path);
            needed.iter().any(|needed| needed.starts_with(&real))
        };
        let unneeded: Vec<_> = paths.into_iter().filter(|(_, path)| !needs(path)).collect();
        let numbers: BTreeSet<u64> = unneeded.iter().map(|(number, _)| *number).collect();
        let stay: BTreeSet<u64> = numbers.into_iter().rev().take(keep).collect();
        let go = unneeded.into_iter().filter(|(number, _)| !stay.contains(number));
        found.extend(go.map(|(_, path)| Leftover { bytes: bytes(&path), path, what }));
    };
    let scratch = entries(dir, |n| (n == "scratch").then_some(0));
    add(scratch.into_iter().filter(|(_, folder)| !in_use(folder)).collect(), 0, "the copy of a rehearsal");
    add(entries(&dir.join("aside"), |n| Some(epoch(n))), keep, "what a rollback set aside");
    let damaged = |n: &str| n.starts_with(DAMAGED).then(|| damaged_number(n).unwrap_or(0));
    add(entries(dir, damaged), keep, "a damaged journal that was set aside");
    // Steps that say how many stay count their own; the others' count together.
    let mut sorts: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (_, step) in session.plan.steps() {
        let info = StepInfo { id: step.id.clone(), kind: step.kind.clone(), ..cx.info().clone() };
        let left = step.step.leftovers(&cx.for_step(info)).await?;
        let stay = left.keep.map(|stay| (&step.id, stay));
        sorts.entry((left.what, stay)).or_default().extend(left.found);
    }
    for ((what, stay), found) in sorts {
        add(found, stay.map_or(keep, |(_, stay)| stay), what);
    }
    let plan = dir.join("steps").join(&session.plan.name);
    for (_, step) in entries(&plan, |_| Some(0)) {
        add(entries(&step, output), keep, "the output of an earlier run of a command");
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

/// Deletes one thing.
pub(crate) fn delete(leftover: &Leftover) -> Result<()> {
    let path = &leftover.path;
    let deleted = match disk::remove_closed(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    deleted.map_err(|e| {
        RunnerError::new(Exit::NoTarget, format!("cannot delete `{}`: {e}", path.display()))
            .with_help("mend its owner or its file system, or delete it by hand; then run the same command again")
    })
}

/// The folders of every snapshot that a step which may have effects remembers, whichever plan of this journal it is of.
fn needed(session: &Session) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for state in session.journalled_plans().map_err(journal_error)? {
        let receipts = state.steps.into_values().filter(|r| r.state.may_have_effects()).filter_map(|r| r.receipt);
        let manifests = receipts.filter_map(|r| r.body.get("manifests").cloned());
        let manifests = manifests.filter_map(|m| serde_json::from_value::<Vec<SnapshotManifest>>(m).ok()).flatten();
        folders.extend(manifests.map(|m| real_or_given(&m.folder)));
    }
    Ok(folders)
}

/// What of a folder has a number: that tells which came last, whatever the clock said when it was made.
fn entries(folder: &Path, number: impl Fn(&str) -> Option<u64>) -> BTreeSet<(u64, PathBuf)> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    found.filter_map(|e| Some((number(&e.file_name().to_string_lossy())?, e.path()))).collect()
}

/// The epoch in a name that begins with a run's: `TIME-EPOCH-STEP`.
fn epoch(name: &str) -> u64 {
    name.split('-').nth(1).and_then(|epoch| epoch.parse().ok()).unwrap_or(0)
}

/// The number of a command's output.
fn output(name: &str) -> Option<u64> {
    let number = name.strip_prefix("output-")?;
    Some(number.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// Bytes of a file, or of all files of a folder; links count nothing.
pub(crate) fn bytes(path: &Path) -> u64 {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => entries(path, |_| Some(0)).iter().map(|(_, path)| bytes(path)).sum(),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    }
}

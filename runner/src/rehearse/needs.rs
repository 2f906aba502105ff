//! What a rehearsal will need on disk: asked before the first byte is copied.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::journal::StepState;
use cutover_core::room::{room, shares_blocks, size};
use cutover_core::{Access, Reversal, StepContext};

use super::copying::is_lock;
use super::links::Links;
use super::scratch::Scratch;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::recorder::journal_error;
use crate::session::Session;

/// Bytes that a rehearsal needs beside the real system.
#[derive(Debug, Default)]
struct Needs {
    /// For the copies: of the targets, of the rest of the root.
    copies: u64,
    /// For what the plan's steps copy: snapshots, and the states that restores set aside.
    snapshots: u64,
    /// For what the steps write, of which nobody knows how much it is: half of the targets that they write.
    changes: u64,
}

/// Refuses when there is no room for the copies, for the copies that steps make of these, and for some changes.
pub(super) async fn check(session: &Session, scratch: &Scratch, cx: &StepContext) -> Result<()> {
    let needs = Needs::of(session, scratch, cx).await?;
    let Needs { copies, snapshots, changes } = needs;
    let what = format!(
        "the rehearsal (the copy {}, snapshots {}, changes up to {})",
        size(copies),
        size(snapshots),
        size(changes)
    );
    let help = "free some space there, or name another place for the copy with `--scratch DIR`; nothing was copied";
    room(scratch.folder(), copies + snapshots + changes, &what, help)
        .map(drop)
        .map_err(|e| RunnerError::new(Exit::NoTarget, e.to_string()).with_help(help))
}

impl Needs {
    async fn of(session: &Session, scratch: &Scratch, cx: &StepContext) -> Result<Self> {
        let place = scratch.folder();
        let (state, _) = session.journalled().map_err(journal_error)?;
        let mut needs = Self::default();
        let (mut written, mut restored) = (BTreeSet::new(), BTreeSet::new());
        for (_, step) in session.plan.steps().filter(|(_, s)| state.state_of(&s.id) != StepState::Applied) {
            for name in step.step.snapshots() {
                needs.snapshots += bytes_of(session, &name, cx).await?;
            }
            if let Reversal::Restore(target) = step.step.reversal() {
                restored.insert(target);
            }
            written.extend(step.step.uses().into_iter().filter(|u| u.access == Access::Write).map(|u| u.target));
        }
        for name in &restored {
            needs.snapshots += bytes_of(session, name, cx).await?;
        }
        for name in &written {
            needs.changes += bytes_of(session, name, cx).await? / 2;
        }
        // Snapshots are copies of what lies there by then.
        if shares_blocks(place, place) {
            needs.snapshots = 0;
        }
        for (name, target) in session.targets.iter() {
            if !target.files().is_empty() && !shares_blocks(target.path(), place) {
                needs.copies += bytes_of(session, name, cx).await?;
            }
        }
        if shares_blocks(&session.root, place) {
            return Ok(needs);
        }
        let (root, left_out, links) = (session.root.clone(), scratch.left_out(session), scratch.links(session));
        needs.copies += cx.blocking(move || Ok(bytes(&root, &left_out, &links, &mut BTreeSet::new()))).await?;
        Ok(needs)
    }
}

async fn bytes_of(session: &Session, name: &str, cx: &StepContext) -> Result<u64> {
    match session.targets.get(name) {
        Some(target) => Ok(target.bytes(cx).await?),
        None => Ok(0),
    }
}

/// Bytes of the files under `folder` that are copied as they lie there, and of those outside that links lead to. What
/// cannot be read shows when it is copied.
fn bytes(folder: &Path, left_out: &BTreeSet<PathBuf>, links: &Links, seen: &mut BTreeSet<PathBuf>) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let wanted = entries.map(|e| e.path()).filter(|path| !left_out.contains(path) && !is_lock(path));
    let mut size = |path: PathBuf| match path.symlink_metadata() {
        Ok(found) if found.is_dir() => bytes(&path, left_out, links, seen),
        Ok(found) if found.is_symlink() => links.bytes(&path, seen),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    wanted.map(&mut size).sum()
}

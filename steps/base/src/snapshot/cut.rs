//! One consistent cut: every snapshot, and the proof that there was a moment at which all of them were true.
//!
//! Owns the order of it. How a target is copied is the target's business.

use std::collections::BTreeMap;
use std::path::Path;

use cutover_core::disk::private_dir;
use cutover_core::{StepContext, StepError, fault};

use super::set::{SetMember, SnapshotSet, digest_of};

/// Takes all snapshots, and proves that nobody committed from before the first until after the last.
///
/// One target may have been written all the same, if its copy is of one moment (a store with transactions): the others
/// were the same at that moment too.
pub(super) async fn cut(
    cx: &StepContext,
    targets: &[String],
    folder: &Path,
    attempt: String,
) -> Result<SnapshotSet, StepError> {
    let before = counters(cx, targets).await?;
    let total = Some(targets.len() as u64);
    let mut snapshots = BTreeMap::new();
    for (i, name) in targets.iter().enumerate() {
        cx.progress(i as u64, total, "targets");
        let into = folder.join(name);
        let place = into.clone();
        cx.blocking(move || private_dir(&place).map(drop)).await?;
        let manifest = cx.any_target(name)?.snapshot(cx, &into).await?;
        fault::point(fault::SNAPSHOT_TAKEN);
        snapshots.insert(name.clone(), SetMember { blake3: digest_of(&manifest), manifest });
    }
    let after = counters(cx, targets).await?;
    let moved: Vec<_> =
        after.iter().filter(|(name, count)| before.get(*name) != Some(count)).map(|(name, _)| name.as_str()).collect();
    let mut of_one_moment = true;
    for name in &moved {
        of_one_moment &= cx.any_target(name)?.ledger().is_some();
    }
    if moved.len() > 1 || !of_one_moment {
        let moved: Vec<_> = moved.iter().map(|name| format!("`{name}`")).collect();
        return Err(StepError::failed(format!(
            "{} changed while the snapshots were taken, so they are no consistent cut",
            moved.join(" and ")
        ))
        .with_help("stop the programs that write there (or freeze them by an earlier step), then run again"));
    }
    Ok(SnapshotSet {
        version: SnapshotSet::VERSION,
        plan: cx.info().plan.clone(),
        step: cx.info().id.clone(),
        attempt,
        epoch: cx.info().epoch,
        taken_at: cx.now(),
        snapshots,
    })
}

async fn counters(cx: &StepContext, targets: &[String]) -> Result<BTreeMap<String, u64>, StepError> {
    let mut counters = BTreeMap::new();
    for name in targets {
        if let Some(count) = cx.any_target(name)?.change_counter(cx).await? {
            counters.insert(name.clone(), count);
        }
    }
    Ok(counters)
}

//! The snapshot that a contract asks for: taken by an earlier step of the plan, and still there.
//!
//! Owns finding it. Which kind of step took it does not matter: it says which targets it copies, and its receipt where to.

use cutover_core::{SnapshotManifest, StepContext, StepError};

const HELP: &str = "put a `target.snapshot` step with this target before the contract (best right behind the cutover to \
    new-only), and apply it";

/// The earlier steps of the plan that take a snapshot of `target`, the last one first.
pub(super) fn steps(cx: &StepContext, target: &str) -> Vec<String> {
    let outline = cx.outline();
    let earlier = outline.iter().take_while(|step| step.id != cx.info().id);
    let takes = earlier.filter(|step| step.snapshots.iter().any(|name| name == target));
    let mut found: Vec<String> = takes.map(|step| step.id.clone()).collect();
    found.reverse();
    found
}

/// Why there is no snapshot to be had at all, whatever is applied first.
pub(super) fn missing(cx: &StepContext, target: &str) -> Option<String> {
    steps(cx, target).is_empty().then(|| {
        format!("no earlier step of the plan takes a snapshot of `{target}`, and the old tables are dropped; {HELP}")
    })
}

/// The id of the step whose snapshot is there.
pub(super) async fn proven(cx: &StepContext, target: &str) -> Result<String, StepError> {
    let mut why = format!("no snapshot of `{target}` was taken in this plan");
    for id in steps(cx, target) {
        let Some(receipt) = cx.receipt_of(&id).await? else { continue };
        // A kind that describes its snapshots in a way of its own proves them in its verify.
        let Some(manifests) = receipt.body.get("manifests").cloned() else { return Ok(id) };
        let manifests: Vec<SnapshotManifest> = serde_json::from_value(manifests).unwrap_or_default();
        let Some(manifest) = manifests.into_iter().find(|m| m.target == target) else {
            why = format!("step `{id}` does not say where its snapshot of `{target}` is");
            continue;
        };
        let lost = cx
            .blocking(move || {
                let there = |file: &cutover_core::SnapshotFile| {
                    let path = manifest.folder.join(&file.path);
                    path.metadata().is_ok_and(|m| m.len() == file.bytes)
                };
                Ok(manifest.files.iter().find(|file| !there(file)).map(|file| manifest.folder.join(&file.path)))
            })
            .await?;
        match lost {
            None => return Ok(id),
            Some(path) => why = format!("the snapshot of step `{id}` is not whole: `{}`", path.display()),
        }
    }
    Err(StepError::failed(format!("the old tables stay: {why}")).with_help(HELP))
}

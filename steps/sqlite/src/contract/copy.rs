//! The snapshot that a contract asks for: taken by a step behind the last cutover of the mapping, and still whole.
//!
//! Owns finding it. Which kind of step took it does not matter: it says which targets it copies, and its receipt where to.

use cutover_core::disk::hash_file;
use cutover_core::{SnapshotFile, SnapshotManifest, StepContext, StepError, StepKind as _};

use crate::cutover::{Cutover, stage_of};
use crate::mapping::Mapping;

const HELP: &str = "put a `target.snapshot` step with this target between the cutover to new-only and the contract, and apply \
    it";

/// Which steps come before a contract.
#[derive(Debug, Default)]
struct Before {
    /// Those that take a snapshot behind the last cutover, the last one first.
    steps: Vec<String>,
    /// One that takes it too early, and the cutover behind it.
    early: Option<(String, String)>,
}

impl Before {
    fn of(cx: &StepContext, target: &str, mapping: &Mapping) -> Self {
        let stage = stage_of(mapping);
        let mut found = Self::default();
        for step in cx.outline().into_iter().take_while(|step| step.id != cx.info().id) {
            if step.kind == Cutover::KIND && step.changes.iter().any(|change| change.object == stage) {
                let copy = found.steps.pop().or(found.early.map(|(copy, _)| copy));
                found.early = copy.map(|copy| (copy, step.id));
                found.steps.clear();
            } else if step.snapshots.iter().any(|name| name == target) {
                found.steps.push(step.id);
            }
        }
        found.steps.reverse();
        found
    }

    fn missing(&self, target: &str) -> Option<String> {
        match &self.early {
            _ if !self.steps.is_empty() => None,
            Some((copy, cutover)) => Some(format!(
                "the snapshot of `{target}` by step `{copy}` comes before the cutover `{cutover}`, so it lacks what programs \
                 wrote until then"
            )),
            None => Some(format!("no earlier step of the plan takes a snapshot of `{target}`")),
        }
    }
}

/// Why there is no snapshot to be had at all, whatever is applied first.
pub(super) fn missing(cx: &StepContext, target: &str, mapping: &Mapping) -> Option<String> {
    let why = Before::of(cx, target, mapping).missing(target)?;
    Some(format!("{why}, and the old tables are dropped; {HELP}"))
}

/// The id of the step whose snapshot is there, read to its last byte.
pub(super) async fn proven(cx: &StepContext, target: &str, mapping: &Mapping) -> Result<String, StepError> {
    let before = Before::of(cx, target, mapping);
    let mut why =
        before.missing(target).unwrap_or_else(|| format!("no snapshot of `{target}` was taken behind the cutover yet"));
    for id in before.steps {
        let Some(receipt) = cx.receipt_of(&id).await? else { continue };
        // A kind that describes its snapshots in a way of its own proves them in its verify.
        let Some(manifests) = receipt.body.get("manifests").cloned() else { return Ok(id) };
        let manifests: Vec<SnapshotManifest> = serde_json::from_value(manifests).unwrap_or_default();
        let Some(manifest) = manifests.into_iter().find(|m| m.target == target) else {
            why = format!("step `{id}` does not say where its snapshot of `{target}` is");
            continue;
        };
        match cx.blocking(move || Ok(damage(&manifest))).await? {
            None => return Ok(id),
            Some(damage) => why = format!("the snapshot of step `{id}` is not whole: {damage}"),
        }
    }
    Err(StepError::failed(format!("the old tables stay: {why}")).with_help(HELP))
}

/// The first file that is not as it was when it was taken; reads every byte.
fn damage(manifest: &SnapshotManifest) -> Option<String> {
    let of = |file: &SnapshotFile| {
        let path = manifest.folder.join(&file.path);
        match hash_file(&path) {
            Ok((bytes, hash)) if (bytes, &hash) == (file.bytes, &file.blake3) => None,
            Ok(_) => Some(format!("`{}` was changed since", path.display())),
            Err(e) => Some(e.chain()),
        }
    };
    if manifest.files.is_empty() { Some("it has no files".to_owned()) } else { manifest.files.iter().find_map(of) }
}

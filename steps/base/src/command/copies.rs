//! What a command writes into targets that a step of the plan may have to put back.
//!
//! No target sees what another program writes. Owns the private copies that are taken before the command and compared
//! with what is there after it. They live in the step's scratch folder for as long as the command runs; what a crash
//! leaves of them is removed by the next try, whose restore then asks about the rows of the first one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cutover_core::disk::{io_error, private_dir, remove_all};
use cutover_core::{SnapshotManifest, StepContext, StepError, fault};
use serde_json::Value;

/// Copies of targets as they were before the command.
#[derive(Debug)]
pub(super) struct Copies(Vec<SnapshotManifest>);

impl Copies {
    /// Copies those of `targets` that a restore may put back.
    pub(super) async fn take(cx: &StepContext, targets: &[&String]) -> Result<Self, StepError> {
        let folder = Self::remove(cx).await?;
        let mut copies = Vec::new();
        for name in targets.iter().filter(|name| cx.may_restore(name)) {
            let into = folder.join(name);
            let made = into.clone();
            cx.blocking(move || private_dir(&made)).await?;
            copies.push(cx.any_target(name)?.snapshot(cx, &into).await?);
            fault::point(fault::COMMAND_COPIED);
        }
        Ok(Self(copies))
    }

    /// What differs by now, by target, in the targets' own words. The copies are removed.
    pub(super) async fn compare(self, cx: &StepContext) -> Result<BTreeMap<String, Value>, StepError> {
        let mut wrote = BTreeMap::new();
        for copy in self.0 {
            let changes = cx.any_target(&copy.target)?.changes_since(cx, &copy).await?;
            if !changes.is_null() {
                wrote.insert(copy.target, changes);
            }
            fault::point(fault::COMMAND_COMPARED);
        }
        Self::remove(cx).await?;
        Ok(wrote)
    }

    /// Removes what copies there are. Returns their folder.
    pub(super) async fn remove(cx: &StepContext) -> Result<PathBuf, StepError> {
        let folder = cx.scratch_dir().join("before");
        cx.blocking(move || match remove_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error("cannot remove", &folder, e)),
            _ => Ok(folder),
        })
        .await
    }
}

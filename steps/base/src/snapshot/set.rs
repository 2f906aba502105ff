//! The manifest of a set of snapshots: its format, and how to know that the set is whole.
//!
//! Owns `manifest.json`, format version 1. Knows nothing of how a set is taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cutover_core::disk::{hash_file, io_error};
use cutover_core::{SnapshotManifest, StepContext, StepError, blake3_hex, canonical_json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The name of the document in the set's folder.
pub(super) const MANIFEST: &str = "manifest.json";

/// The manifest of a set: every target's own manifest, and a digest of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotSet {
    /// Format version: [`SnapshotSet::VERSION`].
    pub version: u32,
    /// The plan that took it.
    pub plan: String,
    /// The step that took it.
    pub step: String,
    /// The run and the moment at which it was begun.
    pub attempt: String,
    /// The epoch of that run: a later set has a higher one, whatever the clock said.
    pub epoch: u64,
    /// When it was complete.
    pub taken_at: Timestamp,
    /// The snapshots, by target.
    pub snapshots: BTreeMap<String, SetMember>,
}

/// One target's part of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetMember {
    /// BLAKE3 (hex) of the manifest as canonical JSON.
    pub blake3: String,
    /// The target's own manifest.
    pub manifest: SnapshotManifest,
}

impl SnapshotSet {
    /// The format version that this build writes.
    pub const VERSION: u32 = 1;

    /// Reads the set in `folder`; none where no complete one is.
    pub fn read(folder: &Path) -> Result<Option<Self>, StepError> {
        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(io_error("cannot read", &path, e)),
        };
        let unreadable = |e: serde_json::Error| {
            StepError::conflict(format!("`{}` is no manifest of a snapshot set", path.display()))
                .with_help("set the folder aside, or choose another `into`")
                .caused_by(e)
        };
        let any: serde_json::Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
        match any.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > u64::from(Self::VERSION) => Err(StepError::conflict(format!(
                "`{}` has format version {version}; this build reads version {}",
                path.display(),
                Self::VERSION
            ))
            .with_help("use the build that wrote it, or set the folder aside")),
            _ => serde_json::from_value(any).map(Some).map_err(unreadable),
        }
    }

    /// What is not as it was when the set was taken; reads every byte. `folder` is where the set lies now.
    pub fn damage(&self, folder: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        for (target, member) in &self.snapshots {
            if member.blake3 != digest_of(&member.manifest) {
                lines.push(format!("{target}: its manifest was changed"));
            }
            for file in &member.manifest.files {
                let path = folder.join(target).join(&file.path);
                match hash_file(&path) {
                    Ok((bytes, hash)) if (bytes, &hash) == (file.bytes, &file.blake3) => {}
                    Ok((bytes, _)) => lines.push(format!(
                        "{target}: `{}` was changed ({bytes} bytes, {} when taken)",
                        file.path, file.bytes
                    )),
                    Err(e) => lines.push(format!("{target}: `{}`: {e}", file.path)),
                }
            }
        }
        lines
    }

    /// Whether the context's step took it.
    pub(super) fn is_of(&self, cx: &StepContext) -> bool {
        let info = cx.info();
        (&self.plan, &self.step) == (&info.plan, &info.id)
    }

    /// Whose it is, in words.
    pub(super) fn taken_by(&self) -> String {
        format!("step `{}` of plan `{}`", self.step, self.plan)
    }

    /// Every target's own manifest.
    pub(super) fn manifests(&self) -> Vec<SnapshotManifest> {
        self.snapshots.values().map(|m| m.manifest.clone()).collect()
    }

    /// Bytes of all snapshots.
    pub(super) fn bytes(&self) -> u64 {
        self.snapshots.values().map(|m| m.manifest.bytes()).sum()
    }

    /// The document as it is written.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, StepError> {
        serde_json::to_vec_pretty(self)
            .map_err(|e| StepError::internal("a manifest could not be written as JSON").caused_by(e))
    }
}

/// Digest of a manifest, whatever the folder that it lies in.
pub(super) fn digest_of(manifest: &SnapshotManifest) -> String {
    // Where a set lies may change: an earlier one is set aside.
    let mut value = json!(manifest);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("folder");
    }
    blake3_hex(canonical_json(&value).as_bytes())
}

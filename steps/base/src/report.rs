//! The artifact of an assessment: its format, its name, and how it is found again.
//!
//! Owns the document `migration-plan-<date>.json`, format version 1. Knows nothing of how its figures are taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk::io_error;
use cutover_core::{Assessment, StepError, StepInfo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::forecast::{StepEstimate, TargetEstimate, Total};
use crate::rates::Rates;
use crate::room::Space;

/// The format that this build writes.
pub(crate) const VERSION: u32 = 1;

const PREFIX: &str = "migration-plan-";

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Report {
    /// [`VERSION`].
    pub(crate) version: u32,
    pub(crate) plan: String,
    pub(crate) step: String,
    pub(crate) run: String,
    pub(crate) taken_at: Timestamp,
    pub(crate) environment: Environment,
    pub(crate) targets: BTreeMap<String, TargetReport>,
    /// Declared counts; null where the thing that is counted is not there.
    pub(crate) counts: BTreeMap<String, Option<Number>>,
    pub(crate) space: Space,
    pub(crate) estimates: Estimates,
}

/// Where the migration will run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Environment {
    pub(crate) cutover: String,
    pub(crate) os: String,
    pub(crate) arch: String,
    /// The root's commit, or "unknown".
    pub(crate) commit: String,
    /// First line of what each version command says.
    pub(crate) versions: BTreeMap<String, String>,
}

/// One target as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct TargetReport {
    pub(crate) schema_digest: String,
    pub(crate) assessment: Assessment,
}

/// How long it will take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Estimates {
    pub(crate) total: Total,
    /// Every step of the plan, in its order.
    pub(crate) steps: Vec<StepEstimate>,
    /// The assessed targets.
    pub(crate) targets: BTreeMap<String, TargetEstimate>,
    pub(crate) rates: Rates,
    /// What the words and figures above mean.
    pub(crate) legend: BTreeMap<String, String>,
}

impl Report {
    /// Indented JSON with a final line end.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, StepError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| StepError::internal("an assessment could not be written as JSON").caused_by(e))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads one back; a document of another format is an error that says so.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, StepError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let unreadable = |e: serde_json::Error| {
            StepError::failed(format!("`{}` is no assessment that can be read", path.display())).caused_by(e)
        };
        let found: Versioned = serde_json::from_slice(bytes).map_err(unreadable)?;
        if found.version != VERSION {
            return Err(StepError::failed(format!(
                "`{}` has format version {}; this build reads version {VERSION}",
                path.display(),
                found.version
            ))
            .with_help("use the build that wrote it, or a newer one"));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    /// Whether the step that `info` is about wrote it.
    pub(crate) fn is_of(&self, info: &StepInfo) -> bool {
        (&self.plan, &self.step) == (&info.plan, &info.id)
    }
}

/// A free name for an artifact of that day: with a number when another plan took the plain one.
pub(crate) fn free_name(folder: &Path, at: Timestamp) -> PathBuf {
    let day = at.strftime("%Y-%m-%d");
    let plain = folder.join(format!("{PREFIX}{day}.json"));
    if plain.symlink_metadata().is_err() {
        return plain;
    }
    let numbered = |n| folder.join(format!("{PREFIX}{day}-{n}.json"));
    (2_u32..).map(numbered).find(|path| path.symlink_metadata().is_err()).unwrap_or(plain)
}

/// An artifact's path, and the document or why it cannot be read.
pub(crate) type Found = (PathBuf, Result<Report, StepError>);

/// Every artifact in `folder` by path; what cannot be read comes as its error.
pub(crate) fn all_in(folder: &Path) -> Result<Vec<Found>, StepError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("cannot read", folder, e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| io_error("cannot read", folder, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && name.ends_with(".json") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let report =
            fs::read(&path).map_err(|e| io_error("cannot read", &path, e)).and_then(|b| Report::parse(&path, &b));
        (path, report)
    };
    Ok(paths.into_iter().map(read).collect())
}

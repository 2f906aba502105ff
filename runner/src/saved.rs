//! Saved plans: what `plan --out FILE` writes and `apply FILE` runs.
//!
//! The document names the plan file (relative to itself) and what the operator said, and is bound to the plan's steps and
//! to the state of the targets: it runs nothing else than what was reviewed. Secrets are not in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use cutover_core::disk::{PRIVATE_FILE, write_atomic};
use serde::{Deserialize, Serialize};

use crate::binding::Binding;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::session::{Place, Session};

/// Marks the document.
const DOCUMENT: &str = "cutover saved plan";
/// Its format version.
const VERSION: u32 = 1;

/// A saved plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SavedPlan {
    document: String,
    version: u32,
    /// The program that wrote it.
    program: String,
    /// The plan file, relative to this document's folder where that is possible.
    plan_file: PathBuf,
    /// What the operator said, likewise.
    root: Option<PathBuf>,
    state: Option<PathBuf>,
    binds: BTreeMap<String, PathBuf>,
    vars: BTreeMap<String, String>,
    /// What it holds for.
    pub(crate) binding: Binding,
    /// What `plan` showed, for whoever opens the document.
    shown: String,
}

impl SavedPlan {
    /// The document of a session whose plan was shown as `shown`, to be written to `file`.
    pub(crate) fn new(session: &Session, file: &Path, binding: Binding, shown: String) -> Result<Self> {
        let folder = absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
        let relative = |path: &Path| Ok::<_, RunnerError>(between(&folder, &absolute(path)?));
        let place = &session.place;
        Ok(Self {
            document: DOCUMENT.to_owned(),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            plan_file: relative(&session.plan_file)?,
            root: place.root.as_deref().map(relative).transpose()?,
            state: place.state.as_deref().map(relative).transpose()?,
            binds: place.binds.iter().map(|(n, p)| Ok((n.clone(), relative(p)?))).collect::<Result<_>>()?,
            vars: place.vars.clone(),
            binding,
            shown,
        })
    }

    /// Writes the document: private, since variables are in it.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| RunnerError::internal(format!("a saved plan: {e}")))?;
        Ok(write_atomic(&absolute(file)?, &text, PRIVATE_FILE)?)
    }

    /// Reads a saved plan; none when `file` is something else (a plan in TOML, a folder).
    pub(crate) fn read(file: &Path) -> Result<Option<Self>> {
        let mut text = Vec::new();
        let read = File::open(file).and_then(|opened| opened.take(MOST_BYTES).read_to_end(&mut text));
        if read.is_err() {
            return Ok(None);
        }
        if !text.trim_ascii_start().starts_with(b"{") {
            return Ok(None);
        }
        let unreadable = |why: String| {
            RunnerError::new(Exit::InvalidPlan, format!("the saved plan `{}` {why}", file.display()))
                .with_help("write it anew: `cutover plan PLAN --out FILE`")
        };
        let any: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
        if any["document"] != DOCUMENT {
            return Err(unreadable("is a JSON document of something else".to_owned()));
        }
        if any["version"].as_u64().is_none_or(|v| v > u64::from(VERSION)) {
            let (found, program) = (&any["version"], &any["program"]);
            return Err(unreadable(format!(
                "has format version {found}, written by {program}; this program knows {VERSION}"
            ))
            .with_help("use that version of the program, or write the plan anew"));
        }
        serde_json::from_value(any).map(Some).map_err(|e| unreadable(format!("cannot be read: {e}")))
    }

    /// Where its plan is. What the operator says now of root, state and targets goes before what was saved.
    pub(crate) fn place(&self, file: &Path, now: Place) -> Result<Place> {
        if !now.vars.is_empty() {
            return Err(RunnerError::usage("a saved plan has its variables: `--var` cannot change them")
                .with_help("plan anew with these variables"));
        }
        let folder = absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
        let real = |path: &Path| {
            let path = folder.join(path);
            path.canonicalize().unwrap_or(path)
        };
        let mut binds: BTreeMap<_, _> = self.binds.iter().map(|(n, p)| (n.clone(), real(p))).collect();
        binds.extend(now.binds);
        Ok(Place {
            plan: real(&self.plan_file),
            root: now.root.or_else(|| self.root.as_deref().map(real)),
            state: now.state.or_else(|| self.state.as_deref().map(real)),
            binds,
            vars: self.vars.clone(),
            rehearsal: false,
        })
    }
}

/// Bytes that a saved plan may have; a plan has fewer.
const MOST_BYTES: u64 = 64 << 20;

fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(|e| RunnerError::io(format!("`{}`", path.display()), e))?;
    // Two paths are compared part by part: links and `..` must not tell them apart.
    Ok(match (path.parent().and_then(|p| p.canonicalize().ok()), path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path,
    })
}

/// The way from the folder `from` to `to`, both absolute.
fn between(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[same..].iter().map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to[same..].iter().copied()).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_two_places_is_relative() {
        let way = |from: &str, to: &str| between(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/b", "/a/c/plan.toml"), "../c/plan.toml");
        assert_eq!(way("/a/b", "/a/b/plan.toml"), "plan.toml");
        assert_eq!(way("/a", "/a"), ".");
    }
}

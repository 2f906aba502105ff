//! Saved plans: what `plan --out FILE` writes and `apply FILE` runs.
//!
//! The document names the plan file (relative to itself) and what the operator said, and is bound to the plan's steps and
//! to the state of the targets: it runs nothing else than what was reviewed. Secrets are not in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cutover_core::disk::{PRIVATE_FILE, write_atomic};
use serde::{Deserialize, Serialize};

use crate::binding::{Binding, between};
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::session::{Place, Session, real_or_given};

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
        let folder = folder_of(file)?;
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
        // A pipe is read once, by whoever reads it as a plan.
        if !file.is_file() {
            return Ok(None);
        }
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
        let mut saved: Self = serde_json::from_value(any).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
        saved.binding.from = Some(folder_of(file)?);
        Ok(Some(saved))
    }

    /// What was said of a plan, where the file is a saved plan: of the plan that this names. Anything else stays.
    pub(crate) fn resolve(place: Place) -> Result<Place> {
        let file = place.plan.clone();
        match Self::read(&file)? {
            Some(saved) => saved.place(&file, place),
            None => Ok(place),
        }
    }

    /// Refuses a file that `plan --out` must not write: what is no saved plan of this plan, and what is a target's, the
    /// plan's or the state folder's, there or not.
    pub(crate) fn refuse_overwriting(session: &Session, file: &Path) -> Result<()> {
        let shown = file.display();
        let refused = |why: String| {
            Err(RunnerError::usage(format!("`{shown}` {why}; nothing was written"))
                .with_help("name a file that is not there yet: `--out FILE`"))
        };
        let path = absolute(file)?;
        let path = real_or_given(&path);
        for (name, target) in session.targets.iter() {
            let own = target.files();
            if own.iter().map(PathBuf::as_path).chain([target.path()]).any(|own| real_or_given(own) == path) {
                return refused(format!("belongs to target `{name}`"));
            }
        }
        let plan = absolute(&session.plan_file)?;
        let plan = plan.canonicalize().unwrap_or(plan);
        let mut of_steps = session.plan.steps().flat_map(|(_, s)| s.files.keys());
        let own = |file: &String| plan.parent().is_some_and(|folder| folder.join(file) == path);
        if path == plan || of_steps.any(own) {
            return refused("is a file of the plan".to_owned());
        }
        if path.starts_with(real_or_given(&session.state_dir)) {
            return refused("lies in the state folder".to_owned());
        }
        if !path.exists() {
            return Ok(());
        }
        let text = if path.is_file() { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let there: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        match there["binding"]["plan"].as_str().filter(|_| there["document"] == DOCUMENT) {
            Some(plan) if plan == session.plan.name => Ok(()),
            Some(plan) => refused(format!("is a saved plan of `{plan}`")),
            None => refused("is there already, and is no saved plan".to_owned()),
        }
    }

    /// Where its plan is. What the operator says now of root, state and targets goes before what was saved.
    fn place(&self, file: &Path, now: Place) -> Result<Place> {
        if !now.vars.is_empty() {
            return Err(RunnerError::usage("a saved plan has its variables: `--var` cannot change them")
                .with_help("plan anew with these variables"));
        }
        let folder = folder_of(file)?;
        let real = |path: &Path| {
            let path = folder.join(path);
            path.canonicalize().unwrap_or(path)
        };
        let mut binds: BTreeMap<_, _> = self.binds.iter().map(|(n, p)| (n.clone(), real(p))).collect();
        binds.extend(now.binds.clone());
        Ok(Place {
            plan: real(&self.plan_file),
            root: now.root.clone().or_else(|| self.root.as_deref().map(real)),
            state: now.state.clone().or_else(|| self.state.as_deref().map(real)),
            binds,
            vars: self.vars.clone(),
            rehearsal: false,
            said: Some(Box::new(now)),
        })
    }
}

/// Bytes that a saved plan may have; a plan has fewer.
const MOST_BYTES: u64 = 64 << 20;

/// The folder that the places in the document are relative to.
pub(crate) fn folder_of(file: &Path) -> Result<PathBuf> {
    Ok(absolute(file)?.parent().map(Path::to_owned).unwrap_or_default())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(|e| RunnerError::io(format!("`{}`", path.display()), e))?;
    // Two paths are compared part by part: links and `..` must not tell them apart.
    Ok(match (path.parent().and_then(|p| p.canonicalize().ok()), path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path,
    })
}

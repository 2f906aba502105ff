//! A plan, its root, its state folder and its targets: what every command starts from. Opening a session writes nothing.

mod placing;
mod printed;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::journal::{PlanState, RunCommand, StoredStep, StoredTarget};
use cutover_core::plan::{
    CompileErrors, CompileInput, FolderFiles, MOST_BYTES, Plan, StoredFiles, compile, compile_to_look, resolve_env,
};
use cutover_core::{
    BuildContext, ConfigSource, Host, MigrationStep, Registry, StepContext, StepInfo, TargetSeen, Targets,
};
use serde_json::Value;

use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::journal::{Journal, JournalError};
use crate::lock::beside;
use crate::recorder::{Recorder, journal_error};
use crate::secrets;
use placing::make_targets;
pub(crate) use placing::{real_or_given, real_path};
pub(crate) use printed::shell_words;

/// Where things are, as the operator said.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The plan file, or a folder that holds `plan.toml`.
    pub plan: PathBuf,
    /// The folder that holds the system; by default the plan's folder.
    pub root: Option<PathBuf>,
    /// The state folder; by default `<root>/.cutover`.
    pub state: Option<PathBuf>,
    /// Targets that lie elsewhere: name → path.
    pub binds: BTreeMap<String, PathBuf>,
    /// Overrides of plan variables.
    pub vars: BTreeMap<String, String>,
    /// The system is a copy, made to rehearse on.
    pub rehearsal: bool,
    /// What the operator said, where that was a saved plan: the rest is what it comes to.
    pub said: Option<Box<Place>>,
}

/// An opened plan with its surroundings.
#[derive(Debug)]
pub struct Session {
    /// The compiled plan.
    pub plan: Arc<Plan>,
    /// The plan file as the operator named it.
    pub plan_file: PathBuf,
    /// Its text.
    pub plan_text: String,
    /// The root, absolute.
    pub root: PathBuf,
    /// The state folder, absolute.
    pub state_dir: PathBuf,
    /// The kinds that are linked in.
    pub registry: Registry,
    /// The open targets.
    pub targets: Arc<Targets>,
    /// How the operator placed things, for printing commands.
    pub place: Place,
}

/// What a plan is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its steps are called: all that they name must be there.
    Run,
    /// It is looked at: a step whose environment variables are not set is known, and not called.
    Look,
}

/// Compiles the plan of `place`.
pub(crate) fn load_plan(place: &Place, registry: &Registry, purpose: Purpose) -> Result<(Plan, PathBuf, String)> {
    let file = if place.plan.is_dir() { place.plan.join("plan.toml") } else { place.plan.clone() };
    let shown = file.display().to_string();
    let mut text = Vec::new();
    let limit = u64::try_from(MOST_BYTES + 1).unwrap_or(u64::MAX);
    File::open(&file).and_then(|opened| opened.take(limit).read_to_end(&mut text)).map_err(|e| {
        let help = "name a plan file, or a folder that holds `plan.toml`";
        CompileErrors::unreadable(&shown, format!("cannot read the plan `{shown}`: {e}"), help)
    })?;
    let text = match String::from_utf8(text) {
        // Cut in the middle of a character: it is too large, which the compiler says.
        Err(e) if e.as_bytes().len() > MOST_BYTES && e.utf8_error().error_len().is_none() => {
            String::from_utf8_lossy(e.as_bytes()).into_owned()
        }
        Err(e) => {
            let message = format!("the plan `{shown}` is not UTF-8 (byte {})", e.utf8_error().valid_up_to());
            return Err(CompileErrors::unreadable(&shown, message, "save it as UTF-8").into());
        }
        Ok(text) => text,
    };
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let input = CompileInput {
        file: &shown,
        text: &text,
        files: &FolderFiles::new(folder.to_owned()),
        registry,
        vars: &place.vars,
        env: &environment,
    };
    let plan = match purpose {
        Purpose::Run => compile(input),
        Purpose::Look => compile_to_look(input),
    }?;
    Ok((plan, file, text))
}

impl Session {
    /// Compiles the plan and makes its targets (nothing of them is opened yet).
    pub fn open(place: Place) -> Result<Self> {
        Self::open_for(place, Purpose::Run)
    }

    /// The same for a command that does not call every step: the environment variables of those that it leaves alone
    /// need not be set. `needs_env` is asked about the others.
    pub fn look(place: Place) -> Result<Self> {
        Self::open_for(place, Purpose::Look)
    }

    fn open_for(place: Place, purpose: Purpose) -> Result<Self> {
        let registry = crate::registry()?;
        let (plan, plan_file, plan_text) = load_plan(&place, &registry, purpose)?;
        secrets::know(&plan.secrets);
        let folder = plan_file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let root = place.root.clone().unwrap_or_else(|| folder.to_owned());
        let root = root.canonicalize().map_err(|e| {
            RunnerError::new(Exit::NoTarget, format!("the root `{}`: {e}", root.display()))
                .with_help("`--root DIR` names the folder that holds the system being migrated")
        })?;
        if !root.is_dir() {
            return Err(RunnerError::new(Exit::NoTarget, format!("the root `{}` is not a folder", root.display())));
        }
        let state_dir = match &place.state {
            Some(dir) => std::path::absolute(dir)
                .and_then(|dir| real_path(&dir))
                .map_err(|e| RunnerError::io(format!("the state folder `{}`", dir.display()), e))?,
            None => state_in(&root)?,
        };
        let targets = make_targets(&plan.targets, &root, &place, &registry, &environment)?;
        let targets = Arc::new(targets);
        let (steps, digest) = (plan.steps().count(), plan.digest.as_str());
        tracing::debug!(plan = plan.name, digest, steps, root = %root.display(), "plan opened");
        Ok(Self { plan: Arc::new(plan), plan_file, plan_text, root, state_dir, registry, targets, place })
    }

    /// The same session with the targets that the plan no longer has and steps in the journal were applied to: a rollback
    /// needs them.
    pub(crate) fn with_targets_of_the_journal(mut self) -> Result<Self> {
        // A journal that cannot be read names none.
        let Ok((state, _)) = self.journalled() else { return Ok(self) };
        let applied = state.steps.values().filter(|r| r.state.may_have_effects());
        let gone: BTreeMap<String, StoredTarget> = applied
            .flat_map(|r| &r.stored.targets)
            .filter(|t| !self.plan.targets.contains_key(&t.spec.name))
            .map(|t| (t.spec.name.clone(), t.clone()))
            .collect();
        if gone.is_empty() {
            return Ok(self);
        }
        let mut place = self.place.clone();
        place.binds.extend(gone.iter().filter_map(|(name, t)| Some((name.clone(), t.bound.clone()?))));
        let mut specs = self.plan.targets.clone();
        specs.extend(gone.into_iter().map(|(name, target)| (name, target.spec)));
        self.targets = Arc::new(make_targets(&specs, &self.root, &place, &self.registry, &environment)?);
        Ok(self)
    }

    /// The journal's fold of this plan, read-only; empty when there is no journal.
    pub fn journalled(&self) -> Result<(PlanState, u64), JournalError> {
        match Journal::open_read(&self.state_dir)? {
            Some(journal) => Ok((journal.state(&self.plan.name)?, journal.max_epoch())),
            None => Ok((PlanState::default(), 0)),
        }
    }

    /// The journal's folds of every plan that it knows, read-only.
    pub(crate) fn journalled_plans(&self) -> Result<Vec<PlanState>, JournalError> {
        let Some(journal) = Journal::open_read(&self.state_dir)? else { return Ok(Vec::new()) };
        journal.plans()?.iter().map(|plan| journal.state(plan)).collect()
    }

    /// What the targets were at the end of the last run that changed any, by name; nothing when that is not known.
    pub(crate) fn seen(&self, state: &PlanState) -> BTreeMap<String, TargetSeen> {
        let read = || {
            let journal = Journal::open_read(&self.state_dir).ok()??;
            let document = journal.object(state.seen.as_ref()?).ok()??;
            serde_json::from_slice(&document).ok()
        };
        read().unwrap_or_default()
    }

    /// A context for `info` with the services of `host`.
    pub fn context(&self, info: StepInfo, host: Arc<dyn Host>) -> StepContext {
        let folder = self.plan_file.parent().map(Path::to_owned).unwrap_or_default();
        let info = StepInfo { rehearsal: self.place.rehearsal, ..info };
        StepContext::new(
            info,
            host,
            Arc::clone(&self.targets),
            self.root.clone(),
            folder,
            self.state_dir.clone(),
            Arc::new(self.plan.vars.clone()),
        )
        .with_plan(Arc::clone(&self.plan))
    }

    /// Builds a step from what was stored when it was applied; the plan's present text is not looked at.
    pub fn rebuild(&self, stored: &StoredStep, recorder: &Recorder) -> Result<Arc<dyn MigrationStep>> {
        let unknown = || {
            RunnerError::new(
                Exit::Stuck,
                format!(
                    "step `{}` was applied by kind `{}`, which is not linked into this program",
                    stored.id, stored.kind
                ),
            )
            .with_help("use the runner that applied it: it links the crate that provides that kind")
        };
        let descriptor = self.registry.step(&stored.kind).ok_or_else(unknown)?;
        let mut files = StoredFiles::default();
        for (path, hash) in &stored.files {
            let bytes = recorder.object(hash)?.ok_or_else(|| {
                RunnerError::new(Exit::Stuck, format!("the stored file `{path}` of step `{}` is missing", stored.id))
            })?;
            files.0.insert(path.clone(), bytes);
        }
        let config = resolve_env(&stored.config, &environment).map_err(|e| {
            RunnerError::new(Exit::Stuck, format!("step `{}` cannot be rebuilt as it was applied: {e}", stored.id))
                .with_help("set that variable as it was when the step was applied")
        })?;
        let mut specs = self.plan.targets.clone();
        specs.extend(stored.targets.iter().map(|t| (t.spec.name.clone(), t.spec.clone())));
        let cx = BuildContext::new(&stored.id, stored.target.as_deref(), &specs, &stored.vars, &files);
        (descriptor.build)(ConfigSource::Json(&config), &cx).map_err(|e| {
            RunnerError::new(Exit::Stuck, format!("step `{}` cannot be rebuilt as it was applied: {e}", stored.id))
        })
    }

    /// The lock files of this session: state first, then one per target.
    pub fn lock_files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.state_dir.join("lock")];
        for target in self.targets.values() {
            // One file has one lock, by whatever name it was reached: the path was resolved when the target was made, and
            // not again since. A target that is the root itself is covered by a lock inside state.
            if target.path() == self.root {
                files.push(self.state_dir.join(format!("target-{}.lock", target.name())));
            } else {
                files.push(beside(target.path()));
            }
        }
        files
    }
}

/// The state folder of a root: no way out of it.
fn state_in(root: &Path) -> Result<PathBuf> {
    let dir = root.join(".cutover");
    match real_path(&dir) {
        Ok(real) if real.starts_with(root) => Ok(real),
        _ => Err(RunnerError::new(
            Exit::NoTarget,
            format!("the state folder `{}` leads out of the root through a symbolic link", dir.display()),
        )
        .with_help("the operator alone may place it elsewhere: `--state DIR`")),
    }
}

/// Refuses to call step `id` while an environment variable that its configuration names is not set.
pub(crate) fn needs_env(id: &str, config: &Value) -> Result<()> {
    let Err(unset) = resolve_env(config, &environment) else { return Ok(()) };
    let help = format!("set it before the command: `{}=... cutover ...`", unset.0);
    Err(RunnerError::new(Exit::InvalidPlan, format!("step `{id}`: {unset}; nothing was changed")).with_help(help))
}

/// The environment, for `${env.NAME}`.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A journal that cannot be believed is set aside by apply and rollback (nothing is deleted): they rebuild it. Any other
/// error stays one.
pub(crate) fn open_journal_or_set_aside(
    session: &Session,
    command: RunCommand,
) -> Result<(Option<Journal>, Option<PathBuf>)> {
    if !Journal::path_in(&session.state_dir).exists() {
        return Ok((None, None));
    }
    let open = || {
        let journal = Journal::open_write(&session.state_dir)?;
        journal.state(&session.plan.name).map(|_| journal)
    };
    // A page that could not be read once counts as damaged too: what is damaged still is at the second look.
    let opened = match open() {
        Err(JournalError::Damaged { .. }) => open(),
        other => other,
    };
    match opened {
        Ok(journal) => Ok((Some(journal), None)),
        Err(JournalError::Damaged { .. }) if command != RunCommand::Administer => {
            let aside = Journal::set_aside(&session.state_dir).map_err(journal_error)?;
            Ok((None, Some(aside)))
        }
        Err(error) => Err(journal_error(error)),
    }
}

//! `import`: a folder of another tool's migrations as a plan, and what a database has applied of it adopted.

mod said;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::journal::{PlanState, RunCommand, StepState};
use cutover_core::plan::PlanStep;
use cutover_core::{Outcome, StepError, StepErrorKind};

use super::baseline::{record_adopted, refuse_unfinished};
use crate::builtin::import::{Folder, History, Tool, applied, differences, receipt};
use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{Look, Preview, Run, RunOptions, lints, reader_context};
use crate::exit::Exit;
use crate::host::Stop;
use crate::imported::{self, Step};
use crate::report::{Emitter, Silent};
use crate::session::{Place, Session};
use crate::warned::Warned;
use said::{Database, Said};

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The folder of migrations.
    pub dir: PathBuf,
    /// The plan's folder; by default beside it.
    pub out: Option<PathBuf>,
    /// The database.
    pub database: Option<PathBuf>,
    /// Whose migrations they are.
    pub from: Option<Tool>,
    /// The plan's name.
    pub name: Option<String>,
    /// Root and state, as for every command.
    pub place: Place,
}

pub(crate) async fn run(asked: Asked, options: RunOptions, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let folder = Folder::read(&asked.dir, asked.from, asked.database.as_deref()).map_err(unusable)?;
    let history = asked.database.as_ref().map(|database| applied(&folder, database)).transpose()?;
    if let Some(history) = &history {
        refuse_gaps(&folder, history)?;
    }
    let (root, path) = placed(&asked)?;
    let dir = asked.out.clone().unwrap_or_else(|| beside(&asked.dir));
    let name = match &asked.name {
        Some(name) => name.clone(),
        None => {
            let own = std::path::absolute(&dir).ok().and_then(|d| Some(d.file_name()?.to_string_lossy().into_owned()));
            imported::named(&own.unwrap_or_default()).to_ascii_lowercase()
        }
    };
    let steps = imported::steps(&folder)?;
    let written = imported::write(&dir, &imported::files(&folder, &steps, &name, &path))?;
    let warned = tried(&dir, &path).await?;
    let mut database = None;
    if let (Some(history), Some(file)) = (history, &asked.database) {
        let other = differences(&folder, &history, file)?;
        let place = Place { plan: dir.clone(), root: Some(root.clone()), ..asked.place.clone() };
        let adopted = adopt(place, options, &steps, &history).await?;
        database = Some(Database { history, adopted, other, root });
    }
    Said { folder: &folder, steps: &steps, dir: &dir, written, warned: &warned, database }.print(out);
    Ok(Exit::Done)
}

/// A folder that cannot become a plan is as a plan that does not compile.
fn unusable(error: StepError) -> RunnerError {
    let kind = error.kind();
    let mut error = RunnerError::from(error);
    if kind == StepErrorKind::Failed {
        error.exit = Exit::InvalidPlan;
    }
    error
}

/// A step that is pending before applied ones would run behind them, on another structure than it was written for.
fn refuse_gaps(folder: &Folder, history: &History) -> Result<()> {
    let last = history.versions.last().copied().unwrap_or_default();
    let gap = folder.migrations.iter().find(|m| m.version < last && !history.versions.contains(&m.version));
    let Some(gap) = gap else { return Ok(()) };
    let message = format!("`{}` is not applied, and later ones are; nothing was written", gap.file);
    Err(RunnerError::new(Exit::Failed, message).with_help(format!(
        "let {} apply it first, or give it a version behind the last one that is applied",
        folder.tool
    )))
}

/// The root, and the database's path below it.
fn placed(asked: &Asked) -> Result<(PathBuf, String)> {
    let Some(database) = &asked.database else { return Ok((PathBuf::from("."), "app.db".to_owned())) };
    let real = |path: &Path| {
        path.canonicalize().map_err(|e| RunnerError::new(Exit::NoTarget, format!("`{}`: {e}", path.display())))
    };
    let file = real(database)?;
    let root = match &asked.place.root {
        Some(root) => real(root)?,
        None => file.parent().map(Path::to_owned).unwrap_or_default(),
    };
    let Ok(below) = file.strip_prefix(&root) else {
        let message = format!("`{}` does not lie below the root `{}`", database.display(), root.display());
        return Err(RunnerError::usage(message).with_help("leave `--root` out, or name a folder above the database"));
    };
    match below.to_str() {
        Some(path) => {
            let shown = asked.place.root.clone().or_else(|| database.parent().map(Path::to_owned));
            let shown = shown.filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| PathBuf::from("."));
            Ok((shown, path.to_owned()))
        }
        None => Err(RunnerError::usage(format!("`{}` is not UTF-8", database.display()))),
    }
}

/// The folder beside `dir` that the plan goes to unless another is named.
fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().map_or_else(|| "migrations".into(), std::ffi::OsStr::to_owned);
    name.push("-plan");
    dir.with_file_name(name)
}

/// What is doubtful about the whole history, each step tried behind the ones before it from an empty database on.
async fn tried(plan: &Path, path: &str) -> Result<Warned> {
    let failed = |e: std::io::Error| RunnerError::io("a place to try the scripts", e);
    let root = tempfile::tempdir().map_err(failed)?;
    let database = root.path().join(path);
    if let Some(parent) = database.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(&database, "").map_err(failed)?;
    let place = Place { plan: plan.to_owned(), root: Some(root.path().to_owned()), ..Place::default() };
    let session = Session::open(place)?;
    let emitter = Arc::new(Emitter::new(Box::new(Silent)));
    let cx = reader_context(&session, &emitter, &Stop::default(), &PlanState::default());
    let pending = || Look { state: StepState::Pending, skipped: None, standing: None };
    let all: Preview = session.plan.steps().map(|(_, step)| (step.id.clone(), pending())).collect();
    let warnings = lints(&session, &cx, &all).await?;
    Ok(Warned::of(&session.plan, &session.plan_file, &session.plan_text, warnings))
}

/// Records as applied what the other tool has applied. The ids of the steps that were not known before.
async fn adopt(place: Place, options: RunOptions, steps: &[Step<'_>], history: &History) -> Result<Vec<String>> {
    let versions: BTreeMap<&str, u128> = steps.iter().map(|s| (s.id.as_str(), s.migration.version)).collect();
    let session = Session::open(place)?;
    let wanted = |step: &PlanStep| versions.get(step.id.as_str()).is_some_and(|v| history.versions.contains(v));
    let (state, _) = session.journalled().map_err(crate::recorder::journal_error)?;
    if session.plan.steps().all(|(_, s)| !wanted(s) || state.state_of(&s.id) == StepState::Applied) {
        return Ok(Vec::new());
    }
    let emitter = Arc::new(Emitter::new(Box::new(Silent)));
    let (run, _locks) = Run::open(&session, emitter, Stop::default(), options, RunCommand::Administer).await?;
    run.reconcile().await?;
    refuse_unfinished(&session, &run)?;
    let known = |step: &PlanStep| run.recorder.state_of(&step.id) == StepState::Applied;
    // Those scripts did run: what they made goes back by their down scripts.
    let receipt = receipt()?;
    let new = session.plan.steps().filter(|(_, step)| wanted(step) && !known(step));
    let adopted: Vec<_> = new.map(|(phase, step)| (phase, step, receipt.clone())).collect();
    record_adopted(&session, &run, &adopted, "the table of the tool that applied it").await?;
    run.finish(Outcome::Done, None).await?;
    Ok(adopted.into_iter().map(|(_, step, _)| step.id.clone()).collect())
}

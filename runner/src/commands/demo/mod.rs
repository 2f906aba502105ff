//! `demo`: builds a plan's version-1 system, then plan, apply, verify, status, rollback, and both fingerprints; where an
//! application is to live on meanwhile, what it saw.

mod living;
mod memory;
pub(crate) mod programs;
mod watched;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cutover_core::{Depth, Fingerprint, Outcome};

use super::{plan, status, verify};
use crate::cli::{Format, Out};
use crate::demo;
use crate::error::{Result, RunnerError};
use crate::executor::{self, RunOptions, survey_context};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};

/// What a demo is asked for.
pub(crate) struct Asked {
    /// The shape of its system.
    pub(crate) shape: Option<String>,
    /// Only the system.
    pub(crate) build_only: bool,
    /// Up to and including this step or phase.
    pub(crate) to: Option<String>,
}

pub(crate) async fn run(
    name: String,
    dir: Option<PathBuf>,
    Asked { shape, build_only, to }: Asked,
    jobs: usize,
    stop: Stop,
    out: &Out,
) -> Result<Exit> {
    out.only(&[Format::Text])?;
    let temporary = match dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|e| RunnerError::io("a temporary folder", e))?),
    };
    let folder = match (&dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => return Err(RunnerError::internal("no folder for the demo")),
    };
    if name == memory::PLAN {
        return memory::run(&Asked { shape, build_only, to }, &folder, jobs, &stop, out).await;
    }
    let shapes = demo::shapes(&name)?;
    let shape = match shape.or_else(|| shapes.first().cloned()) {
        Some(shape) => shape,
        None => return Err(RunnerError::internal(format!("the demo of `{name}` has no shapes"))),
    };
    if name == living::PLAN && !build_only {
        return living::run(&shape, &folder, jobs, &stop, out).await;
    }
    if name == watched::PLAN && !build_only && to.is_none() {
        return watched::run(&shape, &folder, jobs, &stop, out).await;
    }
    let root = folder.join("system");
    demo::build(&name, &shape, &root)?;
    let plan_file = demo::write_plan(&name, &folder.join("plan"))?;
    out.print(&format!("built the version-1 system of {name}, shape {shape}, in {}\n", root.display()));
    let place = Place { plan: plan_file, root: Some(root), ..Place::default() };
    if build_only {
        let session = Session::open(place)?;
        out.print(&format!("next: {}\n", session.command_line("plan")));
        return Ok(Exit::Done);
    }

    let before = fingerprints(&place, &stop, out).await?;
    heading("plan", out);
    plan::run(place.clone(), &plan::Asked::default(), out).await?;

    heading("apply", out);
    let session = Session::open(place.clone())?;
    let options = RunOptions { jobs, command: format!("cutover demo {name}"), to, ..RunOptions::default() };
    let report = executor::apply(&session, Arc::new(out.emitter()), stop.clone(), options.clone()).await?;
    if report.outcome != Outcome::Done {
        return Ok(report.outcome.into());
    }

    heading("verify", out);
    let verified = verify::run(place.clone(), out).await?;
    heading("status", out);
    status::run(place.clone(), out).await?;

    heading("rollback to the start", out);
    let session = Session::open(place.clone())?;
    let options = RunOptions { to: Some("start".to_owned()), ..options };
    let report = executor::rollback(&session, Arc::new(out.emitter()), stop.clone(), options, |_| Ok(true)).await?;
    if report.outcome != Outcome::Done {
        return Ok(report.outcome.into());
    }

    heading("fingerprints (schema and every row), before and after", out);
    let after = fingerprints(&place, &stop, out).await?;
    let equal = compare(&before, &after, out);
    if dir.is_some() {
        out.print(&format!("\nit is all still there; next: {}\n", session.command_line("plan")));
    }
    Ok(if equal { verified } else { Exit::Drift })
}

fn heading(text: &str, out: &Out) {
    out.print(&format!("\n{}\n", out.style.bold(&format!("── {text} ──"))));
}

/// The fingerprints of all targets, by name.
type Prints = BTreeMap<String, Fingerprint>;

async fn fingerprints(place: &Place, stop: &Stop, out: &Out) -> Result<Prints> {
    let session = Session::open(place.clone())?;
    let cx = survey_context(&session, &Arc::new(out.emitter()), stop);
    let mut all = BTreeMap::new();
    for (name, target) in session.targets.iter() {
        all.insert(name.clone(), target.fingerprint(&cx, Depth::Content).await?);
        target.close(&cx).await?;
    }
    Ok(all)
}

/// Whether both are the same, target by target.
fn compare(before: &Prints, after: &Prints, out: &Out) -> bool {
    let mut equal = true;
    for (name, first) in before {
        let Some(second) = after.get(name) else { continue };
        let same = first.digest() == second.digest();
        equal &= same;
        let mark = if same { out.style.good("equal") } else { out.style.bad("DIFFERENT") };
        let (a, b) = (first.digest(), second.digest());
        out.print(&format!("  {name:8} {} {} {mark}\n", &a[..16], &b[..16]));
        for line in first.changes(second) {
            out.print(&format!("           {line}\n"));
        }
    }
    equal
}

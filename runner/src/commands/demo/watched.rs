//! A demo that waits: the brain lives on under its new version while a window is watched. Then once more with a spike of
//! failures: the run pauses, an incident report is written, and it goes back to the last rollback point and to the start.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use cutover_core::Outcome;

use super::{compare, fingerprints, heading};
use crate::cli::{Format, Out};
use crate::commands::{self, report};
use crate::demo;
use crate::error::{Result, RunnerError};
use crate::executor::{self, RunOptions, WatchEnd};
use crate::exit::Exit;
use crate::host::Stop;
use crate::report::{Emitter, Silent};
use crate::session::{Place, Session};

/// The plan that has one.
pub(super) const PLAN: &str = "cortex-2.0";
/// The seven days of the plan, shortened.
const WINDOW: [(&str, &str); 2] = [("window", "8s"), ("interval", "1s")];
/// The phase at whose end all is moved and nothing new is switched on: the last point before the features.
const POINT: &str = "verify";
/// Tables that the brain's own programs write while the window is watched.
const LOGS: [&str; 3] = ["plugin_hook_executions", "health_reports", "health_issues"];
/// Of a hundred hooks so many fail in the spike.
const SPIKE: u32 = 6;

/// Through all phases and back, and once more with the spike.
pub(super) async fn run(shape: &str, folder: &Path, jobs: usize, stop: &Stop, out: &Out) -> Result<Exit> {
    let plan = demo::write_plan(PLAN, &folder.join("plan"))?;
    for (name, spike) in [("system", false), ("spike", true)] {
        let root = folder.join(name);
        demo::build(PLAN, shape, &root)?;
        out.print(&format!("built the version-1 system of {PLAN}, shape {shape}, in {}\n", root.display()));
        let vars = WINDOW.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let place = Place { plan: plan.clone(), root: Some(root.clone()), vars, ..Place::default() };
        let brain = Brain { root, place, jobs, stop: stop.clone(), out };
        let exit = if spike { brain.spike().await? } else { brain.whole().await? };
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    Ok(Exit::Done)
}

struct Brain<'a> {
    root: PathBuf,
    place: Place,
    jobs: usize,
    stop: Stop,
    out: &'a Out,
}

impl Brain<'_> {
    /// All phases, with the window between, and back to the start.
    async fn whole(&self) -> Result<Exit> {
        let before = fingerprints(&self.place, &self.stop, self.out).await?;
        heading("plan", self.out);
        commands::plan::run(self.place.clone(), &commands::plan::Asked::default(), self.out).await?;

        heading("apply, until the window opens", self.out);
        let outcome = self.apply(None, self.out.emitter()).await?;
        if outcome != Outcome::Waiting {
            return Ok(self.unexpected("waiting", outcome));
        }
        heading("watch; the brain's programs run", self.out);
        let living = Living::begin(&self.root, 0)?;
        let outcome = self.watch().await?;
        drop(living);
        if outcome != Outcome::Done {
            return Ok(outcome.into());
        }
        heading("apply, the phases after the window", self.out);
        let outcome = self.apply(None, self.out.emitter()).await?;
        if outcome != Outcome::Done {
            return Ok(outcome.into());
        }
        heading("verify", self.out);
        let verified = commands::verify::run(self.place.clone(), self.out).await?;
        heading("status", self.out);
        commands::status::run(self.place.clone(), self.out).await?;

        heading("rollback to the start", self.out);
        let outcome = self.rollback("start", self.out.emitter()).await?;
        if outcome != Outcome::Done {
            return Ok(outcome.into());
        }
        heading("fingerprints (schema and every row), before and after", self.out);
        let after = fingerprints(&self.place, &self.stop, self.out).await?;
        Ok(if compare(&before, &after, self.out) { verified } else { Exit::Drift })
    }

    /// The same with hooks that fail while the window is watched.
    async fn spike(&self) -> Result<Exit> {
        heading(&format!("once more: {SPIKE} % of the hooks fail while the window is watched"), self.out);
        let before = fingerprints(&self.place, &self.stop, self.out).await?;
        let outcome = self.apply(Some(POINT), silent()).await?;
        if outcome != Outcome::Done {
            return Ok(outcome.into());
        }
        self.out.print(&format!("moved, up to the end of phase {POINT}; the features are next\n"));
        let point = fingerprints(&self.place, &self.stop, self.out).await?;
        let outcome = self.apply(None, self.out.emitter()).await?;
        if outcome != Outcome::Waiting {
            return Ok(self.unexpected("waiting", outcome));
        }
        let living = Living::begin(&self.root, SPIKE)?;
        let outcome = self.watch().await?;
        drop(living);
        if outcome != Outcome::FailedPaused {
            return Ok(self.unexpected("paused", outcome));
        }

        heading("the incident report", self.out);
        let text = report::written(self.place.clone(), report::Kind::Incident, None, Format::Markdown).await?;
        let path = self.root.join("incident.md");
        std::fs::write(&path, &text).map_err(|e| RunnerError::io(format!("`{}`", path.display()), e))?;
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().take_while(|line| !line.starts_with("## Gates")) {
            self.out.print(&format!("  {line}\n"));
        }
        self.out.print(&format!("  … {} lines in {}\n", lines.len(), path.display()));

        heading(&format!("rollback to the last point before the features, the end of phase {POINT}"), self.out);
        let outcome = self.rollback(POINT, self.out.emitter()).await?;
        if outcome != Outcome::Done {
            return Ok(outcome.into());
        }
        heading("fingerprints, at that point and after; what the brain logged meanwhile is its own", self.out);
        let mut now = fingerprints(&self.place, &self.stop, self.out).await?;
        self.without_logs(&point, &mut now);
        let home = compare(&point, &now, self.out);

        heading("rollback to the start", self.out);
        let outcome = self.rollback("start", silent()).await?;
        if outcome != Outcome::Done {
            return Ok(outcome.into());
        }
        let after = fingerprints(&self.place, &self.stop, self.out).await?;
        Ok(if compare(&before, &after, self.out) && home { Exit::Done } else { Exit::Drift })
    }

    /// Takes the rows of the brain's own logs for what they were, and says how many came.
    fn without_logs(&self, point: &super::Prints, now: &mut super::Prints) {
        for (target, print) in now {
            let Some(then) = point.get(target).and_then(|print| print.content.as_ref()) else { continue };
            let Some(parts) = &mut print.content else { continue };
            for (name, part) in parts.iter_mut().filter(|(name, _)| LOGS.iter().any(|log| name.ends_with(log))) {
                let Some(was) = then.get(name).filter(|was| *was != part) else { continue };
                self.out.print(&format!("  {target:8} {name}: {} rows then, {} now\n", was.count, part.count));
                *part = was.clone();
            }
        }
    }

    async fn apply(&self, to: Option<&str>, emitter: Emitter) -> Result<Outcome> {
        let session = Session::open(self.place.clone())?;
        let options = RunOptions { to: to.map(str::to_owned), ..self.options() };
        Ok(executor::apply(&session, Arc::new(emitter), self.stop.clone(), options).await?.outcome)
    }

    async fn rollback(&self, to: &str, emitter: Emitter) -> Result<Outcome> {
        let session = Session::open(self.place.clone())?;
        let options = RunOptions { to: Some(to.to_owned()), ..self.options() };
        let report = executor::rollback(&session, Arc::new(emitter), self.stop.clone(), options, |_| Ok(true)).await?;
        Ok(report.outcome)
    }

    /// Looks until the window is over or something fires.
    async fn watch(&self) -> Result<Outcome> {
        let session = Session::open(self.place.clone())?;
        let emitter = Arc::new(self.out.emitter());
        match executor::watch(&session, emitter, self.stop.clone(), self.options(), false).await? {
            WatchEnd::Settled(report) => Ok(report.outcome),
            WatchEnd::Stopped => Ok(Outcome::Interrupted),
            WatchEnd::Waits => Ok(Outcome::Waiting),
            WatchEnd::Nothing(why) => Err(RunnerError::internal(format!("nothing was watched: {why}"))),
        }
    }

    fn options(&self) -> RunOptions {
        RunOptions { jobs: self.jobs, command: format!("cutover demo {PLAN}"), ..RunOptions::default() }
    }

    fn unexpected(&self, wanted: &str, outcome: Outcome) -> Exit {
        self.out.print(&format!("{} this run was to be {wanted}\n", self.out.style.bad("not as expected:")));
        if outcome == Outcome::Done { Exit::Drift } else { outcome.into() }
    }
}

fn silent() -> Emitter {
    Emitter::new(Box::new(Silent))
}

/// The brain's hooks, run by its own program until this is dropped.
struct Living(Child);

impl Living {
    fn begin(root: &Path, failing: u32) -> Result<Self> {
        let mut command = Command::new("python3");
        command.args(["-B", "scripts/hooks.py", "--live", "600", "--failing", &failing.to_string()]);
        command.current_dir(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self).map_err(|e| RunnerError::io("the brain's program `scripts/hooks.py`", e))
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! A demo whose application lives on: old and new programs read and write while the plan goes forward stage by stage, and
//! on a second system back again. Each lives as long as the stage allows it. Beside them a writer runs in a twin of the
//! database that nobody moves: what that one waits for is the machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_core::Outcome;
use cutover_demo::consensus::{Schema, differences, rows};
use cutover_demo::traffic::{Report, Role};

use super::heading;
use super::programs::Programs;
use crate::cli::Out;
use crate::commands::{self, table};
use crate::demo;
use crate::error::{Result, RunnerError};
use crate::executor::{self, RunOptions};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};

/// The plan that has one.
pub(super) const PLAN: &str = "consensus-read-path";
const DATABASE: &str = ".code/consensus_artifacts.db";
/// What a move may keep a writer waiting, on a quiet machine.
const PROMISED: Duration = Duration::from_millis(100);
/// How long the programs run before and after each move.
const BESIDE: Duration = Duration::from_millis(400);

/// A phase of the plan at whose end the application is at another stage.
struct Stage {
    phase: &'static str,
    /// The programs that still run when it begins.
    programs: &'static [Role],
}

const EVERYBODY: &[Role] = &Role::ALL;
const NO_OLD_WRITER: &[Role] = &[Role::OldReader, Role::NewWriter, Role::NewReader];
const NEW: &[Role] = &[Role::NewWriter, Role::NewReader];

const STAGES: [Stage; 5] = [
    Stage { phase: "expand", programs: EVERYBODY },
    Stage { phase: "backfill", programs: EVERYBODY },
    Stage { phase: "prefer-new", programs: EVERYBODY },
    Stage { phase: "new-only", programs: NO_OLD_WRITER },
    Stage { phase: "contract", programs: NEW },
];

/// Both runs, each on a system of its own in `folder`.
pub(super) async fn run(shape: &str, folder: &Path, jobs: usize, stop: &Stop, out: &Out) -> Result<Exit> {
    let plan = demo::write_plan(PLAN, &folder.join("plan"))?;
    for (name, back) in [("there", false), ("back", true)] {
        let root = folder.join(name);
        demo::build(PLAN, shape, &root)?;
        out.print(&format!("built the version-1 system of {PLAN}, shape {shape}, in {}\n", root.display()));
        let system = System { root, plan: plan.clone(), jobs, stop: stop.clone() };
        if !back {
            heading("plan", out);
            commands::plan::run(system.place(), &commands::plan::Asked::default(), out).await?;
        }
        let what = if back { "and back, stage by stage, on a second system" } else { "forward, stage by stage" };
        heading(&format!("{what}; old and new programs read and write all the time"), out);
        let exit = system.migrate(back, out).await?;
        if exit != Exit::Done {
            return Ok(exit);
        }
        if !back {
            heading("verify", out);
            commands::verify::run(system.place(), out).await?;
            heading("status", out);
            commands::status::run(system.place(), out).await?;
        }
    }
    Ok(Exit::Done)
}

struct System {
    root: PathBuf,
    plan: PathBuf,
    jobs: usize,
    stop: Stop,
}

/// What was seen while the plan moved once.
#[derive(Debug, Default)]
struct Move {
    name: String,
    took: Duration,
    writes: usize,
    reads: u64,
    failed: u64,
    failures: Vec<String>,
    longest_write: u64,
    longest_read: u64,
    /// The longest write of the program in the twin.
    longest_twin: u64,
    written: Vec<String>,
}

impl Move {
    fn of(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    fn add_twin(&mut self, twin: &[(Role, Report)]) {
        self.longest_twin = twin.iter().map(|(_, report)| report.longest_write).fold(self.longest_twin, u64::max);
    }

    fn add(&mut self, reports: Vec<(Role, Report)>) {
        for (role, mut report) in reports {
            self.writes += report.written.len();
            self.reads += report.reads;
            self.failed += report.failed;
            self.failures.extend(report.failures.iter().map(|why| format!("{}: {why}", role.name())));
            self.longest_write = self.longest_write.max(report.longest_write);
            self.longest_read = self.longest_read.max(report.longest_read);
            self.written.append(&mut report.written);
        }
    }
}

impl System {
    fn place(&self) -> Place {
        Place { plan: self.plan.clone(), root: Some(self.root.clone()), ..Place::default() }
    }

    async fn migrate(&self, back: bool, out: &Out) -> Result<Exit> {
        let database = self.root.join(DATABASE);
        let mut wanted = rows(&database, Schema::Old).map_err(|e| of_database(&e))?.unwrap_or_default();
        if !back {
            // What an interrupted move left in the new tables alone is taken into the old ones, and leaves them on the way back.
            let mut old: Vec<Option<&String>> = wanted.iter().map(Some).collect();
            let mut alone = rows(&database, Schema::New).map_err(|e| of_database(&e))?.unwrap_or_default();
            alone.retain(|row| match old.iter_mut().find(|there| **there == Some(row)) {
                Some(there) => {
                    *there = None;
                    false
                }
                None => true,
            });
            wanted.append(&mut alone);
        }
        let begun_with = wanted.len();
        let mut moves = Vec::new();
        let mut twin = self.twin(&database)?;
        let mut programs = Programs::of(&database);
        moves.push(alone(&mut programs, &mut twin)?);
        let ways = STAGES.iter().map(|stage| (stage, false));
        for (stage, back) in ways.chain(STAGES.iter().rev().map(|stage| (stage, true)).filter(|_| back)) {
            match self.go(stage, back, (&mut programs, &mut twin), out).await? {
                Ok(seen) => moves.push(seen),
                Err(exit) => return Ok(exit),
            }
        }
        if let Some(last) = moves.last_mut() {
            last.add(programs.only(&[])?);
        }
        moves.iter_mut().for_each(|seen| wanted.append(&mut seen.written));
        wanted.sort_unstable();
        self.tell(&moves, back, begun_with, &wanted, out)
    }

    /// A writer in a copy of the database, with the log that the plan's first step sets.
    fn twin(&self, database: &Path) -> Result<Programs> {
        let copy = self.root.join("twin.db");
        let made = rusqlite::Connection::open(database).and_then(|conn| {
            conn.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
            rusqlite::Connection::open(&copy)?.pragma_update(None, "journal_mode", "WAL")
        });
        made.map_err(|e| of_database(&e))?;
        let mut programs = Programs::of(&copy);
        programs.only(&[Role::OldWriter])?;
        Ok(programs)
    }

    /// To the end of a phase, or back to where it began, with the programs beside it.
    async fn go(
        &self,
        stage: &Stage,
        back: bool,
        (programs, twin): (&mut Programs, &mut Programs),
        out: &Out,
    ) -> Result<std::result::Result<Move, Exit>> {
        let mut seen = Move::of(if back { format!("back from {}", stage.phase) } else { stage.phase.to_owned() });
        seen.add(programs.only(stage.programs)?);
        std::thread::sleep(BESIDE);
        let session = Session::open(self.place())?;
        let to = (!back).then(|| stage.phase.to_owned());
        let command = format!("cutover demo {PLAN}");
        let options = RunOptions { jobs: self.jobs, command, to, ..RunOptions::default() };
        let began = Instant::now();
        let emitter = Arc::new(out.emitter());
        let report = if back {
            executor::rollback(&session, emitter, self.stop.clone(), options, |_| Ok(true)).await?
        } else {
            executor::apply(&session, emitter, self.stop.clone(), options).await?
        };
        seen.took = began.elapsed();
        std::thread::sleep(BESIDE);
        seen.add(programs.reports()?);
        seen.add_twin(&twin.reports()?);
        if report.outcome != Outcome::Done {
            return Ok(Err(report.outcome.into()));
        }
        Ok(Ok(seen))
    }

    /// What came of it.
    fn tell(&self, moves: &[Move], back: bool, begun_with: usize, wanted: &[String], out: &Out) -> Result<Exit> {
        let millis = |micros: u64| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
        let line = |seen: &Move| {
            vec![
                seen.name.clone(),
                millis(u64::try_from(seen.took.as_micros()).unwrap_or(u64::MAX)),
                seen.writes.to_string(),
                seen.reads.to_string(),
                seen.failed.to_string(),
                millis(seen.longest_write),
                millis(seen.longest_twin),
                millis(seen.longest_read),
            ]
        };
        let heads = ["move", "took", "writes", "reads", "failed", "longest write", "in the twin", "longest read"];
        out.print(&format!("\n{}", table::columns(&heads, moves.iter().map(line).collect())));
        for why in moves.iter().flat_map(|seen| &seen.failures) {
            out.print(&format!("  {} {why}\n", out.style.bad("failed")));
        }
        let found = rows(&self.root.join(DATABASE), if back { Schema::Old } else { Schema::New });
        let found = found.map_err(|e| of_database(&e))?.unwrap_or_default();
        let (lost, more) = differences(wanted, &found);
        let failed: u64 = moves.iter().map(|seen| seen.failed).sum();
        let written: usize = moves.iter().map(|seen| seen.writes).sum();
        let longest =
            |seen: &[Move]| Duration::from_micros(seen.iter().map(|seen| seen.longest_write).max().unwrap_or(0));
        let (before, beside) = moves.split_at(1.min(moves.len()));
        let (promised, worst) = (PROMISED.as_millis(), longest(beside));
        let kept = if worst < PROMISED {
            format!("less than the {promised} ms that are promised")
        } else {
            out.style.bad(&format!("more than the {promised} ms that are promised on a quiet machine"))
        };
        let twin = Duration::from_micros(beside.iter().map(|seen| seen.longest_twin).max().unwrap_or(0));
        out.print(&format!(
            "\n{begun_with} rows before, {written} written meanwhile, {} found: {lost} lost, {more} that nobody wrote; \
             {failed} failed reads and writes\n\
             the longest write took {:.1?}, {kept} ({:.1?} before all moves; {twin:.1?} in the twin that nobody moves)\n",
            found.len(),
            worst,
            longest(before),
        ));
        Ok(if lost + more == 0 && failed == 0 { Exit::Done } else { Exit::Drift })
    }
}

/// The programs by themselves, before anything is moved.
fn alone(programs: &mut Programs, twin: &mut Programs) -> Result<Move> {
    let mut seen = Move::of("nothing yet".to_owned());
    programs.only(EVERYBODY)?;
    let began = Instant::now();
    std::thread::sleep(BESIDE * 3);
    seen.add(programs.reports()?);
    seen.add_twin(&twin.reports()?);
    seen.took = began.elapsed();
    Ok(seen)
}

fn of_database(error: &rusqlite::Error) -> RunnerError {
    RunnerError::internal(format!("the demo's database: {error}"))
}

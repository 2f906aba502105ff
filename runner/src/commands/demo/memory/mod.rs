//! A demo whose application's memory moves from Badger to another store while it goes on writing, and back again with what
//! it wrote since. At the end everything that was ever written is counted.

mod system;
mod throughput;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_core::Outcome;
use cutover_demo::memory::program::Entry;
use cutover_demo::memory::{self, Counted, SEED};
use serde_json::Value;

use self::system::{Commands, build};
use self::throughput::throughput;
use super::{Asked, heading};
use crate::cli::Out;
use crate::commands::{self, table};
use crate::demo;
use crate::error::{Result, RunnerError};
use crate::executor::{self, RunOptions};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};

/// The plan that has one.
pub(super) const PLAN: &str = "thought-engine-v2";
const RECORDS: usize = 10_000;
/// How long the program runs before and after each move.
const BESIDE: Duration = Duration::from_millis(1_500);

/// There, and back with what was written there.
pub(super) async fn run(asked: &Asked, folder: &Path, jobs: usize, stop: &Stop, out: &Out) -> Result<Exit> {
    let root = folder.join("system");
    let plan = demo::write_plan(PLAN, &folder.join("plan"))?;
    build(asked.shape.as_deref(), &root, out)?;
    let place = Place { plan, root: Some(root.clone()), ..Place::default() };
    if asked.build_only {
        out.print(&format!("next: {}\n", Session::open(place)?.command_line("plan")));
        return Ok(Exit::Done);
    }
    let commands = Commands { root };
    heading("plan", out);
    commands::plan::run(place.clone(), &commands::plan::Asked::default(), out).await?;

    heading("throughput before, each store by itself", out);
    throughput(&commands, out)?;

    let mut moves = Vec::new();
    commands.say(&["v1", "start"], None)?;
    std::thread::sleep(BESIDE);
    heading("forward; the program writes all the time", out);
    let options =
        RunOptions { jobs, command: format!("cutover demo {PLAN}"), to: asked.to.clone(), ..RunOptions::default() };
    for (name, back) in [("there", false), ("back", true)] {
        if back {
            heading("status", out);
            commands::status::run(place.clone(), out).await?;
            heading("back, with what was written meanwhile", out);
        }
        let before = commands.written()?.len();
        let session = Session::open(place.clone())?;
        let (began, emitter) = (Instant::now(), Arc::new(out.emitter()));
        let report = if back {
            let options = RunOptions { to: Some("start".to_owned()), ..options.clone() };
            executor::rollback(&session, emitter, stop.clone(), options, |_| Ok(true)).await?
        } else {
            executor::apply(&session, emitter, stop.clone(), options.clone()).await?
        };
        let took = began.elapsed();
        if report.outcome != Outcome::Done {
            return Ok(report.outcome.into());
        }
        std::thread::sleep(BESIDE);
        moves.push((name, took, before));
    }
    commands.say(&["v1", "stop"], None)?;
    tell(&commands, &moves, out)
}

/// What came of it.
fn tell(commands: &Commands, moves: &[(&str, Duration, usize)], out: &Out) -> Result<Exit> {
    let (log, starts) = (commands.written()?, commands.starts()?);
    let shown = |nanos: Option<i64>| nanos.map_or_else(|| "–".to_owned(), |nanos| format!("{} ms", nanos / 1_000_000));
    let mut rows = Vec::new();
    for (at, (name, took, from)) in moves.iter().enumerate() {
        let to = moves.get(at + 1).map_or(log.len(), |(_, _, next)| *next);
        // From the last that one program committed to the first that the other did; and whoever wrote, while it ran.
        let switch = starts.iter().copied().rfind(|first| (*from..to).contains(first));
        let gaps = |n: &usize| Some(when(log.get(*n)?) - when(log.get(n.checked_sub(1)?)?));
        let stopped = switch.as_ref().and_then(gaps);
        let waited = (*from..to).filter(|n| Some(*n) != switch).filter_map(|n| gaps(&n)).max();
        let written: usize = log[*from..to].iter().map(|entry| entry.put.len() + entry.delete.len()).sum();
        let took = format!("{} ms", took.as_millis());
        rows.push(vec![(*name).to_owned(), took, written.to_string(), shown(stopped), shown(waited)]);
    }
    let heads =
        ["move", "took", "written meanwhile and after", "nobody wrote at the switch", "longest wait of a program"];
    out.print(&format!("\n{}", table::columns(&heads, rows)));
    let backup = commands.say(&["v1", "backup", "0"], None)?;
    let records = memory::read(&backup).map_err(|e| RunnerError::internal(format!("Badger's last backup: {e}")))?;
    let counted = Counted::of(&memory::records(SEED, RECORDS), &log, records);
    for (what, names) in [("lost", &counted.lost), ("unknown", &counted.more)] {
        for name in names.iter().take(5) {
            out.print(&format!("  {} {name}\n", out.style.bad(what)));
        }
    }
    out.print(&format!(
        "\n{} records before, {} written and forgotten since, {} found in the end: {} lost, {} that nobody wrote or that are \
         there twice\n",
        counted.made,
        counted.written,
        counted.found,
        counted.lost.len(),
        counted.more.len(),
    ));
    Ok(if counted.lost.is_empty() && counted.more.is_empty() { Exit::Done } else { Exit::Drift })
}

/// When it was committed, in nanoseconds since 1970.
fn when(entry: &Entry) -> i64 {
    let value: Option<Value> = entry.put.first().and_then(|(_, value)| serde_json::from_str(value).ok());
    value.and_then(|value| value["timestamp"].as_i64()).unwrap_or(0)
}

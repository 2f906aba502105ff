//! A demo whose application's memory moves from Badger to another store while it goes on writing, and back again with what
//! it wrote since. At the end everything that was ever written is counted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_core::Outcome;
use cutover_demo::memory::program::Entry;
use cutover_demo::memory::{self, Counted, SEED};
use serde_json::Value;

use super::{Asked, heading};
use crate::cli::Out;
use crate::commands::{self, table};
use crate::demo;
use crate::error::{Result, RunnerError};
use crate::executor::{self, RunOptions};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session, shell_words};

/// The plan that has one.
pub(super) const PLAN: &str = "thought-engine-v2";
/// Where the program's own path is put, and Badger's.
const PROGRAMS: &str = "bin/programs";
const RECORDS: usize = 10_000;
/// Of its throughput: the best of so many rounds, of so many reads and writes each.
const ROUNDS: usize = 3;
const OPERATIONS: &str = "10000";
/// How long the program runs before and after each move.
const BESIDE: Duration = Duration::from_millis(1_500);

/// Builds the system of a shape, with its memory in place and nobody running; without a shape with Badger, where it is there.
fn build(shape: Option<&str>, root: &Path, out: &Out) -> Result<()> {
    let badger = badger();
    let shape = shape.unwrap_or(if badger.is_some() { "badger" } else { "stand-in" });
    demo::build(PLAN, shape, root)?;
    let cutover = std::env::current_exe().map_err(|e| RunnerError::io("the program's own file", e))?;
    let badger = match (shape, badger) {
        ("badger", None) => {
            return Err(RunnerError::usage("there is no Badger on this machine").with_help(
                "`tests/peers/badger/build` makes one of Debian's packages, `CUTOVER_BADGER` names it; or `--shape stand-in`",
            ));
        }
        (_, badger) => badger.unwrap_or_default(),
    };
    let file = root.join(PROGRAMS);
    let doing = |e| RunnerError::io(format!("`{}`", file.display()), e);
    let text = fs::read_to_string(&file).map_err(doing)?;
    let text = text.replace("@CUTOVER@", &word(&cutover)).replace("@BADGER@", &word(&badger));
    fs::write(&file, text).map_err(doing)?;
    let records = memory::records(SEED, RECORDS);
    let backup = root.join("data/made.bak");
    let doing = |e| RunnerError::io(format!("`{}`", backup.display()), e);
    fs::create_dir_all(root.join("data")).map_err(doing)?;
    let bytes = memory::backup(&records).map_err(|e| RunnerError::internal(format!("the memory: {e}")))?;
    fs::write(&backup, bytes).map_err(doing)?;
    let system = Commands { root: root.to_owned() };
    system.say(&["v1", "load"], Some(&backup))?;
    fs::remove_file(&backup).map_err(doing)?;
    out.print(&format!(
        "built the version-1 system of {PLAN}, shape {shape}, in {}: {} records in {}\n",
        root.display(),
        records.len(),
        if shape == "badger" { "Badger" } else { "sled, which stands for Badger: that is not on this machine" },
    ));
    Ok(())
}

/// Badger's program: the one that is named, or the one that the tests build beside this program.
fn badger() -> Option<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("peers/badger"));
    std::env::var_os("CUTOVER_BADGER").map(PathBuf::from).or_else(beside).filter(|path| path.is_file())
}

fn word(path: &Path) -> String {
    shell_words([path.to_string_lossy()])
}

/// The operator's script of the system.
struct Commands {
    root: PathBuf,
}

impl Commands {
    /// What `sh bin/memory WORDS` prints.
    fn say(&self, words: &[&str], input: Option<&Path>) -> Result<Vec<u8>> {
        let doing = || format!("`sh bin/memory {}`", words.join(" "));
        let input = match input {
            Some(path) => Stdio::from(File::open(path).map_err(|e| RunnerError::io(doing(), e))?),
            None => Stdio::null(),
        };
        let mut command = Command::new("sh");
        command.arg("bin/memory").args(words).current_dir(&self.root).stdin(input);
        let ran = command.output().map_err(|e| RunnerError::io(doing(), e))?;
        match ran.status.success() {
            true => Ok(ran.stdout),
            false => {
                let why = String::from_utf8_lossy(&ran.stderr).trim_end().to_owned();
                Err(RunnerError::internal(format!("{}: {}: {why}", doing(), ran.status)))
            }
        }
    }

    /// What the living program has committed so far.
    fn written(&self) -> Result<Vec<Entry>> {
        Entry::read(&self.root.join("run/written.jsonl")).map_err(|e| RunnerError::internal(format!("the log: {e}")))
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        for generation in ["v1", "v2"] {
            let _ = self.say(&[generation, "stop"], None);
        }
    }
}

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

/// How fast the program is on each store with these records: nobody else runs.
fn throughput(commands: &Commands, out: &Out) -> Result<()> {
    const FILE: &str = "run/made.bak";
    let run = commands.root.join("run");
    let doing = |e| RunnerError::io(format!("`{}`", run.display()), e);
    fs::create_dir_all(&run).map_err(doing)?;
    fs::write(commands.root.join(FILE), commands.say(&["v1", "backup", "0"], None)?).map_err(doing)?;
    let stores = [("v1", "the program on its old store"), ("v2", "fjall, as the plan makes it"), ("sled", "sled")];
    let mut best = [[0.0_f64; 2]; 3];
    // One after the other, and again: whatever else the machine does hits all of them.
    for _ in 0..ROUNDS {
        for ((store, _), best) in stores.iter().zip(&mut best) {
            let said = commands.say(&[*store, "bench", FILE, OPERATIONS], None)?;
            let said: Value = serde_json::from_slice(&said)
                .map_err(|e| RunnerError::internal(format!("what `bench` of {store} printed: {e}")))?;
            for (best, name) in best.iter_mut().zip(["reads", "writes"]) {
                *best = best.max(said[name].as_f64().unwrap_or(0.0));
            }
        }
    }
    for (store, _) in stores {
        fs::remove_dir_all(run.join(format!("{store}.bench"))).map_err(doing)?;
    }
    fs::remove_file(commands.root.join(FILE)).map_err(doing)?;
    let of = |now: f64, before: f64| format!("{:.0} %", 100.0 * now / before.max(1.0));
    let row = |((_, name), [reads, writes]): (&(&str, &str), &[f64; 2])| {
        let [first_reads, first_writes] = best[0];
        let name = (*name).to_owned();
        vec![name, format!("{reads:.0}"), of(*reads, first_reads), format!("{writes:.0}"), of(*writes, first_writes)]
    };
    let heads = ["store", "reads a second", "of before", "writes a second", "of before"];
    out.print(&table::columns(&heads, stores.iter().zip(&best).map(row).collect()));
    Ok(())
}

/// What came of it.
fn tell(commands: &Commands, moves: &[(&str, Duration, usize)], out: &Out) -> Result<Exit> {
    let log = commands.written()?;
    let mut rows = Vec::new();
    for (at, (name, took, from)) in moves.iter().enumerate() {
        let to = moves.get(at + 1).map_or(log.len(), |(_, _, next)| *next);
        // The one before belongs to the pause between them.
        let part = &log[from.saturating_sub(1)..to];
        let pause = part.windows(2).map(|pair| when(&pair[1]) - when(&pair[0])).max().unwrap_or(0);
        let written: usize = log[*from..to].iter().map(|entry| entry.put.len() + entry.delete.len()).sum();
        rows.push(vec![
            (*name).to_owned(),
            format!("{} ms", took.as_millis()),
            written.to_string(),
            format!("{} ms", pause / 1_000_000),
        ]);
    }
    let heads = ["move", "took", "written meanwhile and after", "longest time without a write"];
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

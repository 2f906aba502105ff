//! Programs of an application that read and write until they are told to stop, and what they saw.
//!
//! A program is a process of its own, which lives through as many moves of the migration as it may. At each line of its
//! standard input it tells what it saw since the last one, a [`Report`]; when its input ends, it does so once more and stops.

use std::io::BufRead as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::consensus::{Artifact, NewArtifact, NewStore, NewSynthesis, OldStore, identity};

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Writes artifacts and syntheses, knowing the old schema alone.
    OldWriter,
    /// Reads them, knowing the old schema alone.
    OldReader,
    /// Writes them with `cutover-dual`.
    NewWriter,
    /// Reads them with `cutover-dual`.
    NewReader,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OldWriter, Self::OldReader, Self::NewWriter, Self::NewReader];

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// As a command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OldWriter => "old-writer",
            Self::OldReader => "old-reader",
            Self::NewWriter => "new-writer",
            Self::NewReader => "new-reader",
        }
    }
}

/// What a program saw.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// The artifacts and syntheses that it wrote, by their [`identity`], in their order; each was committed.
    pub written: Vec<String>,
    /// How many times it read.
    pub reads: u64,
    /// What went wrong, the first few.
    pub failures: Vec<String>,
    /// How many things went wrong.
    pub failed: u64,
    /// The longest time that a write took, in microseconds: waiting for others and the commit included.
    pub longest_write: u64,
    /// The longest time that a read took, in microseconds.
    pub longest_read: u64,
}

impl Report {
    fn failed(&mut self, why: String) {
        self.failed += 1;
        if self.failures.len() < 5 {
            self.failures.push(why);
        }
    }
}

/// What a program is told while it runs.
#[derive(Debug, Default)]
struct Told {
    stop: AtomicBool,
    /// How many reports were asked for.
    asked: AtomicU64,
}

/// A program's reports, each handed on when it is asked for.
struct Reports<'a> {
    told: &'a Told,
    given: u64,
    now: Report,
    give: &'a mut dyn FnMut(Report),
}

impl Reports<'_> {
    /// Whether to go on; what was asked for meanwhile is given.
    fn go_on(&mut self) -> bool {
        while self.given < self.told.asked.load(Ordering::Relaxed) {
            self.given += 1;
            (self.give)(std::mem::take(&mut self.now));
        }
        !self.told.stop.load(Ordering::Relaxed)
    }
}

/// Runs a program on its database until standard input ends. Each report goes to `give`.
pub fn run(role: Role, name: &str, database: &Path, mut give: impl FnMut(Report)) {
    let told = Told::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in std::io::stdin().lock().lines() {
                if line.is_err() {
                    break;
                }
                told.asked.fetch_add(1, Ordering::Relaxed);
            }
            told.stop.store(true, Ordering::Relaxed);
        });
        let mut reports = Reports { told: &told, given: 0, now: Report::default(), give: &mut give };
        let ran = match role {
            Role::OldWriter => OldStore::open(database).map_err(text).map(|store| write(&store, name, &mut reports)),
            Role::NewWriter => NewStore::open(database).map_err(text).map(|store| write(&store, name, &mut reports)),
            Role::OldReader => {
                OldStore::open(database).map_err(text).and_then(|store| read(&store, database, &mut reports))
            }
            Role::NewReader => {
                NewStore::open(database).map_err(text).and_then(|store| read(&store, database, &mut reports))
            }
        };
        if let Err(why) = ran {
            reports.now.failed(why);
            while reports.go_on() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        reports.go_on();
        (reports.give)(std::mem::take(&mut reports.now));
    });
}

/// What both stores do.
trait Store {
    fn store_artifact(&self, artifact: &NewArtifact<'_>) -> Result<(), String>;
    fn store_synthesis(&self, synthesis: &NewSynthesis<'_>) -> Result<(), String>;
    fn query_artifacts(&self, spec: &str, stage: &str) -> Result<Vec<Artifact>, String>;
    fn latest_synthesis(&self, spec: &str, stage: &str) -> Result<bool, String>;
}

impl Store for OldStore {
    fn store_artifact(&self, artifact: &NewArtifact<'_>) -> Result<(), String> {
        OldStore::store_artifact(self, artifact).map(drop).map_err(text)
    }

    fn store_synthesis(&self, synthesis: &NewSynthesis<'_>) -> Result<(), String> {
        OldStore::store_synthesis(self, synthesis).map(drop).map_err(text)
    }

    fn query_artifacts(&self, spec: &str, stage: &str) -> Result<Vec<Artifact>, String> {
        OldStore::query_artifacts(self, spec, stage).map_err(text)
    }

    fn latest_synthesis(&self, spec: &str, stage: &str) -> Result<bool, String> {
        self.query_latest_synthesis(spec, stage).map(|found| found.is_some()).map_err(text)
    }
}

impl Store for NewStore {
    fn store_artifact(&self, artifact: &NewArtifact<'_>) -> Result<(), String> {
        NewStore::store_artifact(self, artifact).map(drop).map_err(text)
    }

    fn store_synthesis(&self, synthesis: &NewSynthesis<'_>) -> Result<(), String> {
        NewStore::store_synthesis(self, synthesis).map(drop).map_err(text)
    }

    fn query_artifacts(&self, spec: &str, stage: &str) -> Result<Vec<Artifact>, String> {
        NewStore::query_artifacts(self, spec, stage).map_err(text)
    }

    fn latest_synthesis(&self, spec: &str, stage: &str) -> Result<bool, String> {
        self.query_latest_synthesis(spec, stage).map(|found| found.is_some()).map_err(text)
    }
}

/// A write every few milliseconds; every tenth is a synthesis.
fn write(store: &impl Store, name: &str, reports: &mut Reports<'_>) {
    const STAGES: [&str; 3] = ["spec-plan", "spec-tasks", "spec-clarify"];
    for n in 0_usize.. {
        if !reports.go_on() {
            return;
        }
        let report = &mut reports.now;
        let (spec, stage) = (format!("SPEC-LIVE-{:02}", n % 20), STAGES[n % STAGES.len()]);
        let began = Instant::now();
        let result = if n % 10 == 9 {
            let markdown = format!("# {name} {n}");
            let synthesis = NewSynthesis {
                spec: &spec,
                stage,
                markdown: &markdown,
                path: None,
                status: "ok",
                artifacts: 3,
                agreements: Some("[\"all\"]"),
                conflicts: None,
                degraded: n % 20 == 19,
            };
            store.store_synthesis(&synthesis).map(|()| report.written.push(identity(&spec, stage, "", &markdown)))
        } else {
            let content = format!("{{\"by\":\"{name}\",\"n\":{n}}}");
            let agent = ["claude", "gemini", "gpt_pro"][n % 3];
            let artifact = NewArtifact { spec: &spec, stage, agent, content: &content, response: None, run: None };
            store.store_artifact(&artifact).map(|()| report.written.push(identity(&spec, stage, agent, &content)))
        };
        report.longest_write = report.longest_write.max(micros(began.elapsed()));
        if let Err(why) = result {
            report.failed(format!("write {n}: {why}"));
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// One stage after the other, again and again: it never has fewer artifacts than the time before, nor loses its synthesis.
fn read(store: &impl Store, database: &Path, reports: &mut Reports<'_>) -> Result<(), String> {
    let mut stages: Vec<_> = stages(database).map_err(text)?.into_iter().map(|stage| (stage, 0_usize, false)).collect();
    let whole = stages.len();
    for at in (0..whole).cycle() {
        if !reports.go_on() {
            break;
        }
        let report = &mut reports.now;
        let ((spec, stage), before, had) = &mut stages[at];
        let began = Instant::now();
        match store.query_artifacts(spec, stage) {
            Ok(found) if found.is_empty() || found.len() < *before => {
                report.failed(format!("{spec} {stage}: {} artifacts instead of {before}", found.len()));
            }
            Ok(found) => *before = found.len(),
            Err(why) => report.failed(format!("{spec} {stage}: {why}")),
        }
        match store.latest_synthesis(spec, stage) {
            Ok(false) if *had => report.failed(format!("{spec} {stage}: its synthesis is gone")),
            Ok(has) => *had = has,
            Err(why) => report.failed(format!("{spec} {stage}: synthesis: {why}")),
        }
        report.reads += 1;
        report.longest_read = report.longest_read.max(micros(began.elapsed()));
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A part of the stages that have artifacts, in either schema.
fn stages(database: &Path) -> rusqlite::Result<Vec<(String, String)>> {
    let conn = rusqlite::Connection::open(database)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    let old: bool =
        conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'consensus_artifacts')", [], |row| {
            row.get(0)
        })?;
    let from = if old { "consensus_artifacts" } else { "consensus_runs WHERE synthesis_json IS NULL" };
    let mut select = conn.prepare(&format!("SELECT spec_id, stage FROM {from} GROUP BY 1, 2 ORDER BY 1, 2"))?;
    let all: rusqlite::Result<Vec<_>> = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect();
    Ok(all?.into_iter().step_by(7).collect())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

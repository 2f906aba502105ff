//! A backfill of 100,000 rows beside one INSERT…SELECT of the same rows, and how long it keeps a writer waiting.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cutover_steps_sqlite as _;
use cutover_tests::Fixture;
use rusqlite::Connection;

use crate::{Asked, Result, median};

const ROWS: u32 = 100_000;

const TABLES: &str = "
CREATE TABLE old (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, stage TEXT NOT NULL, agent TEXT NOT NULL,
  content TEXT NOT NULL, created_at TEXT);
CREATE TABLE new (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, stage TEXT NOT NULL, agent TEXT NOT NULL,
  content TEXT NOT NULL, at INTEGER);
CREATE INDEX new_spec ON new (spec, stage);";

const SELECT: &str = "SELECT id, spec, stage, agent, content, \
    CAST(strftime('%s', created_at) AS INTEGER) * 1000 AS at FROM old";

/// Prints the table of this part.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    let path = asked.place.join("main.db");
    println!("| journal | synchronous | one INSERT…SELECT, s | backfill, s | rate ÷ one | lock hold p50, ms | p99 | longest |");
    println!("|---|---|---|---|---|---|---|---|");
    for journal in ["wal", "delete"] {
        let (mut ones, mut fills, mut holds) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..asked.rounds {
            database(&path, journal)?;
            ones.push(one(&path)?);
            database(&path, journal)?;
            fills.push(fill(&asked.place)?);
        }
        database(&path, journal)?;
        let watched = Watch::begin(&path)?;
        fill(&asked.place)?;
        holds.extend(watched.end()?);
        holds.sort_by(f64::total_cmp);
        let at = |p: f64| holds.get(((holds.len() as f64 - 1.0) * p) as usize).copied().unwrap_or(f64::NAN);
        let ratio: Vec<f64> = ones.iter().zip(&fills).map(|(one, fill)| one / fill).collect();
        println!(
            "| {journal} | full | {:.3} | {:.3} | {:.2} | {:.1} | {:.1} | {:.1} |",
            median(&ones), median(&fills), median(&ratio), at(0.5), at(0.99), at(1.0)
        );
    }
    Ok(())
}

fn database(path: &Path, journal: &str) -> Result<()> {
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    let conn = Connection::open(path)?;
    conn.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |_| Ok(()))?;
    conn.execute_batch(TABLES)?;
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO old SELECT i, 'SPEC-' || (i % 200), 'stage-' || (i % 6), 'agent-' || (i % 4),
           substr(hex(randomblob(80)), 1, 140), '2025-11-13 10:00:00' FROM n",
        [ROWS],
    )?;
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").ok();
    Ok(())
}

fn one(path: &Path) -> Result<f64> {
    let conn = Connection::open(path)?;
    let began = Instant::now();
    conn.execute_batch(&format!("BEGIN IMMEDIATE; INSERT INTO new {SELECT}; COMMIT"))?;
    Ok(began.elapsed().as_secs_f64())
}

fn fill(root: &Path) -> Result<f64> {
    let more = std::env::var("DUAL_MORE").unwrap_or_default();
    let fixture = Fixture::new(format!(
        "name = \"b\"\n[targets.main]\nkind = \"sqlite\"\npath = \"main.db\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
         [[phase.step]]\nid = \"it\"\nuse = \"sqlite.backfill\"\ntarget = \"main\"\n\
         with = {{ into = \"new\", key = \"id\", key-stored = true, rows = \"{SELECT}\"{more} }}\n"
    ));
    let bench = fixture.open(root);
    let began = Instant::now();
    bench.apply("it")?;
    let seconds = began.elapsed().as_secs_f64();
    bench.close()?;
    Ok(seconds)
}

/// A writer beside, that wants the lock all the time: how long it waited, each time, in milliseconds.
#[derive(Debug)]
struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<rusqlite::Result<Vec<f64>>>,
}

impl Watch {
    fn begin(path: &Path) -> Result<Self> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(Duration::ZERO)?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut waits = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                let began = Instant::now();
                let mut waited = false;
                while conn.execute_batch("BEGIN IMMEDIATE").is_err() {
                    waited = true;
                    std::thread::sleep(Duration::from_micros(200));
                }
                let wait = began.elapsed();
                conn.execute_batch("ROLLBACK")?;
                if waited {
                    waits.push(wait.as_secs_f64() * 1e3);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(waits)
        });
        Ok(Self { stop, thread })
    }

    fn end(self) -> Result<Vec<f64>> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "the writer beside panicked")??)
    }
}

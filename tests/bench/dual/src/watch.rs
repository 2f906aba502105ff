//! A writer beside what is measured: another process, as an application is.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Result;

/// The hidden word by which this program is that writer.
pub(crate) const WORD: &str = "watch-beside";

/// A writer beside, that wants the lock again and again: how long it waited, each time that it had to, in milliseconds.
#[derive(Debug)]
pub(crate) struct Watch(Child);

impl Watch {
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(WORD).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut ready = [0];
        child.stdout.as_mut().ok_or("no output")?.read_exact(&mut ready)?;
        Ok(Self(child))
    }

    pub(crate) fn end(mut self) -> Result<Vec<f64>> {
        drop(self.0.stdin.take());
        let mut text = String::new();
        self.0.stdout.take().ok_or("no output")?.read_to_string(&mut text)?;
        if !self.0.wait()?.success() {
            return Err("the writer beside failed".into());
        }
        text.split_whitespace().map(|wait| Ok(wait.parse()?)).collect()
    }
}

/// Is that writer until standard input ends; then prints its waits.
pub(crate) fn run(path: &Path) -> Result<()> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::ZERO)?;
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    // Reading is what connects it.
    conn.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    std::thread::spawn(move || {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        stop.store(true, Ordering::Relaxed);
    });
    println!();
    std::io::stdout().flush()?;
    let mut waits = Vec::new();
    while !seen.load(Ordering::Relaxed) {
        let began = Instant::now();
        let mut waited = false;
        while conn.execute_batch("BEGIN IMMEDIATE").is_err() {
            waited = true;
            std::thread::sleep(Duration::from_micros(200));
        }
        let wait = began.elapsed();
        // A program that has the lock writes: only that tells the others that it is there. With a DELETE journal readers
        // may be in the way of the commit, too.
        let written = conn.execute_batch("UPDATE artifacts SET agent_name = agent_name WHERE id = 1; COMMIT");
        written.or_else(|_| conn.execute_batch("ROLLBACK"))?;
        if waited {
            waits.push(wait.as_secs_f64() * 1e3);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    waits.iter().for_each(|wait| println!("{wait}"));
    Ok(())
}

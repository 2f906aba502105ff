//! A writer beside what is measured.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Result;

/// A writer beside, that wants the lock again and again: how long it waited, each time that it had to, in milliseconds.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<rusqlite::Result<Vec<f64>>>,
}

impl Watch {
    pub(crate) fn begin(path: &Path) -> Result<Self> {
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
                // With a DELETE journal readers may be in the way of a commit, too; nothing was written.
                conn.execute_batch("COMMIT").or_else(|_| conn.execute_batch("ROLLBACK"))?;
                if waited {
                    waits.push(wait.as_secs_f64() * 1e3);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(waits)
        });
        Ok(Self { stop, thread })
    }

    pub(crate) fn end(self) -> Result<Vec<f64>> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "the writer beside panicked")??)
    }
}

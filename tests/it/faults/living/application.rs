//! A program of somebody else that lives on the database while it is migrated: Python's sqlite3, written beside this.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::system::System;

const PROGRAM: &str = include_str!("application.py");

/// How long it may take to get on with its work before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// The running program.
#[derive(Debug)]
pub(super) struct Application {
    child: Option<Child>,
    log: PathBuf,
    stop: PathBuf,
}

/// What it saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) reads: BTreeMap<String, u64>,
    pub(super) busy: u64,
    pub(super) stall: Duration,
    /// Errors that are not "busy", and states that are neither the one nor the other.
    pub(super) wrong: Vec<String>,
    /// The ids of the rows that it committed.
    pub(super) committed: Vec<u64>,
}

impl Application {
    pub(super) fn start(system: &System) -> Self {
        let (log, stop) = (system.file("committed"), system.file("stop"));
        let child = Command::new("python3")
            .args(["-c", PROGRAM])
            .args([&system.db(), &log, &stop])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 is one of the tools");
        Self { child: Some(child), log, stop }
    }

    fn committed(&self) -> Vec<u64> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Waits until it has committed some more rows.
    pub(super) fn gets_on(&mut self) -> Result<(), String> {
        let (had, until) = (self.committed().len(), Instant::now() + PATIENCE);
        while self.committed().len() < had + 5 {
            if Instant::now() > until || self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                let seen = self.end()?;
                return Err(format!("the application came to a standstill: {seen:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Asks it to end, and what it saw.
    pub(super) fn end(&mut self) -> Result<Seen, String> {
        fs::write(&self.stop, "").unwrap();
        let ended = self.child.take().unwrap().wait_with_output().unwrap();
        let told: Value = serde_json::from_slice(&ended.stdout)
            .map_err(|_| format!("the application died: {}", String::from_utf8_lossy(&ended.stderr)))?;
        let lines = |key: &str| told[key].as_array().unwrap().iter().map(|l| format!("{key}: {l}")).collect();
        let wrong: [Vec<String>; 2] = [lines("errors"), lines("mixtures")];
        Ok(Seen {
            reads: serde_json::from_value(told["reads"].clone()).unwrap(),
            busy: told["busy"].as_u64().unwrap(),
            stall: Duration::from_secs_f64(told["stall"].as_f64().unwrap()),
            wrong: wrong.concat(),
            committed: self.committed(),
        })
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _ = self.end();
        }
    }
}

//! Thought engines of every shape, each with its memory in place, and the program that lives on it.
//!
//! Owns how one is built, run on and counted. What is counted comes from the program itself, as a Badger backup.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use cutover_demo::memory::program::Entry;
use cutover_demo::memory::{self, Counted, SEED};
use cutover_steps_kv::Record;
use cutover_tests::{BadgerPeer, Ran, run};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::system::{cutover, on};

/// A system with its plan.
#[derive(Debug)]
pub(super) struct Memory {
    folder: TempDir,
}

impl Memory {
    /// Over Badger, where it is there: without it the test says so and is to end, but where `CI` is set it fails.
    #[track_caller]
    pub(super) fn over_badger() -> Option<Self> {
        let peer = BadgerPeer::find()?;
        let badger = fs::canonicalize(peer.command(&[]).get_program()).unwrap();
        Some(Self::build("badger", |command| command.env("CUTOVER_BADGER", badger)))
    }

    /// Over the program that stands for Badger.
    pub(super) fn over_stand_in() -> Self {
        Self::build("stand-in", |command| command)
    }

    fn build(shape: &str, more: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let memory = Self { folder: tempfile::tempdir().unwrap() };
        let mut command = cutover();
        command.args(["demo", "thought-engine-v2"]).arg(memory.folder.path()).args(["--build-only", "--shape", shape]);
        run(more(&mut command)).expect_code(0);
        memory
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("system")
    }

    pub(super) fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut command = on(&self.folder.path().join("plan/plan.toml"), &self.root(), command, more);
        // Whoever tests beside it takes from its pace, too.
        command.args(["--yes", "--var", "slower=90%", "--var", "slower_meanwhile=99%"]);
        command
    }

    pub(super) fn cutover(&self, command: &str, more: &[&str]) -> Ran {
        run(&mut self.command(command, more))
    }

    /// `sh bin/memory WORDS`, as its operator would.
    pub(super) fn say(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg("bin/memory").args(words).current_dir(self.root());
        command
    }

    pub(super) fn start(&self, generation: &str) {
        run(&mut self.say(&[generation, "start"])).expect_code(0);
        self.wait_for_writes();
    }

    /// Until the program has written some more.
    pub(super) fn wait_for_writes(&self) {
        let before = self.written();
        while self.written() < before + 50 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Whether that program runs.
    pub(super) fn runs(&self, generation: &str) -> bool {
        run(&mut self.say(&[generation, "status"])).code == Some(0)
    }

    /// How many transactions the program has committed.
    pub(super) fn written(&self) -> usize {
        // Whoever writes may be in the middle of a line.
        fs::read_to_string(self.root().join("run/written.jsonl")).map_or(0, |text| text.matches('\n').count())
    }

    /// What a generation has, which is stopped for it.
    pub(super) fn records(&self, generation: &str) -> Vec<Record> {
        run(&mut self.say(&[generation, "stop"])).expect_code(0);
        let backup = self.say(&[generation, "backup", "0"]).output().unwrap();
        assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
        memory::read(&backup.stdout).unwrap()
    }

    /// Nothing is lost and nothing is there twice in what a generation has.
    #[track_caller]
    pub(super) fn assert_whole(&self, generation: &str) {
        let mut found = self.records(generation);
        let made = memory::records(SEED, 10_000);
        if generation == "v2" {
            as_v1_had_it(&mut found, &made);
        }
        let log = Entry::read(&self.root().join("run/written.jsonl")).unwrap();
        let counted = Counted::of(&made, &log, found);
        let first = |names: &[String]| names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        assert!(counted.lost.is_empty(), "{generation} lost {}: {}", counted.lost.len(), first(&counted.lost));
        assert!(counted.more.is_empty(), "{generation} has {} more: {}", counted.more.len(), first(&counted.more));
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for generation in ["v1", "v2"] {
            let _ = self.say(&[generation, "stop"]).output();
        }
    }
}

/// What the steps made of the memory for the next version is there, and nothing else is another than it was.
#[track_caller]
fn as_v1_had_it(found: &mut [Record], made: &[Record]) {
    // What the next version left half done stands beside its own.
    let half_done = |record: &Record| record.key.starts_with(b"half-done:");
    assert_eq!(found.iter().filter(|record| half_done(record)).count(), 132);
    let value = |record: &Record| -> Value { serde_json::from_slice(&record.value).unwrap_or_default() };
    let above = |record: &Record| value(record)["intensity"].as_f64().is_some_and(|felt| felt > 1.0);
    let (mut made, mut bounded) = (made.iter().filter(|record| above(record)), 0);
    for record in found {
        let own = [&b"patterns:"[..], b"learning:"].iter().any(|prefix| record.key.starts_with(prefix));
        assert!(!own && !above(record), "{}", record.key.escape_ascii());
        if half_done(record) {
            record.key.drain(.."half-done:".len());
        }
        let mut now = value(record);
        let Some(felt) = now.as_object_mut().and_then(|now| now.remove("intensity_felt")) else { continue };
        assert_eq!(now["intensity"], json!(1));
        now["intensity"] = felt;
        // Every digit of it: nanoseconds are more than a double holds.
        let before = made.next().unwrap();
        assert_eq!((now, &record.key), (value(before), &before.key));
        record.value.clone_from(&before.value);
        bounded += 1;
    }
    assert!(bounded > 20 && made.next().is_none(), "{bounded} intensities, and not all");
}

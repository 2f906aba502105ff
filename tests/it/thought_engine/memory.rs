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
        command.arg("--yes");
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
        let found = self.records(generation);
        let log = Entry::read(&self.root().join("run/written.jsonl")).unwrap();
        let counted = Counted::of(&memory::records(SEED, 10_000), &log, found);
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

//! Consensus databases, each with a copy of the plan: those of the plan's demo, and small ones.

use std::fs;
use std::path::PathBuf;

use cutover_demo::consensus::{NewArtifact, NewStore, NewSynthesis, OldStore, Schema, rows};
use cutover_runner::demo;
use cutover_tests::{Ran, run, sqlite3};
use tempfile::TempDir;

use crate::system::on;

const PLAN: &str = "consensus-read-path";

/// The phases at whose end the application is at another stage, in their order.
pub(super) const PHASES: [&str; 5] = ["expand", "backfill", "prefer-new", "new-only", "contract"];

/// A consensus database in a root of its own.
#[derive(Debug)]
pub(super) struct Consensus {
    folder: TempDir,
}

impl Consensus {
    /// One of the plan's demo shapes.
    pub(super) fn of(shape: &str) -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        demo::build(PLAN, shape, &this.root()).unwrap_or_else(|e| panic!("cannot build shape {shape}: {e}"));
        demo::write_plan(PLAN, &this.plan()).unwrap_or_else(|e| panic!("cannot write the plan: {e}"));
        this
    }

    /// The tables of shape (a) without a row.
    pub(super) fn empty() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let plan = demo::write_plan(PLAN, &this.plan()).unwrap_or_else(|e| panic!("cannot write the plan: {e}"));
        assert!(plan.exists());
        fs::create_dir_all(this.root().join(".code")).unwrap();
        let script = include_str!("../../../plans/consensus-read-path/demo/common/.code/consensus_artifacts.db.sql");
        // sqlite3 takes an argument that begins with a dash for an option.
        let tables = script.split_once("BEGIN;").unwrap().0.split_once("PRAGMA").unwrap().1;
        sqlite3(this.database(), format!("PRAGMA{tables}"));
        this
    }

    /// One without a row, at the end of that phase.
    pub(super) fn at(phase: &str) -> Self {
        let this = Self::empty();
        this.apply_to(phase);
        this
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("system")
    }

    pub(super) fn plan(&self) -> PathBuf {
        self.folder.path().join("plan")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.root().join(".code/consensus_artifacts.db")
    }

    /// Runs `cutover COMMAND PLAN ...` on it.
    pub(super) fn cutover(&self, command: &str, more: &[&str]) -> Ran {
        run(on(&self.plan(), &self.root(), command, more).arg("--yes"))
    }

    pub(super) fn apply_to(&self, phase: &str) -> String {
        self.cutover("apply", &["--to", phase]).expect_code(0).stdout
    }

    /// What the `sqlite3` command prints.
    pub(super) fn ask(&self, sql: &str) -> String {
        sqlite3(self.database(), sql).trim_end().to_owned()
    }

    /// All artifacts and syntheses as one of the schemas has them.
    pub(super) fn rows(&self, schema: Schema) -> Option<Vec<String>> {
        rows(&self.database(), schema).unwrap()
    }

    /// Everything that the old tables hold, as SQL.
    pub(super) fn old_content(&self) -> Vec<String> {
        let dump = self.ask(
            "SELECT * FROM consensus_artifacts ORDER BY id; SELECT * FROM consensus_synthesis ORDER BY id; \
             SELECT * FROM agent_executions ORDER BY agent_id; \
             SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '%cutover%' ORDER BY name;",
        );
        dump.lines().map(str::to_owned).collect()
    }

    pub(super) fn old_program(&self) -> OldStore {
        OldStore::open(&self.database()).unwrap()
    }

    pub(super) fn new_program(&self) -> NewStore {
        NewStore::open(&self.database()).unwrap()
    }
}

/// An artifact of `agent`.
pub(super) fn artifact<'a>(spec: &'a str, stage: &'a str, agent: &'a str, content: &'a str) -> NewArtifact<'a> {
    NewArtifact { spec, stage, agent, content, response: Some("the whole answer"), run: Some("run-1") }
}

/// A synthesis of that text.
pub(super) fn synthesis<'a>(spec: &'a str, stage: &'a str, markdown: &'a str) -> NewSynthesis<'a> {
    NewSynthesis {
        spec,
        stage,
        markdown,
        path: Some("evidence/plan.md"),
        status: "ok",
        artifacts: 3,
        agreements: Some("[\"all\"]"),
        conflicts: None,
        degraded: false,
    }
}

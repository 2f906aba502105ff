//! A step crate from outside: generated, built, tested and run as CONTRIBUTING.md says.
//!
//! It lies in the target folder, always at the same place, and shares that folder, the lock file and the profile, so
//! that cargo builds no dependency again. The outer cargo has let go of its locks when tests run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cutover_tests::{Ran, Tree, run};

use crate::system::cutover;

struct Generated {
    folder: PathBuf,
}

impl Generated {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("step-crate");
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap_or_else(|e| panic!("cannot clear {}: {e}", folder.display()));
        }
        run(cutover().args(["new", "step-crate", "acme-steps"]).arg(&folder)).expect_code(0);
        Self { folder }
    }

    fn cargo(&self, args: &[&str]) -> Ran {
        cargo(&self.folder, args, &[])
    }

    /// The generated crate's own runner, on its own plan.
    fn cutover(&self, command: &str) -> Ran {
        let plan = Path::new("plans/hello/plan.toml");
        cargo(&self.folder, &["run", "--", command, "--root", "demo", "--yes"], &[plan])
    }
}

fn cargo(folder: &Path, args: &[&str], paths: &[&Path]) -> Ran {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).args(["--offline", "--quiet"]).args(args).args(paths);
    run(command.env("CARGO_TARGET_DIR", parent(env!("CARGO_TARGET_TMPDIR"))).env("CARGO_TERM_COLOR", "never"))
}

fn parent(path: &str) -> &Path {
    Path::new(path).parent().unwrap_or_else(|| panic!("{path} has no folder above it"))
}

#[test]
fn a_step_crate_from_outside_is_generated_tested_and_runs_its_plan() {
    let generated = Generated::new();
    let tested = generated.cargo(&["test"]).expect_code(0);
    assert!(tested.stdout.contains("test result: ok. 3 passed"), "{}", tested.stdout);

    let kinds = generated.cargo(&["run", "--", "steps"]).expect_code(0).stdout;
    for kind in ["acme-steps.touch", "sqlite.script"] {
        assert!(kinds.contains(kind), "`{kind}` is not linked in:\n{kinds}");
    }

    let demo = generated.folder.join("demo");
    fs::create_dir(&demo).unwrap();
    let before = Tree::of(&demo);
    let planned = generated.cutover("plan").expect_code(0).stdout;
    assert!(planned.contains("say-hello [acme-steps.touch]") && planned.contains("+ file hello.txt"), "{planned}");
    before.assert_same(&Tree::of(&demo), "after plan");

    generated.cutover("apply").expect_code(0);
    assert_eq!(fs::read_to_string(demo.join("hello.txt")).unwrap(), "hello\n");
    generated.cutover("verify").expect_code(0);
    let again = Tree::of(&demo);
    generated.cutover("apply").expect_code(0);
    again.assert_same(&Tree::of(&demo), "after a second apply");

    generated.cutover("rollback").expect_code(0);
    assert!(!demo.join("hello.txt").exists(), "hello.txt is there after the rollback");
}

//! What a command may do, and how it is undone.

use std::fs;

use cutover_core::{Applied, Effects, Reversal, Standing, Verdict};
use cutover_tests::Fixture;

use crate::testing::{app, command};

#[test]
fn a_test_suite_changes_nothing_and_its_failure_shows_the_end_of_its_output() {
    let dir = tempfile::tempdir().unwrap();
    app(dir.path());
    let with = r#"apply = ["sh", "-c", "echo one; echo 'token ${env.TOKEN}' >&2; exit 3"]
changes = false
reads = ["one"]"#;
    let bench = Fixture::new(command(with)).env("TOKEN", "hunter2").open(dir.path());
    let step = &bench.step("run").step;
    assert_eq!((step.reversal(), step.effects()), (Reversal::Inverse, Effects::Contained));
    let error = bench.apply("run").unwrap_err();
    let text = format!("{error}\n{}", error.help().unwrap());
    insta::assert_snapshot!(text, @r"
    `sh -c echo one; echo 'token ***' >&2; exit 3` ended with status 3
      one
      token ***
    its whole output is in `.cutover/steps/p/run/output-1.log`
    ");
    let log = fs::read_to_string(dir.path().join(".cutover/steps/p/run/output-1.log")).unwrap();
    assert!(log.contains("token ***") && !log.contains("hunter2"));
    assert!(matches!(bench.verify("run").unwrap(), Verdict::Broken(_)));
    bench.rollback("run", None).unwrap();
}

#[test]
fn a_crash_after_the_command_is_settled_by_its_verify_and_not_by_running_it_twice() {
    let dir = tempfile::tempdir().unwrap();
    app(dir.path());
    let with = r#"apply = ["sh", "-c", "echo x >> count"]
verify = ["test", "-s", "count"]
rollback = ["rm", "-f", "count"]"#;
    let fixture = Fixture::new(command(with));
    let bench = fixture.open(dir.path());
    bench.apply("run").unwrap();
    // The record of success is lost, as by a crash right after the command.
    let record = dir.path().join(".cutover/steps/p/run/command.json");
    fs::write(&record, fs::read_to_string(&record).unwrap().replace("applied", "started")).unwrap();
    assert!(matches!(bench.apply("run").unwrap(), Applied::AlreadyApplied(_)));
    assert_eq!(fs::read_to_string(dir.path().join("count")).unwrap(), "x\n");
    // Undone, and then wanted again: it runs.
    let receipt = bench.host().receipt("run");
    bench.rollback("run", receipt.as_ref()).unwrap();
    assert!(matches!(bench.apply("run").unwrap(), Applied::Changed(_)));
    assert_eq!(fs::read_to_string(dir.path().join("count")).unwrap(), "x\n");
}

#[test]
fn a_copy_that_a_crash_left_is_removed_and_none_outlives_the_command() {
    let dir = tempfile::tempdir().unwrap();
    app(dir.path());
    let with = r#"apply = ["sh", "-c", "test -f .cutover/steps/p/run/before/one/copy && echo x >> count"]
verify = ["test", "-s", "count"]
restore = "one""#;
    let bench = Fixture::new(command(with)).open(dir.path());
    let copies = dir.path().join(".cutover/steps/p/run/before");
    fs::create_dir_all(copies.join("one")).unwrap();
    fs::write(copies.join("one/old"), "of a try that was killed").unwrap();
    bench.apply("run").unwrap();
    assert!(!copies.exists());

    fs::create_dir_all(&copies).unwrap();
    let record = dir.path().join(".cutover/steps/p/run/command.json");
    fs::write(&record, fs::read_to_string(&record).unwrap().replace("applied", "started")).unwrap();
    assert!(matches!(bench.apply("run").unwrap(), Applied::AlreadyApplied(_)));
    assert!(!copies.exists());
}

#[test]
fn a_failed_rollback_says_so_and_may_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    app(dir.path());
    let with = r#"apply = ["touch", "mark"]
rollback = ["rm", "mark"]"#;
    let bench = Fixture::new(command(with)).open(dir.path());
    let Applied::Changed(receipt) = bench.apply("run").unwrap() else { panic!("not run") };
    fs::rename(dir.path().join("mark"), dir.path().join("hidden")).unwrap();
    assert!(bench.rollback("run", Some(&receipt)).unwrap_err().to_string().contains("`rm mark` ended with status 1"));
    fs::rename(dir.path().join("hidden"), dir.path().join("mark")).unwrap();
    bench.rollback("run", Some(&receipt)).unwrap();
    assert!(!dir.path().join("mark").exists());
    // `rm` would fail now: what is undone is not undone again.
    bench.rollback("run", Some(&receipt)).unwrap();
}

#[test]
fn a_missing_program_and_a_folder_outside_are_told_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    app(dir.path());
    let bench = Fixture::new(command("apply = [\"no-such-program\"]\nchanges = false")).open(dir.path());
    assert!(matches!(bench.inspect("run").unwrap(), Standing::Conflict(why) if why.contains("`no-such-program`")));
    assert!(bench.apply("run").unwrap_err().to_string().contains("is not there"));

    std::os::unix::fs::symlink("/tmp", dir.path().join("out")).unwrap();
    let bench = Fixture::new(command("apply = [\"true\"]\nchanges = false\ncwd = \"out\"")).open(dir.path());
    assert!(bench.apply("run").unwrap_err().to_string().contains("leaves the folder"));
}

#[test]
fn what_cannot_be_meant_is_refused_at_compile() {
    for (with, part) in [
        ("apply = []", "an empty command"),
        ("apply = [\"true\"]\ntimeout = \"soon\"", "`soon` is no duration"),
        ("apply = [\"true\"]\nchanges = false\nrollback = [\"true\"]", "nothing to write or to undo"),
        ("apply = [\"true\"]\nrestore = \"two\"", "no target `two`"),
        ("apply = [\"true\"]\nrollback = [\"true\"]\nrestore = \"one\"", "both `restore` and `rollback`"),
        ("apply = [\"true\"]\nrollback = [\"true\"]\ncwd = \"../x\"", "not inside the root"),
        ("apply = [\"true\"]", "cannot be undone"),
    ] {
        let errors = Fixture::new(command(with)).try_compile().unwrap_err().to_string();
        assert!(errors.contains(part), "{with}: {errors}");
    }
}

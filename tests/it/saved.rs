//! Saved plans: what was reviewed is what runs, or nothing does.

use std::fs;

use cutover_tests::run;

use crate::system::{System, cutover, scripts};

fn saved(exact: bool) -> System {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);", "");
    scripts(&system, 3, 1, "");
    let out = system.file("saved.json").display().to_string();
    let mut args = vec!["--out", out.as_str()];
    args.extend(exact.then_some("--exact"));
    let shown = system.cutover("plan", &args).expect_code(0).stdout;
    assert!(shown.contains("saved: cutover apply"), "{shown}");
    system
}

fn apply(system: &System, args: &[&str]) -> cutover_tests::Ran {
    run(cutover().arg("apply").arg(system.file("saved.json")).args(args))
}

#[test]
fn a_saved_plan_runs_as_it_was_shown_and_again_there_is_nothing_to_do() {
    let system = saved(false);
    let text = fs::read_to_string(system.file("saved.json")).unwrap();
    assert!(text.contains("\"plan-file\": \"plan.toml\"") && !text.contains(&system.root().display().to_string()));
    apply(&system, &[]).expect_code(0);
    assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "s0 s1 s2");
    assert!(apply(&system, &[]).expect_code(0).stdout.contains("nothing to do"));
}

#[test]
fn what_moved_since_it_was_saved_is_named_and_nothing_runs() {
    let refused = |system: &System, named: &str| {
        let ran = apply(system, &[]).expect_code(102);
        assert!(ran.stderr.contains(named) && ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
        assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name = 't1'"), "0");
    };
    let system = saved(false);
    system.write("1.sql", "CREATE TABLE t1 (a TEXT, b TEXT);");
    refused(&system, "step `s1` changed");

    let system = saved(false);
    system.ask("CREATE INDEX by_note ON orders(note)");
    refused(&system, "app: index by_note is new");

    let system = saved(false);
    system.cutover("apply", &["--to", "s0"]).expect_code(0);
    refused(&system, "app: the ledger has step `s0` now");

    // Rows are bound only when that was asked for.
    let system = saved(true);
    system.ask("INSERT INTO orders VALUES (1, 'late')");
    refused(&system, "app: table orders: 0 entries then, 1 now");
    let system = saved(false);
    system.ask("INSERT INTO orders VALUES (1, 'late')");
    apply(&system, &[]).expect_code(0);
}

#[test]
fn a_killed_run_of_a_saved_plan_goes_on_by_the_same_command() {
    for n in 1..8 {
        let system = saved(false);
        let mut killed = cutover();
        let failpoint = format!("journal-append={n}*off->return");
        run(killed.arg("apply").arg(system.file("saved.json")).env("FAILPOINTS", failpoint));
        apply(&system, &[]).expect_code(0);
        assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "s0 s1 s2", "killed at {n}");
    }
}

#[test]
fn a_document_that_is_no_saved_plan_is_refused_and_variables_cannot_be_changed() {
    let system = saved(false);
    let refused = apply(&system, &["--var", "a=1"]).expect_code(2).stderr;
    assert!(refused.contains("`--var` cannot change them"), "{refused}");
    let text = fs::read_to_string(system.file("saved.json")).unwrap();
    for (from, to, said) in [
        ("\"version\": 1", "\"version\": 2", "has format version 2"),
        ("cutover saved plan", "something", "is a JSON document of something else"),
        ("\"binding\"", "\"bindings\"", "cannot be read: unknown field `bindings`"),
        ("{", "{,", "cannot be read"),
    ] {
        system.write("saved.json", &text.replacen(from, to, 1));
        let refused = apply(&system, &[]).expect_code(65).stderr;
        assert!(refused.contains(said) && refused.contains("help: "), "{refused}");
    }
}

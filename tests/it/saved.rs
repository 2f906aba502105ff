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

#[test]
fn a_saved_plan_is_never_written_over_what_is_not_one() {
    let system = saved(false);
    system.ask("PRAGMA journal_mode = wal; INSERT INTO orders VALUES (1, 'here')");
    system.write("notes.txt", "mine");
    system.write("other.json", "{\"a\": 1}");
    let refused = |path: &std::path::Path, named: &str| {
        let before = fs::read(path).ok();
        let ran = system.cutover("plan", &["--out", path.to_str().unwrap()]).expect_code(2);
        assert!(ran.stderr.contains(named) && ran.stderr.contains("help: "), "{named}: {}", ran.stderr);
        assert_eq!(fs::read(path).ok(), before, "{}", path.display());
    };
    refused(&system.db(), "belongs to target `app`");
    refused(&system.root().join("app.db-wal"), "belongs to target `app`");
    refused(&system.file("plan.toml"), "is a file of the plan");
    refused(&system.file("1.sql"), "is a file of the plan");
    refused(&system.root().join(".cutover/journal.db"), "lies in the state folder");
    refused(&system.file("notes.txt"), "is there already, and is no saved plan");
    refused(&system.file("other.json"), "is there already, and is no saved plan");
    refused(&system.root(), "is there already, and is no saved plan");
    let link = system.file("link.json");
    std::os::unix::fs::symlink(system.db(), &link).unwrap();
    refused(&link, "belongs to target `app`");
    // A target that is not there yet keeps its place.
    fs::remove_file(system.root().join("app.db-wal")).ok();
    let free = system.root().join("app.db-journal");
    refused(&free, "belongs to target `app`");
    // Of this plan it is written anew; of another one it is not.
    let out = system.file("saved.json").display().to_string();
    system.cutover("plan", &["--out", &out]).expect_code(0);
    let text = fs::read_to_string(system.file("plan.toml")).unwrap();
    system.write("plan.toml", &text.replace("name = \"scripts\"", "name = \"others\""));
    refused(&system.file("saved.json"), "is a saved plan of `scripts`");
}

#[test]
fn a_saved_plan_and_a_rehearsal_are_bound_to_all_that_decides_what_runs() {
    let edits = [
        ("path = \"app.db\"", "path = \"o.db\"", "target `app`: its place was `app.db`, and is `o.db`"),
        (
            "path = \"app.db\"",
            "path = \"app.db\"\nledger = \"mine\"",
            "target `app`: its ledger was the default one, and is `mine`",
        ),
        (
            "name = \"scripts\"",
            "name = \"scripts\"\non-failure = \"pause\"",
            "on-failure was rollback-phase, and is pause",
        ),
        ("name = \"p1\"", "name = \"q1\"", "the plan's phases, the order of its steps or what they need changed"),
        ("use = \"sqlite.script\"", "use = \"sqlite.script\"\natomic = false", "step `s0` changed"),
    ];
    for (from, to, named) in edits {
        let system = saved(false);
        system.cutover("rehearse", &[]).expect_code(0);
        fs::copy(system.db(), system.root().join("o.db")).unwrap();
        let text = fs::read_to_string(system.file("plan.toml")).unwrap();
        system.write("plan.toml", &text.replacen(from, to, 1));
        let ran = apply(&system, &[]).expect_code(102);
        assert!(ran.stderr.contains(named) && ran.stderr.contains("nothing was changed"), "{named}: {}", ran.stderr);
        let ran = system.cutover("apply", &["--require-rehearsal"]).expect_code(102);
        assert!(ran.stderr.contains(named) && ran.stderr.contains("nothing was changed"), "{named}: {}", ran.stderr);
        assert_eq!(
            cutover_tests::sqlite3(system.root().join("o.db"), "SELECT count(*) FROM sqlite_master").trim(),
            "1"
        );
    }
}

#[test]
fn a_saved_plan_runs_only_where_it_was_saved_for() {
    let system = saved(false);
    fs::copy(system.db(), system.root().join("o.db")).unwrap();
    let other = format!("app={}", system.root().join("o.db").display());
    let ran = apply(&system, &["--bind", &other]).expect_code(102).stderr;
    assert!(ran.contains("target `app`: its place was `app.db`, and is `o.db`"), "{ran}");
    let root = system.root().parent().unwrap().join("twin");
    fs::create_dir(&root).unwrap();
    fs::copy(system.db(), root.join("app.db")).unwrap();
    let ran = apply(&system, &["--root", root.to_str().unwrap()]).expect_code(102).stderr;
    assert!(ran.contains("the root was `../root`, and is `../twin`"), "{ran}");
    // Said again it is the same.
    let same = format!("app={}", system.db().display());
    apply(&system, &["--bind", &same, "--root", system.root().to_str().unwrap()]).expect_code(0);
}

#[test]
fn what_is_edited_while_a_bound_run_is_unfinished_does_not_run() {
    let broken = |system: &System| {
        let text = fs::read_to_string(system.file("plan.toml")).unwrap();
        system.write("plan.toml", &text.replace("name = \"scripts\"", "name = \"scripts\"\non-failure = \"pause\""));
    };
    let refused = |ran: cutover_tests::Ran, system: &System| {
        let said = ran.expect_code(102).stderr;
        assert!(said.contains("step `s2` changed") && said.contains("undo the edit"), "{said}");
        assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger WHERE success"), "s0 s1");
    };
    for rehearsed in [false, true] {
        let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);", "");
        scripts(&system, 3, 1, "");
        broken(&system);
        let out = system.file("saved.json").display().to_string();
        system.cutover("plan", &["--out", &out]).expect_code(0);
        system.cutover("rehearse", &[]).expect_code(0);
        let again = || match rehearsed {
            true => system.cutover("apply", &["--require-rehearsal"]),
            false => apply(&system, &[]),
        };
        let mut stopped = match rehearsed {
            true => system.command("apply", &["--require-rehearsal"]),
            false => {
                let mut command = cutover();
                command.arg("apply").arg(system.file("saved.json"));
                command
            }
        };
        run(stopped.env("FAILPOINTS", "journal-append=4*off->return"));
        let text = fs::read_to_string(system.file("2.sql")).unwrap();
        system.write("2.sql", "CREATE TABLE t2 (a TEXT, never_seen TEXT);");
        refused(again(), &system);
        system.write("2.sql", &text);
        again().expect_code(0);
    }
}

#[test]
fn the_command_that_goes_on_with_a_saved_plan_is_the_saved_plan_s_own() {
    let system = saved(false);
    system.write("1.sql", "CREATE TABLE t1 (a); INSERT INTO gone VALUES (1);");
    let text = fs::read_to_string(system.file("plan.toml")).unwrap();
    system.write("plan.toml", &text.replace("name = \"scripts\"", "name = \"scripts\"\non-failure = \"pause\""));
    let out = system.file("saved.json").display().to_string();
    system.cutover("plan", &["--out", &out]).expect_code(0);
    let failed = apply(&system, &[]).expect_code(104);
    let next = format!("cutover apply {out}");
    assert!(failed.stdout.contains(&next) && !failed.stdout.contains("apply plan.toml"), "{}", failed.stdout);
    // Whichever way it is asked about, the answer keeps what was reviewed.
    for explained in [system.cutover("explain", &[]), run(cutover().arg("explain").arg(&out))] {
        assert!(explained.expect_code(0).stdout.contains(&next));
    }
    // The same of a rehearsal.
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);", "");
    scripts(&system, 3, 1, "");
    system.cutover("rehearse", &[]).expect_code(0);
    let mut killed = system.command("apply", &["--require-rehearsal"]);
    run(killed.env("FAILPOINTS", "journal-append=4*off->return"));
    let explained = system.cutover("explain", &[]).expect_code(0).stdout;
    assert!(explained.lines().any(|l| l.contains("cutover apply") && l.contains("--require-rehearsal")), "{explained}");
}

#[test]
fn every_command_takes_a_saved_plan_for_the_plan_that_it_names() {
    let system = saved(false);
    apply(&system, &[]).expect_code(0);
    for (command, args, said) in [
        ("verify", &[][..], "3 applied steps verified"),
        ("status", &[], "s2"),
        ("history", &[], "s2"),
        ("check", &[], "scripts: ok"),
        ("plan", &[], "3 applied"),
        ("explain", &[], "is applied"),
        ("rollback", &["--yes"], "s2"),
    ] {
        let ran = run(cutover().arg(command).arg(system.file("saved.json")).args(args)).expect_code(0);
        assert!(ran.stdout.contains(said), "{command}: {}", ran.stdout);
    }
    let ran = run(cutover().arg("verify").arg(system.file("saved.json")).args(["--var", "a=1"])).expect_code(2);
    assert!(ran.stderr.contains("`--var` cannot change them"), "{}", ran.stderr);
    assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "s0 s1");
}

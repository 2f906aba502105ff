//! Gates, approvals and windows, as a person meets them.

use std::fs;

use cutover_tests::Ran;

use crate::system::System;

const HEAD: &str = "name = \"p\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n";

fn phase(name: &str) -> String {
    format!("[[phase]]\nname = \"{name}\"\nlayer = \"storage\"\n")
}

fn step(id: &str, rest: &str) -> String {
    format!("[[phase.step]]\nid = \"{id}\"\n{rest}\n")
}

/// Holds what a person sees to its snapshot, without times.
fn assert_seen(name: &str, system: &System, ran: &Ran) {
    let filters = [(r"20\d\d-\d\d-\d\dT[0-9:.]+Z", "TIME"), (r"\b[0-9.]+ m?s\b", "SECONDS")];
    insta::with_settings!({ filters => filters }, { insta::assert_snapshot!(name, system.seen(ran)) });
}

fn drops(more: &str) -> System {
    let plan = format!(
        "{HEAD}{}{}{}{}{more}",
        phase("tidy"),
        step("add", "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE b (x)\"] }"),
        step(
            "wipe",
            "use = \"sqlite.script\"\ntarget = \"app\"\nirreversible = \"nobody reads it\"\nwith = { up = \"wipe.sql\", one-way = true }"
        ),
        step("more", "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE c (x)\"] }"),
    );
    let system = System::new("CREATE TABLE a (x); INSERT INTO a VALUES (1);", &plan);
    system.write("wipe.sql", "DELETE FROM a;");
    system
}

#[test]
fn what_cannot_be_undone_is_not_begun_before_a_person_approved_it() {
    let system = drops("");
    let asked = system.cutover("apply", &[]).expect_code(103);
    assert_seen("irreversible-asks", &system, &asked);
    assert_eq!(system.ask("SELECT count(*) FROM a"), "1");
    assert_seen("irreversible-status", &system, &system.cutover("status", &[]).expect_code(0));
    let approved = system.cutover("approve", &["wipe", "--as", "ada", "--note", "the export was read"]).expect_code(0);
    assert!(approved.stdout.starts_with("approved: wipe, by ada on plan "), "{}", approved.stdout);

    // A plan that changed is not what they looked at.
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    system.write("plan.toml", &plan.replace("CREATE TABLE c (x)", "CREATE TABLE c (x, y)"));
    let void = system.cutover("apply", &[]).expect_code(103).stdout;
    assert!(void.contains("is void: the plan has changed since"), "{void}");
    system.write("plan.toml", &plan);
    system.cutover("apply", &[]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM a"), "0");
    let late = system.cutover("approve", &["wipe", "--as", "ada", "--note", "x"]).expect_code(2).stderr;
    assert!(late.contains("is applied: it asks for nothing any more"), "{late}");
    let history = system.cutover("history", &[]).expect_code(0).stdout;
    assert!(history.contains("by ada: the export was read"), "{history}");
}

#[test]
fn an_approval_may_come_first_and_a_rehearsal_asks_nobody() {
    let system = drops("");
    system.cutover("rehearse", &["--to", "add"]).expect_code(0);
    let refused = system.cutover("approve", &["add", "--as", "ada", "--note", "x"]).expect_code(2).stderr;
    assert!(refused.contains("step `add` asks for no approval") && refused.contains("these do: wipe"), "{refused}");
    let said = system.cutover("approve", &["--all", "--as", "ada", "--note", "x", "--format", "json"]).expect_code(0);
    assert!(said.stdout.contains("\"wipe\""), "{}", said.stdout);
    assert_eq!(
        system.cutover("approve", &["--all", "--as", "ada", "--note", "x"]).expect_code(0).stdout,
        "nothing was left to say\n"
    );
    system.cutover("apply", &[]).expect_code(0);
}

#[test]
fn a_gate_asks_and_a_rejection_is_a_failure() {
    let gate = step("go", "use = \"gate.approval\"\nwith = { ask = \"the report was looked at\" }");
    let plan = format!(
        "{HEAD}{}{}{}{}",
        phase("build"),
        step("add", "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE b (x)\"] }"),
        phase("go"),
        gate
    );
    let system = System::new("", &plan);
    let told = system.cutover("rehearse", &[]).expect_code(0).stdout;
    assert!(told.contains("will wait for a person: 1 step\n  go  the report was looked at\n"), "{told}");
    let asked = system.cutover("apply", &[]).expect_code(103);
    assert_seen("gate-asks", &system, &asked);
    assert_seen("gate-status", &system, &system.cutover("status", &[]).expect_code(0));
    system.cutover("approve", &["go", "--as", "bo", "--note", "p95 is up", "--reject"]).expect_code(0);
    let failed = system.cutover("apply", &[]).expect_code(100);
    assert!(failed.stdout.contains("rejected by bo at "), "{}", failed.stdout);
    // It was rolled back, and so is what was said of it.
    system.cutover("apply", &[]).expect_code(103);
    system.cutover("approve", &["go", "--as", "ada", "--note", "p95 is down again"]).expect_code(0);
    let passed = system.cutover("apply", &[]).expect_code(0);
    assert!(passed.stdout.contains("approved by ada at "), "{}", passed.stdout);
    system.cutover("verify", &[]).expect_code(0);
    system.cutover("rehearse", &[]).expect_code(0);
}

#[test]
fn a_gate_holds_the_next_phase_to_a_baseline_that_the_run_took() {
    let probe = "probe = { use = \"measure\", target = \"app\", query = \"SELECT count(*) FROM a\", unit = \"rows\" }";
    let plan = format!(
        "{HEAD}{}{}{}{}{}{}",
        phase("before"),
        step(
            "was",
            &format!(
                "use = \"gate.baseline\"\nwith.samples = 2\nwith.every = \"1ms\"\nwith.figures = [{{ what = \"rows\", {probe} }}]"
            )
        ),
        phase("change"),
        step("lose", "use = \"sqlite.script\"\ntarget = \"app\"\nwith = { up = \"lose.sql\", down = \"back.sql\" }"),
        phase("look"),
        step(
            "same",
            &format!(
                "use = \"gate.metric\"\nwith.what = \"rows\"\nwith.baseline = \"was\"\nwith.within = \"10%\"\nwith.{probe}"
            )
        ),
    );
    let system = System::new("CREATE TABLE a (x); INSERT INTO a VALUES (1), (2), (3);", &plan);
    system.write("lose.sql", "DELETE FROM a WHERE x = 3;");
    system.write("back.sql", "INSERT INTO a VALUES (3);");
    assert_seen("gate-plan", &system, &system.cutover("plan", &[]).expect_code(0));
    let broken = system.cutover("apply", &[]).expect_code(100);
    assert_seen("gate-broken", &system, &broken);
}

/// Two monitors of files: `failed`, and one that never breaks.
fn soaks(window: &str, every: &str, more: &str) -> System {
    let plan = format!(
        "{HEAD}{}{}{}{}{}",
        phase("switch"),
        step("add", "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE b (x)\"] }"),
        step("also", "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE c (x)\"] }"),
        phase("soak"),
        step(
            "quiet",
            &format!(
                "use = \"gate.soak\"\nwith.window = \"{window}\"\nwith.every = \"{every}\"\nwith.patience = \"1ms\"\n\
                 with.coverage = 20\nwith.monitors = [\n\
                 {{ what = \"failed\", probe = {{ use = \"file\", path = \"failed\", unit = \"%\" }}, max = 5, {more} }},\n\
                 {{ what = \"rows\", probe = {{ use = \"measure\", target = \"app\", query = \"SELECT 1\" }}, min = 0 }},\n]"
            ),
        ),
    );
    let system = System::new("", &plan);
    system.write_root("failed", "1");
    system
}

fn records(system: &System, record: &str) -> Vec<serde_json::Value> {
    let history = system.cutover("history", &["--format", "json"]).expect_code(0).stdout;
    let all = history.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    all.filter(|entry| entry["record"]["record"] == record).collect()
}

fn slots(system: &System) -> Vec<u64> {
    records(system, "step-sampled").iter().map(|r| r["record"]["data"]["sample"]["slot"].as_u64().unwrap()).collect()
}

#[test]
fn a_watch_that_is_killed_goes_on_where_the_journal_ends() {
    let system = soaks("6s", "50ms", "then = \"pause\"");
    let waits = system.cutover("apply", &[]).expect_code(103);
    assert!(waits.stdout.contains("soaks until") && waits.stdout.contains("1 of 120 samples"), "{}", waits.stdout);
    let mut killed = 0;
    while slots(&system).len() < 20 {
        let mut child = system.command("watch", &[]).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(700));
        // What looks, and what a person says, goes on meanwhile.
        system.cutover("status", &[]).expect_code(0);
        child.kill().unwrap();
        killed += usize::from(child.wait().unwrap().code().is_none());
        if records(&system, "step-applied").len() == 3 {
            break;
        }
    }
    assert!(killed > 0);
    let before = slots(&system);
    let ran = system.cutover("watch", &[]).expect_code(0);
    assert!(ran.stdout.contains("done"), "{}", ran.stdout);
    let after = slots(&system);
    assert_eq!(after[..before.len()], before, "a sample was lost");
    assert!(after.windows(2).all(|pair| pair[0] < pair[1]), "a slot was sampled twice: {after:?}");
    assert_eq!(records(&system, "window-opened").len(), 1, "the window was opened anew");
    assert_eq!(
        system.cutover("watch", &[]).expect_code(0).stdout.lines().next().unwrap(),
        "nothing to watch: no step waits"
    );
}

#[test]
fn a_trigger_pauses_and_nothing_is_undone() {
    let system = soaks("1h", "100ms", "then = \"pause\"");
    system.cutover("apply", &[]).expect_code(103);
    assert_seen("watch-once-status", &system, &system.cutover("status", &[]).expect_code(0));
    std::thread::sleep(std::time::Duration::from_millis(150));
    system.cutover("watch", &["--once"]).expect_code(103);
    system.write_root("failed", "6");
    let mut paused = system.cutover("watch", &[]).expect_code(104);
    // Whether it meets the round that was sampled already depends on how fast it is there.
    paused.stdout = paused.stdout.lines().filter(|l| !l.starts_with("  … ")).map(|l| format!("{l}\n")).collect();
    assert_seen("watch-pauses", &system, &paused);
    // The incident begins when the window was opened, by an earlier command, and says what fired.
    let incident = system.cutover("report", &["--kind", "incident"]).expect_code(0).stdout;
    assert!(
        incident.contains("window opened") && incident.contains("triggered") && incident.contains("### quiet"),
        "{incident}"
    );
    assert_eq!(system.ask("SELECT group_concat(name) FROM sqlite_master WHERE name IN ('b', 'c')"), "b,c");
    // The same command opens a new window, when that is mended.
    system.write_root("failed", "0");
    system.cutover("apply", &[]).expect_code(103);
    assert_eq!(records(&system, "window-opened").len(), 2);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
}

#[test]
fn a_trigger_rolls_back_to_the_point_that_the_plan_names() {
    let system = soaks("1h", "100ms", "then = \"rollback\", to = \"add\"");
    system.cutover("apply", &[]).expect_code(103);
    system.write_root("failed", "6");
    let back = system.cutover("watch", &[]).expect_code(100);
    assert!(back.stdout.contains("after step add"), "{}", back.stdout);
    assert_eq!(system.ask("SELECT group_concat(name) FROM sqlite_master WHERE name IN ('b', 'c')"), "b");
    let fired = records(&system, "step-triggered");
    assert_eq!((fired.len(), &fired[0]["record"]["data"]["trigger"]["to"]), (1, &serde_json::json!("add")));
}

/// A program that fails while the file `well` is not there, under a budget.
fn budgeted(budget: &str, on_failure: &str) -> System {
    let work = "use = \"command.run\"\nwith = { apply = [\"test\", \"-e\", \"well\"], verify = [\"true\"], rollback = [\"true\"] }";
    let plan = format!(
        "on-failure = \"{on_failure}\"\n{HEAD}[budget]\n{budget}\n{}{}{}",
        phase("one"),
        step("add", "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE b (x)\"] }"),
        step("work", &format!("needs = [\"add\"]\n{work}")),
    );
    System::new("", &plan)
}

#[test]
fn how_long_a_way_back_took_is_measured_against_the_budget() {
    // The plan decides at once.
    let system = budgeted("decide = \"30m\"\nexecute = \"1h\"", "rollback-phase");
    let failed = system.cutover("apply", &[]).expect_code(100).stdout;
    assert!(failed.contains("budget: decided after ") && failed.contains(" of 60 min 0 s: kept\n"), "{failed}");
    assert!(!system.cutover("status", &[]).expect_code(0).stdout.contains("budget: work went wrong"));

    // A person decides, and not in time.
    let system = budgeted("assess = \"1ms\"\ndecide = \"2ms\"\nexecute = \"1h\"", "pause");
    system.cutover("apply", &[]).expect_code(104);
    let status = system.cutover("status", &[]).expect_code(0).stdout;
    let open =
        "to be assessed within 1 ms (exceeded), to be decided within 2 ms (exceeded), to be rolled back within 60 min";
    assert!(status.contains("budget: work went wrong ") && status.contains(open), "{status}");
    let back = system.cutover("rollback", &["--yes"]).expect_code(0).stdout;
    assert!(
        back.contains("of 1 ms (exceeded), decided after ") && back.contains(" of 60 min 0 s: exceeded\n"),
        "{back}"
    );
    let history = system.cutover("history", &[]).expect_code(0).stdout;
    assert!(history.contains("budget measured"), "{history}");
    let report = system.cutover("report", &["--format", "json"]).expect_code(0).stdout;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let budget = &report["recoveries"][0]["budget"];
    assert_eq!((&budget["allowed"]["decide"], budget["took"]["decide"].as_f64() > Some(0.002)), (&0.002.into(), true));
    let page = system.cutover("report", &["--format", "md"]).expect_code(0).stdout;
    assert!(page.contains("Time budgets, from the failure on"), "{page}");
    // It is over.
    assert!(!system.cutover("status", &[]).expect_code(0).stdout.contains("budget: "));
    // What was mended instead needs no way back.
    system.cutover("apply", &[]).expect_code(104);
    system.write_root("well", "");
    let mended = system.cutover("apply", &[]).expect_code(0).stdout;
    assert!(!mended.contains("budget"), "{mended}");
    let back = system.cutover("rollback", &["--yes"]).expect_code(0).stdout;
    assert!(!back.contains("budget"), "{back}");
}

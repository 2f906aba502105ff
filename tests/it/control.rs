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

/// What a person sees, without times.
fn seen(system: &System, ran: &Ran) -> String {
    let text = system.seen(ran);
    let time = |word: &str| word.len() >= 20 && word.starts_with("20") && word.contains('T') && word.contains('Z');
    let words = |line: &str| {
        let shown = line
            .split(' ')
            .map(|w| if time(w) { w.replace(w.trim_end_matches([':', ';', ')', ',']), "TIME") } else { w.to_owned() });
        shown.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
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
    insta::assert_snapshot!("irreversible-asks", seen(&system, &asked));
    assert_eq!(system.ask("SELECT count(*) FROM a"), "1");
    insta::assert_snapshot!("irreversible-status", seen(&system, &system.cutover("status", &[]).expect_code(0)));
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
    let asked = system.cutover("apply", &[]).expect_code(103);
    insta::assert_snapshot!("gate-asks", seen(&system, &asked));
    insta::assert_snapshot!("gate-status", seen(&system, &system.cutover("status", &[]).expect_code(0)));
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
    insta::assert_snapshot!("gate-plan", seen(&system, &system.cutover("plan", &[]).expect_code(0)));
    let broken = system.cutover("apply", &[]).expect_code(100);
    insta::assert_snapshot!("gate-broken", seen(&system, &broken));
}

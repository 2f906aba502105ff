//! Phase 1 on a living brain: the notice, the wait for what is in flight, one freeze of all tiers, copies under it.

use std::process::Command;

use cutover_tests::{run, sqlite3};

use super::brain::{Brain, TIERS};
use crate::system::on;

const NOTICE: &str = "cortex-brain/NOTICE.txt";

/// What a program is told that writes to each tier: "frozen" or "done".
fn told(brain: &Brain) -> Vec<&'static str> {
    let write = |tier: &u8| {
        let mut sqlite = Command::new("sqlite3");
        let ran = run(sqlite.arg(brain.tier(*tier)).arg("INSERT INTO app_log DEFAULT VALUES"));
        if ran.stderr.contains("frozen by the migration") { "frozen" } else { "done" }
    };
    TIERS.iter().map(write).collect()
}

#[test]
fn a_notice_goes_up_tasks_in_flight_end_and_all_tiers_are_frozen_and_copied_together() {
    let brain = Brain::of("a");
    TIERS.iter().for_each(|tier| brain.write(*tier, "CREATE TABLE app_log (id INTEGER PRIMARY KEY)"));
    brain.write(1, "UPDATE working_memory_conversations SET status = 'active'");
    let active: usize = brain.ask(1, "SELECT count(*) FROM working_memory_conversations").parse().unwrap();
    assert!(active > 0);
    let few = ["--var", "in_flight=0", "--var", "drain=300ms"];

    // Too many tasks: the notice stands, nobody is kept out, and the same command waits again.
    for _ in 0..2 {
        let said = brain.cutover("apply", &few).expect_code(103).stdout;
        assert!(said.contains(&format!("active tasks: {active}, wanted: at most 0")), "{said}");
        assert!(brain.root().join(NOTICE).exists());
        assert_eq!(told(&brain), ["done"; 3]);
    }

    // They end. What is killed when the copies are made leaves the notice, and all three tiers frozen until their lease ends.
    brain.write(1, "UPDATE working_memory_conversations SET status = 'completed'");
    let mut killed = on(&brain.plan(), &brain.root(), "apply", &few);
    run(killed.env("FAILPOINTS", "target.snapshot:complete=return"));
    assert!(brain.root().join(NOTICE).exists());
    assert_eq!(told(&brain), ["frozen"; 3]);
    let rows = |tier: &u8| brain.ask(*tier, "SELECT count(*) FROM app_log");
    assert_eq!(TIERS.iter().map(rows).collect::<Vec<_>>(), ["2"; 3]);

    let said = brain.cutover("apply", &few).expect_code(0).stdout;
    assert_eq!(said.matches("nobody else could write for ").count(), 3, "a stall of each tier: {said}");
    assert!(!brain.root().join(NOTICE).exists());
    assert_eq!(told(&brain), ["done"; 3]);
    // The copies are of the moment of the freeze.
    for (tier, copy) in TIERS.iter().zip(["tier1", "tier2", "tier3"]) {
        let copies = brain.root().join("backups/pre-migration").join(copy);
        let file = std::fs::read_dir(copies)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|e| e == "db"));
        assert_eq!(sqlite3(file.unwrap(), "SELECT count(*) FROM app_log").trim_end(), "2", "tier {tier}");
    }
}

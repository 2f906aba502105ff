//! Every step kind of the crate is held to the contract by the testkit's conformance check.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

#[path = "../src/testing/mod.rs"]
mod testing;

use std::fs;

use cutover_steps_base as _;
use cutover_tests::Conformance;
use testing::{ARTIFACT, ASSESS, SNAPSHOT, app, command, repository, two_files, wait};

#[test]
fn target_snapshot_keeps_the_contract() {
    Conformance::new(SNAPSHOT)
        .root(two_files)
        .leaves("backups")
        .sabotage(|root| fs::write(root.join("backups/pre/two/copy"), "2x").unwrap())
        .no_foreign("nobody else writes in the folder of the set")
        .check();
}

#[test]
fn target_wait_keeps_the_contract() {
    Conformance::new(wait("max = 3"))
        .root(|root| fs::write(root.join("one.db"), "xx").unwrap())
        .no_sabotage("it makes nothing")
        .no_foreign("it makes nothing")
        .check();
}

const MARK: &str = r#"
apply = ["sh", "-c", "echo $WORD > mark; echo applied"]
verify = ["test", "-s", "mark"]
rollback = ["rm", "-f", "mark"]
cwd = "app"
env = { WORD = "done" }
"#;

#[test]
fn command_run_keeps_the_contract_with_its_own_rollback() {
    Conformance::new(command(MARK))
        .root(app)
        .sabotage(|root| fs::remove_file(root.join("app/mark")).unwrap())
        .foreign(
            |root| fs::write(root.join("app/other"), "x").unwrap(),
            |root| assert!(root.join("app/other").exists()),
        )
        .check();
}

#[test]
fn command_run_keeps_the_contract_when_its_target_is_restored() {
    let with = r#"apply = ["sh", "-c", "echo 2 > one.db"]
restore = "one""#;
    Conformance::new(command(with)).root(app).no_sabotage("it has no verify command").no_foreign("restored").check();
}

#[test]
fn target_assess_keeps_the_contract() {
    Conformance::new(ASSESS.replace("${env.TOKEN}", ""))
        .root(repository)
        .sabotage(|root| fs::write(root.join(ARTIFACT), "{\"version\": 1}").unwrap())
        .foreign(
            |root| fs::write(root.join("reports/mine.txt"), "mine").unwrap(),
            |root| assert_eq!(fs::read_to_string(root.join("reports/mine.txt")).unwrap(), "mine"),
        )
        .check();
}

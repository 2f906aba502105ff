//! Every kind of this crate keeps the contract: apply, verify, rollback, twice, after a crash, and beside others.

use std::fs;

use acme_steps as _;
use cutover_tests::{Conformance, Fixture};

const PLAN: &str = r#"
name = "conformance"
[[phase]]
name = "only"
layer = "storage"
[[phase.step]]
id = "touch"
use = "acme-steps.touch"
with = { path = "notes/a.txt", text = "after" }
"#;

/// The check on a system that has the folder `notes`, and in it what `before` says.
fn touch(before: Option<&'static str>) -> Conformance {
    Conformance::new(PLAN)
        .step("touch")
        // The system as it is before the plan.
        .root(move |root| {
            fs::create_dir(root.join("notes")).unwrap();
            if let Some(text) = before {
                fs::write(root.join("notes/a.txt"), text).unwrap();
            }
        })
        // How to break what the step made: verify must notice.
        .sabotage(|root| fs::write(root.join("notes/a.txt"), "broken").unwrap())
        // What others write after apply: the rollback must leave it alone.
        .foreign(
            |root| fs::write(root.join("notes/b.txt"), "theirs").unwrap(),
            |root| assert_eq!(fs::read_to_string(root.join("notes/b.txt")).unwrap(), "theirs"),
        )
}

#[test]
fn touch_keeps_the_contract_where_no_file_was() {
    touch(None).check();
}

#[test]
fn touch_keeps_the_contract_where_another_text_was() {
    touch(Some("before")).check();
}

#[test]
fn a_path_that_leaves_the_root_is_refused_in_the_plan() {
    let plan = PLAN.replace("notes/a.txt", "../a.txt");
    let errors = Fixture::new(plan).try_compile().unwrap_err();
    assert!(errors.to_string().contains("`../a.txt` leaves the root"), "{errors}");
}

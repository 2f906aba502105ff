//! The conformance check is held to its own promise: a sound kind passes, and each mistake is caught by its rule.

mod file;
mod put;
mod store;

use std::fs;
use std::path::Path;

use cutover_core::{Registry, StepDescriptor, TargetDescriptor};

use self::file::WriteFile;
use self::put::Put;
use self::store::{Doc, Store};
use super::{Conformance, Rule};

fn toys() -> Registry {
    let steps = [StepDescriptor::of::<WriteFile>("toys", "1"), StepDescriptor::of::<Put>("toys", "1")];
    Registry::of(steps, [TargetDescriptor::of::<Store>("toys", "1")]).unwrap()
}

/// Changes the store's file as another program would.
fn others(root: &Path, change: impl FnOnce(&mut Doc)) {
    let path = root.join("store.json");
    let mut doc: Doc = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut doc);
    fs::write(path, serde_json::to_vec(&doc).unwrap()).unwrap();
}

/// Two steps: `put` on the store, and then `write` of a file that is there before, outside of any target.
fn toy(step: &str, put: &str, write: &str) -> Conformance {
    let irreversible = if put.contains("never") { "irreversible = \"a toy\"" } else { "" };
    let plan = format!(
        r#"
        name = "toys"
        [targets.store]
        kind = "toy-store"
        path = "store.json"
        [[phase]]
        name = "all"
        layer = "storage"
        [[phase.step]]
        id = "snapshot"
        use = "testkit.snapshot"
        with = {{ targets = ["store"] }}
        [[phase.step]]
        id = "put"
        use = "toy.put"
        target = "store"
        {irreversible}
        with = {{ key = "a", value = "new" {put} }}
        [[phase.step]]
        id = "write"
        use = "toy.file"
        with = {{ path = "notes/a.txt", lines = ["one", "two"] {write} }}
        "#
    );
    let check = Conformance::new(plan).registry(toys()).step(step).root(|root| {
        fs::create_dir(root.join("notes")).unwrap();
        fs::write(root.join("notes/a.txt"), "before").unwrap();
        fs::write(root.join("store.json"), r#"{"rows":{"a":"old","b":"kept"},"ledger":[]}"#).unwrap();
    });
    match step {
        "put" => check.sabotage(|root| others(root, |doc| doc.rows.clear())).foreign(
            |root| others(root, |doc| drop(doc.rows.insert("c".to_owned(), "theirs".to_owned()))),
            |root| others(root, |doc| assert_eq!(doc.rows["c"], "theirs")),
        ),
        _ => check.sabotage(|root| fs::write(root.join("notes/a.txt"), "broken").unwrap()).foreign(
            |root| fs::write(root.join("notes/other.txt"), "theirs").unwrap(),
            |root| assert!(root.join("notes/other.txt").exists(), "notes/other.txt is gone"),
        ),
    }
}

#[track_caller]
fn caught(check: &Conformance, rule: Rule, saying: &str) {
    let violation = check.run().expect_err("the flaw was not noticed");
    let text = violation.to_string();
    assert!(violation.rule == rule && text.contains(saying), "wanted {rule:?} saying `{saying}`, got: {text}");
}

#[test]
fn a_sound_step_without_transactions_passes() {
    let report = toy("write", "", "").check();
    assert_eq!(report.skipped.len(), 2, "{report}");
    assert!(report.checked.contains(&Rule::IntentIsEnough) && report.checked.contains(&Rule::StopsAndGoesOn));
}

#[test]
fn a_sound_step_with_transactions_passes() {
    let report = toy("put", "", "").check();
    assert!(report.checked.contains(&Rule::WorksInGroup) && report.checked.contains(&Rule::LedgerAgrees), "{report}");
}

#[test]
fn a_step_that_is_undone_by_restoring_its_target_passes() {
    let report = toy("put", ", undo = \"restore\"", "").check();
    assert!(report.checked.contains(&Rule::RollsBack), "{report}");
}

#[test]
fn an_irreversible_step_passes_only_when_the_check_says_why() {
    caught(&toy("put", ", undo = \"never\"", ""), Rule::SetUp, "it is irreversible");
    let report = toy("put", ", undo = \"never\"", "").irreversible("a toy").check();
    assert!(report.skipped.contains(&(Rule::RollsBack, "a toy".to_owned())), "{report}");
    caught(&toy("put", "", "").irreversible("a toy"), Rule::SetUp, "the step does not");
}

#[test]
fn each_mistake_is_caught_by_its_rule() {
    for (flaw, rule, saying) in [
        ("describe-varies", Rule::DescribeIsPure, "two answers"),
        ("inspect-writes", Rule::InspectReads, "inspect wrote:\n  + inspect.log"),
        ("inspect-lies", Rule::InspectIsTrue, "before apply, inspect says: applied"),
        ("does-nothing", Rule::ApplyShows, "no byte under the root did"),
        ("appends", Rule::InspectIsTrue, "after apply, inspect says: Pending"),
        ("second-apply-writes", Rule::AppliesOnce, "the second apply changed the system:\n  file + apply-"),
        ("verify-writes", Rule::VerifyReads, "verify wrote:\n  + verify.log"),
        ("verifies-blindly", Rule::SabotageShows, "verify says: Holds"),
        ("replay-loses-receipt", Rule::RollsBack, "file - notes/a.txt"),
        ("rollback-removes", Rule::RollsBack, "file - notes/a.txt"),
        ("leaves-litter", Rule::RollsBack, "file + rollback.log"),
        ("rolls-back-once-only", Rule::RollsBackOnce, "nothing is there to be rolled back"),
        ("rolls-back-unasked", Rule::RollsBackNothing, "file - notes/a.txt"),
        ("rolls-back-too-much", Rule::KeepsForeign, "notes/other.txt is gone"),
        ("late-intent", Rule::IntentComesFirst, "file ~ notes/a.txt"),
        ("intent-without-before", Rule::RollsBack, "file - notes/a.txt"),
        ("undoes-the-whole-only", Rule::IntentIsEnough, "file ~ notes/a.txt"),
        ("remembers-in-memory", Rule::SurvivesCrash, "in a new process after apply, verify says"),
        ("applies-once-only", Rule::AppliesAgain, "all was there already"),
        ("resume-forgets-before", Rule::StopsAndGoesOn, "file ~ notes/a.txt"),
    ] {
        caught(&toy("write", "", &format!(", flaw = \"{flaw}\"")), rule, saying);
    }
    for (flaw, rule, saying) in [
        ("second-apply-rewrites", Rule::AppliesOnce, "says that all was there already, but it wrote:\n  ~ store.json"),
        ("no-ledger-row", Rule::RollsBack, "target `store`: a: content changed"),
        ("other-digest", Rule::LedgerAgrees, "the ledger says LedgerEntry"),
        ("ledger-row-stays", Rule::AppliesAgain, "all was there already"),
        ("ledger-row-is-marked", Rule::LedgerAgrees, "still has"),
        ("outside-the-transaction", Rule::WorksInGroup, "target `store`: a: content changed"),
    ] {
        caught(&toy("put", &format!(", flaw = \"{flaw}\""), ""), rule, saying);
    }
}

#[test]
fn a_check_that_leaves_out_sabotage_or_foreign_writes_must_say_why() {
    let bare = || {
        let plan = "name = \"toys\"\n[targets.store]\nkind = \"toy-store\"\npath = \"store.json\"\n\
                    [[phase]]\nname = \"all\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"put\"\nuse = \"toy.put\"\n\
                    target = \"store\"\nwith = { key = \"a\", value = \"b\" }\n";
        let root = |root: &Path| fs::write(root.join("store.json"), r#"{"rows":{},"ledger":[]}"#).unwrap();
        Conformance::new(plan).registry(toys()).root(root)
    };
    caught(&bare(), Rule::SetUp, "no_sabotage");
    caught(&bare().no_sabotage("a toy"), Rule::SetUp, "no_foreign");
    caught(&bare().sabotage(|_| {}), Rule::SetUp, "the sabotage changed no byte");
    let report = bare().no_sabotage("a toy").no_foreign("nobody else").check();
    assert!(report.to_string().contains("not checked: sabotage makes verify fail (a toy)"), "{report}");
}

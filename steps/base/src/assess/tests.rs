//! What an assessment finds, writes, refuses and takes back.

use std::fs;

use cutover_core::{Applied, Standing, Verdict};
use cutover_tests::Fixture;

use crate::testing::{ARTIFACT, ASSESS, repository};
use serde_json::{Value, json};

fn fixture(plan: &str) -> Fixture {
    Fixture::new(plan).env("TOKEN", "hunter2")
}

#[test]
fn the_artifact_says_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    fixture(ASSESS).open(dir.path()).apply("look").unwrap();
    let text = fs::read_to_string(dir.path().join(ARTIFACT)).unwrap();
    assert!(!text.contains("hunter2"), "a secret is in the artifact");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["version"], json!(1));
    assert_eq!(report["environment"]["commit"], json!("c".repeat(40)));
    assert_eq!(report["environment"]["versions"]["shell"], json!("v ***"));
    assert!(report["environment"]["versions"]["none"].as_str().unwrap().contains("is not there"));
    assert_eq!(report["counts"], json!({"conversations": null, "pending tasks": 2}));
    assert_eq!(report["targets"]["one"]["assessment"]["bytes"], json!(10));
    assert_eq!(report["space"]["needed"], json!(30));
    assert!(report["targets"]["two"]["schema-digest"].is_string());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(dir.path().join(ARTIFACT)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_target_that_cannot_be_used_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let error = fixture(ASSESS).open(dir.path()).apply("look").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`one` is missing") && text.contains("`two` is missing"), "{text}");
    assert_eq!(error.kind(), cutover_core::StepErrorKind::Unavailable);
    assert!(!dir.path().join("reports").exists());
}

#[test]
fn too_little_space_is_refused_with_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    let bench = fixture(&ASSESS.replace("free-space = 2", "free-space = 1e17")).open(dir.path());
    let error = bench.apply("look").unwrap_err().to_string();
    assert!(error.contains("not enough free space") && error.contains("missing"), "{error}");
    assert_eq!(bench.inspect("look").unwrap(), Standing::Pending);
}

#[test]
fn an_artifact_of_others_or_one_that_was_edited_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    fs::create_dir(dir.path().join("reports")).unwrap();
    fs::write(dir.path().join(ARTIFACT), "theirs").unwrap();
    let bench = fixture(ASSESS).open(dir.path());
    let Applied::Changed(receipt) = bench.apply("look").unwrap() else { panic!("nothing written") };
    assert_eq!(receipt.notes[0], "wrote reports/migration-plan-2026-01-01-2.json");
    assert_eq!(bench.verify("look").unwrap(), Verdict::Holds);
    let ours = dir.path().join("reports/migration-plan-2026-01-01-2.json");
    let edited = fs::read_to_string(&ours).unwrap() + " ";
    fs::write(&ours, &edited).unwrap();
    bench.rollback("look", Some(&receipt)).unwrap();
    assert_eq!(fs::read_to_string(ours).unwrap(), edited);
    assert_eq!(fs::read_to_string(dir.path().join(ARTIFACT)).unwrap(), "theirs");
    assert_eq!(bench.host().notes("look").len(), 1);
}

/// Every number of seconds or rate is a dash, so that only the structure is left.
fn redacted(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_f64() => *value = json!("-"),
        Value::Array(items) => items.iter_mut().for_each(redacted),
        Value::Object(map) => map.values_mut().for_each(redacted),
        _ => {}
    }
}

#[test]
fn every_step_of_the_plan_gets_its_time_or_why_it_has_none() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    let plan = ASSESS.replace("targets = [\"one\", \"two\"]", "targets = [\"one\"]")
        + r#"
[[phase.step]]
id = "guarded"
use = "command.run"
with = { apply = ["true"], reads = ["one"], changes = false }
[[phase]]
name = "copy"
layer = "storage"
[[phase.step]]
id = "kept"
use = "target.snapshot"
when = { target = "one", has = "there" }
with = { targets = ["one"], into = "kept" }
[[phase.step]]
id = "kept-in-case"
use = "target.snapshot"
when = { target = "one", lacks = "there" }
with = { targets = ["one"], into = "kept-in-case" }
[[phase.step]]
id = "kept-unseen"
use = "target.snapshot"
with = { targets = ["two"], into = "kept-unseen" }
"#;
    let Applied::Changed(receipt) = fixture(&plan).open(dir.path()).apply("look").unwrap() else {
        panic!("nothing written")
    };
    let note = &receipt.notes[1];
    assert!(
        note.starts_with("estimated: about ") && note.ends_with(" s for 4 steps, 2 not known; 1 left out by `when`"),
        "{note}"
    );
    let report: Value = serde_json::from_str(&fs::read_to_string(dir.path().join(ARTIFACT)).unwrap()).unwrap();
    let mut estimates = report["estimates"].clone();
    let legend = estimates.as_object_mut().unwrap().remove("legend").unwrap();
    for word in estimates["steps"].as_array().unwrap().iter().map(|step| step["basis"].as_str().unwrap()) {
        assert!(legend[word].is_string(), "`{word}` is not explained");
    }
    redacted(&mut estimates);
    let lines: Vec<_> = estimates["steps"].as_array().unwrap().iter().map(Value::to_string).collect();
    estimates["steps"] = json!(lines);
    insta::assert_snapshot!(serde_json::to_string_pretty(&estimates).unwrap().replace("\\\"", "'"));
}

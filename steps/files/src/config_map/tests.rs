//! What a configuration may become, and what it may not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cutover_core::{Applied, Standing, Verdict};
use cutover_tests::Fixture;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::format::Format;
use super::keys::KeyPath;
use super::mapping::Mapping;
use crate::testing::{MAP, SCHEMA, V1, v1};

fn fixture(plan: &str) -> Fixture {
    Fixture::new(plan).file("v2.json", SCHEMA)
}

#[test]
fn every_key_is_told_of_and_the_way_back_is_byte_identical() {
    let dir = tempfile::tempdir().unwrap();
    v1(dir.path());
    let bench = fixture(MAP).open(dir.path());
    let Applied::Changed(receipt) = bench.apply("map").unwrap() else { panic!("nothing changed") };
    insta::assert_snapshot!(receipt.notes.join("\n"), @r#"
    dropped testing (it moved to the test suite)
    dropped governance (unused)
    moved brain.path → paths.brainRoot
    set version = "2.0"
    defaulted paths.docsRoot = "docs"
    defaulted plugins.enabled = ["a"]
    kept application
    kept machines
    "#);
    insta::assert_snapshot!(fs::read_to_string(dir.path().join("cortex.config.json")).unwrap(), @r#"
    {
        "application": {
            "name": "CORTEX",
            "rootPath": "C:\\dev\\brain",
            "id": 12345678901234567890123
        },
        "machines": {
            "mac.local": {
                "rootPath": "/Users/x/brain"
            }
        },
        "paths": {
            "brainRoot": "old-brain",
            "docsRoot": "docs"
        },
        "version": "2.0",
        "plugins": {
            "enabled": [
                "a"
            ]
        }
    }
    "#);
    assert_eq!(bench.verify("map").unwrap(), Verdict::Holds);
    bench.rollback("map", Some(&receipt)).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("cortex.config.json")).unwrap(), V1);
    let mode = fs::metadata(dir.path().join("cortex.config.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn undecided_keys_and_broken_schemas_are_a_conflict_that_names_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("cortex.config.json"), r#"{"brain":{"path":"x","old":1},"a":{"b":2}}"#).unwrap();
    let Standing::Conflict(why) = fixture(MAP).open(dir.path()).inspect("map").unwrap() else { panic!("no conflict") };
    assert!(why.contains("`brain.old` is neither") && why.contains("`a` is neither"), "{why}");

    fs::write(dir.path().join("cortex.config.json"), r#"{"application":{"id":"secret","name":7}}"#).unwrap();
    let bench = fixture(MAP).open(dir.path());
    let Standing::Conflict(why) = bench.inspect("map").unwrap() else { panic!("no conflict") };
    for part in ["/paths: ", "/application/id: ", "/application/name: "] {
        assert!(why.contains(part), "{part} is not in: {why}");
    }
    assert!(!why.contains("secret"), "{why}");
    assert!(bench.apply("map").is_err());
    assert!(!dir.path().join(".cutover").exists());
}

#[test]
fn an_edit_by_others_is_never_rolled_over() {
    let dir = tempfile::tempdir().unwrap();
    v1(dir.path());
    let bench = fixture(MAP).open(dir.path());
    let Applied::Changed(receipt) = bench.apply("map").unwrap() else { panic!("nothing changed") };
    let path = dir.path().join("cortex.config.json");
    let edited = fs::read_to_string(&path).unwrap().replace("\"docs\"", "\"documents\"");
    fs::write(&path, &edited).unwrap();
    let error = bench.rollback("map", Some(&receipt)).unwrap_err();
    assert!(error.to_string().contains("`cortex.config.json` was changed by somebody else"), "{error}");
    assert!(error.help().is_some());
    assert_eq!(fs::read_to_string(&path).unwrap(), edited);
    // The change is still there, with a value of the operator's own, as long as the schema holds.
    assert_eq!(bench.verify("map").unwrap(), Verdict::Holds);
    fs::write(&path, edited.replace("\"CORTEX\"", "7")).unwrap();
    let Verdict::Broken(lines) = bench.verify("map").unwrap() else { panic!("verify holds") };
    assert!(lines.len() == 1 && lines[0].starts_with("/application/name: "), "{lines:?}");
}

#[test]
fn a_crash_between_the_write_and_its_record_takes_the_image_from_the_intent() {
    let dir = tempfile::tempdir().unwrap();
    v1(dir.path());
    let bench = fixture(MAP).open(dir.path());
    let Applied::Changed(first) = bench.apply("map").unwrap() else { panic!("nothing changed") };
    let Applied::AlreadyApplied(again) = bench.apply("map").unwrap() else { panic!("applied twice") };
    assert_eq!(again, first);
    bench.rollback("map", Some(&again)).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("cortex.config.json")).unwrap(), V1);
}

#[test]
fn what_a_format_cannot_say_exactly_is_an_error_that_names_the_key() {
    for (format, document, named) in [
        (Format::Toml, json!({"a": {"b": null}}), "a.b"),
        (Format::Yaml, serde_json::from_str(r#"{"n": 123456789012345678901234567890}"#).unwrap(), "n"),
        (Format::Toml, serde_json::from_str(r#"{"n": 0.12345678901234567890123}"#).unwrap(), "n"),
    ] {
        let error = format.write(&document, None).unwrap_err();
        assert!(error.contains(&format!("`{named}`")), "{error}");
    }
    assert!(Format::Json.read(r#"{"a": 1, "a": 2}"#).unwrap_err().contains("stands twice"));
    assert!(Format::Toml.read("a = nan").unwrap_err().contains("`a`"));
    assert!(Format::Yaml.read("a: &x {b: 1}\nc: {<<: *x}").unwrap_err().contains("merge key"));
    let exact = Format::Yaml.read("n: 123456789012345678901234567890").unwrap();
    assert_eq!(Format::Json.write(&exact, None).unwrap(), "{\n  \"n\": 123456789012345678901234567890\n}\n");
}

#[test]
fn a_toml_date_stays_a_date_and_becomes_text_elsewhere() {
    let document = Format::Toml.read("when = 2025-11-07T10:00:00Z\nn = 9007199254740993\n").unwrap();
    assert_eq!(Format::Toml.write(&document, None).unwrap(), "when = 2025-11-07T10:00:00Z\nn = 9007199254740993\n");
    assert_eq!(Format::Yaml.write(&document, None).unwrap(), "when: 2025-11-07T10:00:00Z\nn: 9007199254740993\n");
}

fn key(text: &str) -> KeyPath {
    KeyPath::parse(text).unwrap()
}

#[test]
fn a_key_may_go_below_itself_and_is_not_moved_twice() {
    let mapping = Mapping {
        moves: vec![(key("plugins"), key("plugins.enabled"))],
        defaults: vec![(key("plugins.config"), json!({}))],
        ..Mapping::default()
    };
    let new = mapping.map(&json!({"plugins": ["a", "b"]})).unwrap().document;
    assert_eq!(new, json!({"plugins": {"enabled": ["a", "b"], "config": {}}}));
    assert_eq!(mapping.map(&new).unwrap().document, new);
    assert_eq!(mapping.missing(&new, &[]), Vec::<String>::new());
}

#[test]
fn both_names_of_a_key_at_once_are_a_problem() {
    let mapping = Mapping { moves: vec![(key("a"), key("b"))], ..Mapping::default() };
    assert!(mapping.map(&json!({"a": 1, "b": 2})).unwrap_err()[0].contains("both `a` and `b`"));
}

/// Every leaf with its path.
fn leaves(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (k, v) in map {
                leaves(v, &if at.is_empty() { k.clone() } else { format!("{at}.{k}") }, found);
            }
        }
        leaf => found.push((at.to_owned(), leaf.clone())),
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), "[a-z]{0,3}".prop_map(Value::from)];
    let table = |inner| prop::collection::btree_map("[a-d]", inner, 0..4);
    let tables = leaf.prop_recursive(3, 24, 4, move |inner| table(inner).prop_map(|m| json!(m)));
    prop::collection::btree_map("[a-d]", tables, 0..4).prop_map(|m| json!(m))
}

proptest! {
    #[test]
    fn no_key_is_lost_without_a_word(
        document in documents(),
        moves in prop::collection::btree_map("[a-d](\\.[a-d])?", "[w-z](\\.[w-z])?", 0..4),
        dropped in prop::collection::btree_set("[a-d](\\.[a-d]){0,2}", 0..3),
        keep in prop::collection::btree_set("[a-d](\\.[a-d])?", 0..4),
    ) {
        let mapping = Mapping {
            moves: moves.iter().map(|(from, to)| (key(from), key(to))).collect(),
            drop: dropped.iter().map(|k| (key(k), "why".to_owned())).collect(),
            keep: keep.iter().map(|k| key(k)).collect(),
            ..Mapping::default()
        };
        let Ok(mapped) = mapping.map(&document) else { return Ok(()) };
        let (mut before, mut after) = (Vec::new(), Vec::new());
        leaves(&document, "", &mut before);
        leaves(&mapped.document, "", &mut after);
        for (path, value) in before.into_iter().filter(|(p, _)| !p.is_empty()) {
            let renamed = |from: &str, to: &str| {
                path.strip_prefix(from).filter(|r| r.is_empty() || r.starts_with('.')).map(|r| format!("{to}{r}"))
            };
            let told = dropped.iter().any(|k| renamed(k, k).is_some() && mapped.notes.contains(&format!("dropped {k} (why)")));
            // An empty table is also there when another key was moved into it.
            let table = value.as_object().is_some_and(serde_json::Map::is_empty);
            let filled = |p: &str| table && after.iter().any(|(q, _)| q.starts_with(&format!("{p}.")));
            let there = |p: &String| after.contains(&(p.clone(), value.clone())) || filled(p);
            let kept = there(&path);
            let moved = moves.iter().filter_map(|(from, to)| renamed(from, to)).any(|p| there(&p));
            prop_assert!(told || kept || moved, "{path} is lost: {document} became {}", mapped.document);
        }
    }
}

//! The step keeps the contract in both engines; integers are exact; what nothing can be made of is named.

use std::fs;
use std::path::Path;

use cutover_core::{Applied, Receipt, StepErrorKind, Verdict};
use cutover_tests::{Bench, Conformance, Fixture};

use super::support::{fill, plan_on, put, read};
use cutover_steps_kv::store::{Engine, Fjall};
use cutover_steps_kv::{Meta, Record};

/// Not a thing that can be done twice without showing.
const MORE: &str =
    r#"programs = [{ prefix = "n:", jq = ".n += 1" }, { prefix = "s:", jq = "{ s: ., of: $key, v: $version }" }]"#;

fn json(key: &str, version: u64, value: &str) -> Record {
    Record { key: key.into(), version, value: value.into(), user_meta: Some(7), ..Record::default() }
}

/// More than a batch, in odd bytes, and what no program may see.
fn records(many: u64) -> Vec<Record> {
    let many = (0..many).map(|n| json(&format!("n:{n:05}"), 1 + n % 4, &format!("{{ \"n\" : {n}, \"x\": 1.50 }}")));
    let others = [
        json("n:00007", 9, r#"{"n":1760000000123456789}"#),
        Record { meta: Meta::of(Meta::DELETE), value: Vec::new(), ..json("n:00008", 9, "") },
        Record { expires_at: 1, ..json("n:00009", 9, r#"{"n":1}"#) },
        Record { expires_at: 99_999_999_999, ..json("n:00010", 9, r#"{"n":1}"#) },
        json("other:1", 3, "no JSON"),
        json("s:a\u{fc}", 3, "\"text\""),
    ];
    many.chain(others).collect()
}

pub(super) fn contract<E: Engine>(versions: &str) -> Conformance {
    let later = || json("n:00001", 99, "theirs");
    Conformance::new(plan_on("kv.transform", E::NAME, &format!("{MORE}, versions = \"{versions}\"")))
        .root(|root| fill::<E>(root, records(2_100)))
        .sabotage(|root| put::<E>(root, json("n:00002", 3, "{}")))
        .foreign(move |root| put::<E>(root, later()), move |root| assert!(read::<E>(root).contains(&later())))
}

fn open(root: &Path, with: &str) -> Bench {
    Fixture::new(plan_on("kv.transform", "fjall", with)).open(root)
}

fn changed(bench: &Bench) -> Receipt {
    match bench.apply("it").unwrap() {
        Applied::Changed(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

fn values(root: &Path, prefix: &str) -> Vec<(String, u64, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let found = read::<Fjall>(root).into_iter().filter(|record| record.key.starts_with(prefix.as_bytes()));
    found.map(|record| (text(record.key), record.version, text(record.value))).collect()
}

#[test]
fn nanoseconds_stay_exact_and_nothing_but_the_newest_live_version_changes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Fjall>(root, records(100));
    let bench = open(root, MORE);
    let receipt = changed(&bench);
    // Not the tombstone's key, not the expired one's: nothing falls through to what is below them.
    assert_eq!(receipt.rows, Some(100 - 2 + 1));
    let found = values(root, "n:0000");
    let of = |n: usize| found.iter().filter(|(key, ..)| key.ends_with(&n.to_string())).cloned().collect::<Vec<_>>();
    let row = |n: usize, version: u64, value: &str| (format!("n:{n:05}"), version, value.to_owned());
    assert_eq!(of(6), [row(6, 3, r#"{"n":7,"x":1.50}"#)]);
    assert_eq!(of(7), [row(7, 9, r#"{"n":1760000000123456790}"#), row(7, 4, r#"{ "n" : 7, "x": 1.50 }"#)]);
    assert_eq!(of(8), [row(8, 9, ""), row(8, 1, r#"{ "n" : 8, "x": 1.50 }"#)]);
    assert_eq!(of(9), [row(9, 9, r#"{"n":1}"#), row(9, 2, r#"{ "n" : 9, "x": 1.50 }"#)]);
    assert_eq!(values(root, "s:"), [("s:aü".to_owned(), 3, r#"{"s":"text","of":"s:aü","v":3}"#.to_owned())]);
    assert_eq!(values(root, "other:")[0].2, "no JSON");
    let kept = read::<Fjall>(root).into_iter().find(|record| record.key == b"n:00010" && record.version == 9).unwrap();
    assert_eq!((kept.expires_at, kept.user_meta), (99_999_999_999, Some(7)));
    assert_eq!(bench.verify("it").unwrap(), Verdict::Holds);
}

#[test]
fn every_live_version_changes_where_the_plan_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Fjall>(root, records(100));
    changed(&open(root, &format!("{MORE}, versions = \"all\"")));
    let at =
        |n: u32| values(root, &format!("n:{n:05}")).into_iter().map(|(_, v, value)| (v, value)).collect::<Vec<_>>();
    let one = |n: u32| format!(r#"{{"n":{},"x":1.50}}"#, n + 1);
    assert_eq!(at(7), [(9, r#"{"n":1760000000123456790}"#.to_owned()), (4, one(7))]);
    assert_eq!(at(8), [(9, String::new()), (1, one(8))]);
    assert_eq!(at(9), [(9, r#"{"n":1}"#.to_owned()), (2, one(9))]);
}

#[test]
fn a_stop_after_each_batch_transforms_nothing_twice_and_the_way_back_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Fjall>(root, records(4_100));
    let before = read::<Fjall>(root);
    let bench = open(root, MORE);
    bench.host().set_stop(true);
    let mut stops = 0;
    let receipt = loop {
        match bench.apply("it").unwrap() {
            Applied::Stopped(_) => stops += 1,
            Applied::Changed(receipt) => break receipt,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stops, 2);
    let twice = values(root, "n:").into_iter().find(|(key, ..)| key == "n:03000").unwrap();
    assert_eq!(twice.2, r#"{"n":3001,"x":1.50}"#);
    bench.rollback("it", Some(&receipt)).unwrap();
    assert!(read::<Fjall>(root) == before, "the store is not as it was");
    assert!(!bench.state().join("steps/p/it/before").exists());
}

#[test]
fn what_nothing_can_be_made_of_is_refused_first_or_listed_with_why() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let odd = [
        json("a:dup", 1, r#"{"x":1,"x":2}"#),
        json("a:empty", 1, r#"{"x":"empty"}"#),
        json("a:error", 1, r#"{"x":{}}"#),
        json("a:good", 1, r#"{"x":1}"#),
        Record { meta: Meta::of(Meta::MERGE), ..json("a:merge", 1, "1") },
        json("a:nan", 1, r#"{"x":"nan"}"#),
        Record { value: b"\xff\xfe".to_vec(), ..json("a:raw", 1, "") },
        json("a:two", 1, r#"{"x":"two"}"#),
    ];
    fill::<Fjall>(root, odd);
    let before = read::<Fjall>(root);
    let program =
        r#"if .x == \"empty\" then empty elif .x == \"two\" then 1, 2 elif .x == \"nan\" then nan else .x + 1 end"#;
    let with = |at_most: u32| {
        format!("programs = [{{ prefix = \"a:\", jq = \"{program}\" }}], quarantine-at-most = {at_most}")
    };
    let refused = open(root, &with(6)).apply("it").unwrap_err();
    assert_eq!((refused.kind(), refused.help().is_some()), (StepErrorKind::Conflict, true));
    assert_eq!(
        refused.to_string(),
        "nothing can be made of 7 records of `memory`, and 6 are allowed: 1 merge-operand, 1 no-output, 1 output-not-json, \
         1 program-error, 1 several-outputs, 2 value-not-json; `a:dup` (value-not-json), `a:empty` (no-output), `a:error` \
         (program-error)"
    );
    assert!(read::<Fjall>(root) == before, "the store is not as it was");

    let bench = open(root, &with(7));
    let list = || fs::read_to_string(bench.state().join("steps/p/it/quarantine.jsonl")).unwrap();
    assert_eq!(list().lines().count(), 7);
    let receipt = changed(&bench);
    assert_eq!((receipt.rows, list().lines().count()), (Some(1), 7));
    assert!(receipt.notes.contains(&"2 in quarantine: value-not-json".to_owned()), "{:?}", receipt.notes);
    assert!(!serde_json::to_string(&receipt).unwrap().contains("cannot"), "a receipt holds what may be data");
    let differing: Vec<_> = before.iter().zip(read::<Fjall>(root)).filter(|(a, b)| **a != *b).collect();
    assert_eq!(differing.len(), 1);
    assert_eq!(differing[0].1.value, b"2");
}

#[test]
fn a_value_that_stays_what_it_is_keeps_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Fjall>(root, records(100));
    let before = read::<Fjall>(root);
    let receipt = changed(&open(root, "programs = [{ prefix = \"n:\", jq = \".\" }]"));
    assert_eq!((receipt.rows, read::<Fjall>(root) == before), (Some(0), true));
}

#[test]
fn mistakes_in_a_plan_are_told() {
    let told = |with: &str| {
        let plan = plan_on("kv.transform", "sled", with);
        Fixture::new(plan).file("bad.jq", "# one\n.a |\n  now").try_compile().unwrap_err().to_string()
    };
    let one = |rest: &str| format!("programs = [{{ prefix = \"a:\", {rest} }}]");
    for (with, expected) in [
        ("programs = []".to_owned(), "no program is named"),
        (one("jq = \".\", file = \"x.jq\""), "one of `jq` and `file` has to be there"),
        (one("jq = \".a |\""), "the program is no jq: line 1: expected"),
        (one("jq = \"frobnicate\""), "line 1: there is no filter `frobnicate`"),
        (one("jq = \"$ENV.HOME\""), "there is no variable `$ENV`"),
        (one("jq = \"import \\\"x\\\" as x; .\""), "programs import nothing"),
        (one("file = \"bad.jq\""), "line 3: there is no filter `now`: a program has only the record to go by"),
        (one("jq = \"halt\""), "there is no filter `halt`"),
        (
            "programs = [{ prefix = \"a:\", jq = \".\" }, { prefix = \"a:b\", jq = \".\" }]".to_owned(),
            "`a:b` and `a:` have keys in common",
        ),
    ] {
        assert!(told(&with).contains(expected), "{with}: {}", told(&with));
    }
}

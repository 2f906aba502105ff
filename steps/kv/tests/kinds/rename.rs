//! The step keeps the contract in both engines, moves everything of a key, and meets no key that is there.

use std::path::Path;

use cutover_core::{Applied, Standing, StepErrorKind, Verdict};
use cutover_tests::{Bench, Conformance, Fixture};

use super::support::{fill, plan_on, put, read};
use cutover_steps_kv::store::{Engine, Keyed, Sled, VersionedStore};
use cutover_steps_kv::{Meta, Record};

const WITH: &str = "from = \"patterns:\", to = \"found:\"";

fn record(key: &str, version: u64) -> Record {
    Record { key: key.into(), version, value: key.into(), user_meta: Some(3), ..Record::default() }
}

/// More than a batch, all that a key can have, and what was there under the new prefix.
fn records() -> Vec<Record> {
    let many = (0..2_100).map(|n| record(&format!("patterns:{n:05}"), 1 + n % 4));
    let others = [
        Record { meta: Meta::of(Meta::DELETE), value: Vec::new(), ..record("patterns:00007", 9) },
        Record { expires_at: 99_999_999_999, ..record("patterns:00008", 9) },
        Record { user_meta: None, ..record("patterns:", 5) },
        record("patternsx", 5),
        record("found:there", 5),
    ];
    many.chain(others).collect()
}

pub(super) fn contract<E: Engine>() -> Conformance {
    let later = || record("found:00001", 99);
    Conformance::new(plan_on("kv.rename-prefix", E::NAME, WITH))
        .root(|root| fill::<E>(root, records()))
        .sabotage(|root| put::<E>(root, Record { value: b"x".to_vec(), ..record("found:00002", 3) }))
        .foreign(move |root| put::<E>(root, later()), move |root| assert!(read::<E>(root).contains(&later())))
}

fn open(root: &Path, with: &str) -> Bench {
    Fixture::new(plan_on("kv.rename-prefix", "sled", with)).open(root)
}

#[test]
fn everything_of_a_key_moves_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Sled>(root, records());
    let before = read::<Sled>(root);
    let bench = open(root, WITH);
    let Applied::Changed(receipt) = bench.apply("it").unwrap() else { panic!("nothing changed") };
    assert_eq!(receipt.rows, Some(2_103));
    bench.target("memory");
    let after = read::<Sled>(root);
    let expected = |record: &Record| match record.key.strip_prefix(b"patterns:") {
        Some(rest) => Record { key: [b"found:", rest].concat(), ..record.clone() },
        None => record.clone(),
    };
    let mut moved: Vec<Record> = before.iter().map(expected).collect();
    moved.sort_by(Record::order);
    assert!(after == moved, "not everything moved");
    let store = Keyed::<Sled>::open(&root.join("data/memory")).unwrap();
    let expires: Vec<Record> = store.expired(u64::MAX).unwrap().map(Result::unwrap).collect();
    assert_eq!(expires.iter().map(|r| r.key.as_slice()).collect::<Vec<_>>(), [b"found:00008"]);
    drop(store);
    assert_eq!(bench.verify("it").unwrap(), Verdict::Holds);
    // What comes back under its old key is told, though the new one is there.
    put::<Sled>(root, before.iter().find(|record| record.key == b"patterns:00005").unwrap().clone());
    assert_eq!(
        bench.verify("it").unwrap(),
        Verdict::Broken(vec![
            "moved records of `memory` that are there again under the keys that they had: 1".to_owned()
        ])
    );
    bench.rollback("it", Some(&receipt)).unwrap();
    assert!(read::<Sled>(root) == before, "the store is not as it was");
}

#[test]
fn a_key_that_is_there_is_met_before_the_first_write() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Sled>(root, records());
    // A deleted key is one, too: its older versions would show.
    put::<Sled>(root, Record { meta: Meta::of(Meta::DELETE), value: Vec::new(), ..record("found:02099", 2) });
    let before = read::<Sled>(root);
    let bench = open(root, WITH);
    let Standing::Conflict(why) = bench.inspect("it").unwrap() else { panic!("no conflict") };
    assert_eq!(why, "`patterns:02099` cannot become `found:02099`: that key is there");
    let refused = bench.apply("it").unwrap_err();
    assert_eq!((refused.kind(), refused.help().is_some()), (StepErrorKind::Conflict, true));
    assert!(read::<Sled>(root) == before, "the store is not as it was");
}

#[test]
fn mistakes_in_a_plan_are_told() {
    let told = |from: &str, to: &str| {
        let plan = plan_on("kv.rename-prefix", "sled", &format!("from = \"{from}\", to = \"{to}\""));
        Fixture::new(plan).try_compile().unwrap_err().to_string()
    };
    assert!(told("", "a:").contains("an empty prefix is all keys"));
    assert!(told("a:", "a:b:").contains("`a:` and `a:b:` have keys in common"));
    assert!(told("a:b", "a:").contains("`a:b` and `a:` have keys in common"));
    assert!(told("a:", "!badger!x").contains("are Badger's own"));
}

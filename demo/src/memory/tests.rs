//! The memory has what makes it hard, and is the same each time.

use std::collections::{BTreeMap, BTreeSet};

use cutover_steps_kv::Record;
use cutover_steps_kv::backup::BackupReader;
use serde_json::Value;

use super::program::Entry;
use super::{Counted, LAYERS, SEED, backup, records};

const NOW: u64 = 1_763_700_000;

fn json(record: &Record) -> Option<Value> {
    serde_json::from_slice(&record.value).ok()
}

#[test]
fn the_same_seed_gives_the_same_memory_and_another_one_another() {
    let first = records(SEED, 2_000);
    assert_eq!(first, records(SEED, 2_000));
    assert_ne!(first, records(SEED + 1, 2_000));
    assert!((2_000..2_200).contains(&first.len()), "{}", first.len());
}

#[test]
fn a_backup_of_it_reads_as_the_same_records_in_badgers_order() {
    let made = records(SEED, 2_000);
    assert!(made.is_sorted_by(|a, b| a.order(b).is_lt()));
    let bytes = backup(&made).unwrap();
    let read: Vec<_> = BackupReader::new(&bytes[..], "x".as_ref()).map(Result::unwrap).collect();
    assert!(made.len() == read.len() && made.iter().zip(&read).all(|(a, b)| a.same(b)));
}

#[test]
fn every_layer_and_everything_awkward_is_in_it() {
    let all = records(SEED, 10_000);
    assert!(all.len() >= 10_000);
    let mut by_layer: BTreeMap<&str, usize> = BTreeMap::new();
    let mut versions: BTreeMap<&[u8], usize> = BTreeMap::new();
    for record in &all {
        let layer = record.key.split(|byte| *byte == b':').next().and_then(|layer| std::str::from_utf8(layer).ok());
        *by_layer.entry(layer.unwrap_or_default()).or_default() += 1;
        *versions.entry(&record.key).or_default() += 1;
    }
    assert!(LAYERS.iter().all(|layer| by_layer[layer] > 300), "{by_layer:?}");
    assert!(by_layer["patterns"] == 120 && by_layer["learning"] == 12, "{by_layer:?}");
    assert!(versions[&b"sensory:heartbeat"[..]] > 50);
    let count = |what: &dyn Fn(&Record) -> bool| all.iter().filter(|record| what(record)).count();
    let has = |name: &str, at_least: usize, what: &dyn Fn(&Record) -> bool| {
        assert!(count(what) >= at_least, "{name}: {}", count(what));
    };
    has("tombstones", 30, &|r| r.meta.is_delete());
    has("discarded", 10, &|r| r.meta.discards_earlier());
    has("expired", 40, &|r| r.has_expired(NOW) && r.value.is_empty());
    has("expiring", 40, &|r| r.expires_at > NOW && r.is_live(NOW));
    has("marked", 1, &|r| r.user_meta == Some(0x7f));
    has("keys with more colons", 300, &|r| r.key.iter().filter(|byte| **byte == b':').count() > 1);
    has("propagated", 1_000, &|r| String::from_utf8_lossy(&r.key).contains("_from_"));
    has("not UTF-8", 2, &|r| std::str::from_utf8(&r.value).is_err());
    has("no object", 4, &|r| json(r).is_some_and(|value| !value.is_object()));
    has("too intense", 5, &|r| json(r).is_some_and(|value| value["intensity"].as_f64() > Some(1.0)));
    has("nested", 100, &|r| json(r).is_some_and(|value| value["data"]["stored_at"].is_i64()));
    has("escaped", 50, &|r| String::from_utf8_lossy(&r.value).contains("\\u003c"));
    has("large", 1, &|r| r.value.len() > 100_000);
    let nanoseconds = |r: &Record| json(r).and_then(|value| value["timestamp"].as_i64());
    has("nanoseconds", 3_000, &|r| nanoseconds(r).is_some_and(|n| n > 1_763_640_000_000_000_000));
    let exact: BTreeSet<_> = all.iter().filter_map(nanoseconds).map(|n| n as f64 as i64 == n).collect();
    assert!(exact.contains(&false), "a double would hold every timestamp");
}

#[test]
fn what_is_lost_and_what_is_there_twice_is_counted() {
    let entry = |n, put: &[(&str, &str)], delete: &[&str]| Entry {
        n,
        put: put.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        delete: delete.iter().map(|key| (*key).to_owned()).collect(),
    };
    let record = |key: &str, version, value: &str| Record {
        key: key.into(),
        version,
        value: value.into(),
        meta: cutover_steps_kv::Meta::of(u8::from(value.is_empty())),
        ..Record::default()
    };
    let made = vec![record("a", 1, "x"), record("b", 1, "y")];
    let log = [
        entry(0, &[("x:live_0", "0")], &[]),
        entry(1, &[("x:live_1", "1")], &[]),
        entry(2, &[("x:live_0", "2")], &["x:live_1"]),
    ];
    let whole = vec![
        record("x:live_0", 5, "2"),
        record("x:live_0", 3, "0"),
        record("x:live_1", 5, ""),
        record("x:live_1", 4, "1"),
        made[0].clone(),
        made[1].clone(),
    ];
    let counted = Counted::of(&made, &log, whole.clone());
    assert_eq!((counted.made, counted.written, counted.found), (2, 4, 6));
    assert!(counted.lost.is_empty() && counted.more.is_empty(), "{counted:?}");
    for at in [0, 1, 2, 4, 5] {
        let mut less = whole.clone();
        let gone = less.remove(at);
        assert!(!Counted::of(&made, &log, less).lost.is_empty(), "{gone:?}");
    }
    let mut more = whole;
    more.extend([record("x:live_0", 6, "2"), record("x:live_9", 6, "9"), record("c", 1, ""), record("a", 1, "x")]);
    assert_eq!(Counted::of(&made, &log, more).more.len(), 4);
}

//! Copies of sources in any order, stopped and gone on with; comparisons that notice each difference.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::error::Result;
use crate::record::{Meta, Record};
use crate::source::{Order, RecordSource};
use crate::store::{FjallStore, SledStore, VersionedStore};

struct List(Vec<Record>);

impl RecordSource for List {
    fn records(&self, since: u64) -> Result<Box<dyn Iterator<Item = Result<Record>> + Send + '_>> {
        Ok(Box::new(self.0.iter().filter(move |record| record.version >= since).cloned().map(Ok)))
    }

    fn order(&self) -> Order {
        Order::Unsorted
    }
}

fn record(key: u64, version: u64) -> Record {
    let value = vec![b'v'; (key % 50) as usize];
    Record { key: format!("key{:06}", key * 7919 % 100_003).into(), version, value, ..Record::default() }
}

fn list(records: u64) -> List {
    List((0..records).map(|n| record(n / 2, 1 + n % 2)).collect())
}

fn in_order(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by(Record::order);
    records
}

fn all(records: impl Iterator<Item = Result<Record>>) -> Vec<Record> {
    records.map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_are_sorted_and_the_later_of_two_counts(
        drawn in prop::collection::vec((0u8..20, 0u64..4, any::<u8>()), 0..300),
        memory in 1usize..4_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let record = |(key, version, value): &(u8, u64, u8)| {
            Record { key: vec![*key], version: *version, value: vec![*value], ..Record::default() }
        };
        let source: Vec<Record> = drawn.iter().map(record).collect();
        let mut expected = std::collections::BTreeMap::new();
        for record in &source {
            expected.insert((record.key.clone(), std::cmp::Reverse(record.version)), record.clone());
        }
        let found = all(sorted(source.into_iter().map(Ok), memory, folder.path()).unwrap());
        prop_assert_eq!(found, expected.into_values().collect::<Vec<_>>());
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "files are left");
    }
}

#[test]
fn what_is_larger_than_the_memory_is_sorted_in_files_and_what_a_killed_sort_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("sort");
    fs::create_dir(&scratch).unwrap();
    fs::write(scratch.join("run-000900"), "half a run").unwrap();
    let source = list(3_000);
    // More runs than are read side by side.
    let mut found = sorted(source.records(0).unwrap(), 4_000, &scratch).unwrap();
    let first = found.next().unwrap().unwrap();
    assert!((2..=65).contains(&fs::read_dir(&scratch).unwrap().count()));
    let mut records = vec![first];
    records.extend(all(found));
    assert_eq!(records, in_order(source.0));
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}

fn copied(folder: &TempDir, open: impl Fn() -> Box<dyn VersionedStore>) {
    let source = list(9_001);
    let scratch = folder.path().join("sort");
    let copy = |identity| Copy { name: "c", identity, since: 0, scratch: &scratch };
    // Stopped after each batch, in a process of its own each time.
    let (mut tries, mut written) = (0, 0);
    loop {
        let store = open();
        let mut batches = 0;
        let mut between = |cursor: &Cursor| {
            batches += 1;
            assert!(cursor.key.is_some() && !cursor.done);
            Flow::Stop
        };
        let found = copy("a").run(&source, &*store, &mut between).unwrap();
        tries += 1;
        written += found.written;
        if found.cursor.done {
            assert_eq!(found.cursor.records, written);
            break;
        }
        assert_eq!((batches, found.written), (1, 1_000));
    }
    assert_eq!((tries, written), (10, 9_001));
    let store = open();
    assert_eq!(all(store.versions(b"", 0).unwrap()), in_order(list(9_001).0));
    let again = copy("a").run(&source, &*store, &mut |_| Flow::On).unwrap();
    assert_eq!((again.written, again.cursor.max_version), (0, 2));
    // Another source begins anew, over what is there.
    let more = list(9_101);
    assert_eq!(copy("b").run(&more, &*store, &mut |_| Flow::On).unwrap().written, 9_101);
    let found = compare(in_order(more.0).into_iter().map(Ok), store.versions(b"", 0).unwrap()).unwrap();
    assert!(found.holds() && found.same == 9_101, "{found:?}");
    // Incrementally: the version itself is copied again.
    let since = Copy { since: 2, ..copy("b") };
    assert_eq!(since.run(&list(9_101), &*store, &mut |_| Flow::On).unwrap().written, 4_550);
}

#[test]
fn a_copy_that_is_stopped_after_each_batch_leaves_nothing_out_and_does_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sled");
    copied(&folder, || Box::new(SledStore::open_or_create(&path).unwrap()));
    let path = folder.path().join("fjall");
    copied(&folder, || Box::new(FjallStore::open_or_create(&path).unwrap()));
}

#[test]
fn a_large_copy_is_loaded_and_may_be_stopped_in_the_middle_of_a_load() {
    let large = |n: u64| Record {
        key: format!("key{n:06}").into(),
        version: 1 + n % 7,
        value: vec![n as u8; 20_000],
        expires_at: n % 3,
        ..Record::default()
    };
    let source = List((0..1_500).map(large).collect());
    let folder = tempfile::tempdir().unwrap();
    let store = FjallStore::open_or_create(&folder.path().join("s")).unwrap();
    let copy = Copy { name: "c", identity: "a", since: 0, scratch: &folder.path().join("sort") };
    let there = || all(store.versions(b"", 0).unwrap()).len();
    let mut seen = Vec::new();
    let found = copy.run(&source, &store, &mut |_| {
        seen.push(there());
        if seen.len() < 100 { Flow::On } else { Flow::Stop }
    });
    let stopped = found.unwrap();
    // Batches show one after the other; what a load has shows when it is whole.
    let batched = *seen.last().unwrap();
    let loading = seen.iter().filter(|records| **records == batched).count();
    assert!((50..100).contains(&batched) && loading > 90, "{batched} records before a load of {loading} groups");
    assert_eq!((there(), stopped.written), (1_400, 1_400));
    assert_eq!(Cursor::of("c", &store).unwrap(), Some(stopped.cursor));
    let rest = copy.run(&source, &store, &mut |_| Flow::On).unwrap();
    assert!(rest.cursor.done && rest.written == 100, "{rest:?}");
    assert_eq!(all(store.versions(b"", 0).unwrap()), source.0);
    assert_eq!(store.expired(2).unwrap().count(), 1_000);
}

#[test]
fn a_source_that_fails_leaves_what_was_copied_before_and_its_error() {
    struct Failing(usize);
    impl RecordSource for Failing {
        fn records(&self, _since: u64) -> Result<Box<dyn Iterator<Item = Result<Record>> + Send + '_>> {
            let wrong = crate::KvError::at("b.bak".as_ref(), 7, crate::KvErrorKind::Truncated("gone".to_owned()));
            let Self(size) = *self;
            let records = in_order(list(5_500).0).into_iter();
            let records = records.map(move |record| Ok(Record { value: vec![b'v'; size], ..record }));
            Ok(Box::new(records.chain([Err(wrong)])))
        }

        fn order(&self) -> Order {
            Order::Sorted
        }
    }
    // In a batch, and in a load.
    for size in [20, 1_000] {
        let folder = tempfile::tempdir().unwrap();
        let store = FjallStore::open_or_create(&folder.path().join("s")).unwrap();
        let copy = Copy { name: "c", identity: "a", since: 0, scratch: &folder.path().join("sort") };
        let error = copy.run(&Failing(size), &store, &mut |_| Flow::On).unwrap_err();
        assert_eq!(error.to_string(), "`b.bak` at byte 7: gone");
        let cursor = Cursor::of("c", &store).unwrap().unwrap();
        assert_eq!((cursor.records, cursor.done, cursor.key.is_some()), (5_500, false, true));
        assert_eq!(store.versions(b"", 0).unwrap().count(), 5_500);
    }
}

#[test]
fn a_caller_that_panics_in_the_middle_of_a_load_leaves_a_store_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = FjallStore::open_or_create(&folder.path().join("s")).unwrap();
    let source = List((0..1_000).map(|n| Record { value: vec![b'v'; 4_000], ..record(n, 1 + n) }).collect());
    let copy = Copy { name: "c", identity: "a", since: 0, scratch: &folder.path().join("sort") };
    let mut groups = 0;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        copy.run(&source, &store, &mut |_| {
            groups += 1;
            assert!(groups < 9, "as asked");
            Flow::On
        })
    }));
    assert!(panicked.is_err());
    let batched = store.versions(b"", 0).unwrap().count() as u64;
    assert!((200..400).contains(&batched), "{batched} records");
    let rest = copy.run(&source, &store, &mut |_| Flow::On).unwrap();
    assert_eq!((rest.written, rest.cursor.records), (1_000 - batched, 1_000));
    assert_eq!(store.versions(b"", 0).unwrap().count(), 1_000);
}

#[test]
fn a_comparison_names_what_either_side_lacks_and_what_is_another_record() {
    let left = in_order(list(25_000).0);
    let mut right = left.clone();
    let same = |right: &[Record]| compare(left.iter().cloned().map(Ok), right.iter().cloned().map(Ok)).unwrap();
    let whole = same(&right);
    assert!(whole.holds());
    assert_eq!((whole.same, whole.ranges.len()), (25_000, 3));

    let gone = right.remove(20_000);
    right[3].value.push(0);
    right[5].meta = Meta::of(Meta::DELETE);
    right[6].user_meta = Some(0);
    right.push(Record { key: b"z".to_vec(), version: 9, ..Record::default() });
    let found = same(&right);
    let expected = [
        (Differing::Value, right[3].key.clone(), right[3].version),
        (Differing::Meta, right[5].key.clone(), right[5].version),
        (Differing::OnlyLeft, gone.key, gone.version),
        (Differing::OnlyRight, b"z".to_vec(), 9),
    ];
    assert_eq!(found.named, expected);
    assert_eq!((found.left, found.right, found.same), (25_000, 25_000, 24_997));
    assert_eq!(found.ranges, whole.ranges, "they are of the first side");
    let turned = compare(right.into_iter().map(Ok), left.into_iter().map(Ok)).unwrap();
    let differs: Vec<bool> = turned.ranges.iter().zip(&whole.ranges).map(|(a, b)| a != b).collect();
    assert_eq!(differs, [true, false, true]);
}

#[test]
fn what_a_backup_of_badgers_let_go_is_no_difference_and_what_it_did_not_is_one() {
    let of = |key: &str, version| Record { key: key.into(), version, value: vec![1], ..Record::default() };
    let backup = [
        Record { meta: Meta::of(Meta::DELETE), value: Vec::new(), ..of("deleted", 9) },
        Record { meta: Meta::of(Meta::DISCARD_EARLIER), ..of("discarding", 9) },
        Record { expires_at: 50, value: Vec::new(), ..of("expired", 9) },
        of("kept", 9),
    ];
    let mut store = backup.to_vec();
    store[2].value = vec![7];
    store.extend(["deleted", "discarding", "expired"].map(|key| of(key, 3)));
    let found = |backup: &[Record], store: &[Record]| {
        let both = [backup, store].map(|records| in_order(records.to_vec()).into_iter().map(Ok));
        let [backup, store] = both;
        compare_with_backup(backup, store, 100).unwrap()
    };
    let let_go = found(&backup, &store);
    assert!(let_go.holds(), "{:?}", let_go.named);
    assert_eq!((let_go.same, let_go.let_go), (3, 4));

    // Not below what hides it; not hidden at all; and never the other way round.
    for more in [of("deleted", 10), of("kept", 3), of("later", 1)] {
        let told = found(&backup, &[&store[..], std::slice::from_ref(&more)].concat());
        assert_eq!(told.named, [(Differing::OnlyRight, more.key, more.version)]);
    }
    let turned = found(&store, &backup);
    assert_eq!((turned.differing[&Differing::OnlyLeft], turned.differing[&Differing::Value]), (3, 1));
}

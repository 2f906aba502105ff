//! Both engines beside the model: whatever is written, read and reopened, nobody can tell them apart.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::model::Model;
use super::*;
use crate::error::KvErrorKind;
use crate::record::Meta;

const NOW: u64 = 1_000;

#[derive(Debug, Clone)]
enum Op {
    Write { puts: Vec<Record>, removed: Vec<prop::sample::Index>, note: Option<(u8, u64)>, durable: bool },
    Load { puts: Vec<Record>, note: u64 },
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 0xFF]), 1..4)
}

fn record() -> impl Strategy<Value = Record> {
    let version = prop_oneof![1u64..6, Just(u64::MAX)];
    let meta = prop::sample::select(vec![0, 0, Meta::DELETE, Meta::DISCARD_EARLIER, Meta::MERGE, 0xC2, 0xFF]);
    let expiry = prop::sample::select(vec![0, 0, NOW - 1, NOW, NOW + 1, u64::MAX]);
    (key(), version, prop::collection::vec(any::<u8>(), 0..20), any::<Option<u8>>(), meta, expiry).prop_map(
        |(key, version, value, user_meta, meta, expires_at)| Record {
            key,
            version,
            value,
            user_meta,
            meta: Meta::of(meta),
            expires_at,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let note = prop::option::of((0u8..3, any::<u64>()));
    let write = (
        prop::collection::vec(record(), 0..12),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        note,
        any::<bool>(),
    );
    let load = (prop::collection::vec(record(), 0..30), any::<u64>());
    prop_oneof![
        8 => write.prop_map(|(puts, removed, note, durable)| Op::Write { puts, removed, note, durable }),
        2 => load.prop_map(|(puts, note)| Op::Load { puts, note }),
        1 => Just(Op::Reopen),
    ]
}

fn all(records: Result<Records<'_>>) -> Vec<Record> {
    records.unwrap().map(Result::unwrap).collect()
}

/// Everything that a reader can ask.
fn agree(store: &dyn VersionedStore, model: &Model) {
    for prefix in [&b""[..], b"\0", b"\x01", b"a", b"a\0", b"a\xFF", b"\xFF", b"\xFF\xFF"] {
        for since in [0, 3, u64::MAX] {
            assert_eq!(all(store.versions(prefix, since)), all(model.versions(prefix, since)), "{prefix:?} {since}");
        }
        for at in [0, 2, 4, u64::MAX - 1, u64::MAX] {
            assert_eq!(all(store.live(prefix, at, NOW)), all(model.live(prefix, at, NOW)), "{prefix:?} at {at}");
            assert_eq!(store.newest(prefix, at).unwrap(), model.newest(prefix, at).unwrap(), "{prefix:?} at {at}");
        }
    }
    for record in all(model.versions(b"", 0)) {
        let (key, at) = (&record.key, record.version);
        assert_eq!(store.get(key, at, NOW).unwrap(), model.get(key, at, NOW).unwrap());
        assert_eq!(store.newest(key, at - 1).unwrap(), model.newest(key, at - 1).unwrap());
    }
    for now in [0, NOW, u64::MAX] {
        // Of what expires in the same second, the index has its own order.
        let sorted = |store: &dyn VersionedStore| {
            let mut found = all(store.expired(now));
            assert!(found.is_sorted_by_key(|record| record.expires_at));
            found.sort_by(|a, b| a.expires_at.cmp(&b.expires_at).then(a.order(b)));
            found
        };
        assert_eq!(sorted(store), sorted(model), "expired by {now}");
    }
    let mut notes = store.notes().unwrap();
    assert_eq!(notes.remove(FORMAT), Some(json!(FORMAT_VERSION)));
    assert_eq!(notes, model.notes().unwrap());
    assert_eq!(store.max_version().unwrap(), model.max_version().unwrap());
}

/// What is asked for twice may be found another way.
fn newest_agree(store: &dyn VersionedStore, model: &Model) {
    for record in all(model.versions(b"", 0)) {
        for at in [u64::MAX, record.version, u64::MAX, record.version - 1] {
            let (key, found) = (&record.key, model.newest(&record.key, at).unwrap());
            assert_eq!(store.newest(key, at).unwrap(), found, "{key:?} at {at}");
        }
    }
}

/// However often it is halved, parts are the whole, and none begins within a key.
fn parts_agree<E: Engine>(store: &Keyed<E>, model: &Model) {
    for (depth, since) in [(0, 0), (1, 0), (6, 0), (6, 3)] {
        let parts: Vec<_> = store.parts_of(since, depth).unwrap().into_iter().map(|part| all(part())).collect();
        assert_eq!(parts.concat(), all(model.versions(b"", since)), "{depth} {since}");
        let mut keys: Vec<_> =
            parts.iter().map(|part| part.iter().map(|record| &record.key).collect::<BTreeSet<_>>()).collect();
        let all = keys.iter().map(BTreeSet::len).sum::<usize>();
        assert_eq!(keys.iter_mut().flat_map(std::mem::take).collect::<BTreeSet<_>>().len(), all, "{depth} {since}");
    }
}

fn parts_of_many<E: Engine>() {
    let folder = tempfile::tempdir().unwrap();
    let store = Keyed::<E>::open_or_create(&folder.path().join("store")).unwrap();
    let put = |n: u64| {
        let mut batch = Batch::default();
        batch.put(Record { key: format!("made/{n:09}").into(), version: 1 + n, ..Record::default() });
        batch.put(Record { key: format!("made/{n:09}").into(), version: 5_000 + n, ..Record::default() });
        store.write(batch).unwrap();
    };
    (0..1_000).for_each(put);
    let parts = store.parts_of(0, 3).unwrap();
    // What iterators see of it they see whenever a part is read.
    (1_000..1_100).for_each(put);
    let sizes: Vec<_> = parts.into_iter().map(|part| all(part()).len()).collect();
    assert!(sizes.len() == 8 && sizes.iter().all(|size| (100..=700).contains(size)), "{sizes:?}");
    assert!(E::NAME != "fjall" || sizes.iter().sum::<usize>() == 2_000, "{sizes:?}");
    assert_eq!(store.parts(0).unwrap().len(), 1, "so little is not divided");
}

#[test]
fn many_keys_are_divided_about_evenly_as_of_one_moment() {
    parts_of_many::<Sled>();
    parts_of_many::<Fjall>();
}

fn run<E: Engine>(ops: Vec<Op>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let model = Model::default();
    let mut store = Some(Keyed::<E>::open_or_create(&path).unwrap());
    for op in ops {
        match op {
            Op::Write { puts, removed, note, durable } => {
                let mut batch = Batch { durable, ..Batch::default() };
                let there = all(model.versions(b"", 0));
                let gone = removed.iter().filter(|_| !there.is_empty()).map(|index| index.get(&there).clone());
                gone.for_each(|record| batch.remove(record));
                puts.into_iter().for_each(|record| batch.put(record));
                match note {
                    Some((0, _)) => batch.forget("cursor"),
                    Some((_, n)) => batch.note("cursor", json!({ "key": n })),
                    None => {}
                }
                model.write(batch.clone()).unwrap();
                store.as_ref().unwrap().write(batch).unwrap();
                newest_agree(store.as_ref().unwrap(), &model);
            }
            Op::Load { mut puts, note } => {
                puts.sort_by(Record::order);
                puts.dedup_by(|later, kept| later.order(kept).is_eq());
                let mut batch = Batch::default();
                batch.note("cursor", json!({ "key": note }));
                puts.iter().cloned().for_each(|record| batch.put(record));
                let store = store.as_ref().unwrap();
                let note = Loaded::Note("cursor".to_owned(), json!({ "key": note }));
                let mut loaded = puts.into_iter().map(Loaded::Record).chain([note]);
                let taken = store.load(&mut loaded).unwrap();
                assert_eq!(taken, E::NAME == "fjall");
                assert!(taken != (loaded.count() > 0), "who takes none reads none, who takes them reads all");
                if !taken {
                    store.write(batch.clone()).unwrap();
                }
                model.write(batch).unwrap();
                newest_agree(store, &model);
            }
            Op::Reopen => {
                drop(store.take());
                store = Some(Keyed::<E>::open(&path).unwrap());
            }
        }
    }
    agree(store.as_ref().unwrap(), &model);
    parts_agree(store.as_ref().unwrap(), &model);
    drop(store.take());
    agree(&Keyed::<E>::open(&path).unwrap(), &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sled_answers_as_the_model_does(ops in prop::collection::vec(op(), 0..12)) {
        run::<Sled>(ops);
    }

    #[test]
    fn fjall_answers_as_the_model_does(ops in prop::collection::vec(op(), 0..12)) {
        run::<Fjall>(ops);
    }
}

fn refusals<E: Engine>(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let open = || Keyed::<E>::open(&path).map(drop);
    let text = |result: Result<()>| result.unwrap_err().to_string();
    assert!(matches!(open().unwrap_err().kind, KvErrorKind::Missing(_)));
    assert!(!path.exists(), "looking made it");

    let store = Keyed::<E>::open_or_create(&path).unwrap();
    let refused = open().unwrap_err();
    assert!(matches!(refused.kind, KvErrorKind::InUse(_)), "{refused}");
    assert!(refused.to_string().contains("this process has it open"), "{refused}");

    store.engine_write(FORMAT, "2");
    drop(store);
    assert!(
        text(open()).contains("its layout is version 2, and this build knows versions up to 1"),
        "{}",
        text(open())
    );
    let engine = E::open(&path).unwrap();
    engine.write(vec![(crate::encoding::note_key(FORMAT), None)], true).unwrap();
    drop(engine);
    assert!(text(open()).contains(&format!("a {name} database that no cutover made")), "{}", text(open()));
}

fn highest_after_a_crash<E: Engine>() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let record = |version| Record { key: b"a".to_vec(), version, value: b"v".to_vec(), ..Record::default() };
    let noted = || {
        let engine = E::open(&path).unwrap();
        let note = engine.get(&crate::encoding::note_key(MAX_VERSION)).unwrap();
        note.map(|bytes| String::from_utf8(bytes.as_ref().to_vec()).unwrap())
    };
    let write = |store: &Keyed<E>, change: fn(&mut Batch, Record), version| {
        let mut batch = Batch::default();
        change(&mut batch, record(version));
        store.write(batch).unwrap();
    };
    let store = Keyed::<E>::open_or_create(&path).unwrap();
    [3, 9, 4].into_iter().for_each(|version| write(&store, Batch::put, version));
    // What a crash would leave is what is there before it is dropped.
    assert_eq!(store.engine_note(MAX_VERSION).as_deref(), Some(r#"{"since":0}"#));
    assert_eq!(store.notes().unwrap()[MAX_VERSION], json!(9));
    drop(store);
    assert_eq!(noted().as_deref(), Some("9"));

    let engine = E::open(&path).unwrap();
    engine.write(vec![(crate::encoding::note_key(MAX_VERSION), Some(br#"{"since":4}"#.to_vec()))], true).unwrap();
    drop(engine);
    let store = Keyed::<E>::open(&path).unwrap();
    assert_eq!((store.max_version().unwrap(), &store.notes().unwrap()[MAX_VERSION]), (9, &json!(9)));
    drop(store);
    assert_eq!(noted().as_deref(), Some(r#"{"since":4}"#), "who only looks writes nothing");

    // A version that is removed was written all the same.
    let store = Keyed::<E>::open(&path).unwrap();
    write(&store, Batch::remove, 9);
    assert_eq!(store.engine_note(MAX_VERSION).as_deref(), Some("9"));
    write(&store, Batch::put, 5);
    assert_eq!((store.engine_note(MAX_VERSION).as_deref(), store.max_version().unwrap()), (Some("9"), 9));
    write(&store, Batch::put, 10);
    assert_eq!(store.engine_note(MAX_VERSION).as_deref(), Some(r#"{"since":9}"#));
    store.flush().unwrap();
    assert_eq!(store.engine_note(MAX_VERSION).as_deref(), Some("10"));
}

#[test]
fn the_highest_version_is_known_after_a_crash_too() {
    highest_after_a_crash::<Sled>();
    highest_after_a_crash::<Fjall>();
}

#[test]
fn a_store_that_is_missing_in_use_newer_or_not_ours_is_refused() {
    refusals::<Sled>("sled");
    refusals::<Fjall>("fjall");
}

#[test]
fn a_load_that_fails_leaves_nothing_and_the_store_takes_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = FjallStore::open_or_create(&path).unwrap();
    let record = |key: Vec<u8>, version| Record { key, version, value: vec![b'v'; 1_000], ..Record::default() };
    let many = || (0..1_000u64).map(|n| Loaded::Record(record(format!("made/{n:09}").into(), 1 + n)));
    let out_of_order = Loaded::Record(record(b"a".to_vec(), 1));
    let twice = Loaded::Record(record(b"made/000000999".to_vec(), 1_000));
    let too_long = Loaded::Record(record(vec![0xFF; 70_000], 1));
    // The key of its place in the index is longer than its own.
    let late = Record { expires_at: 1, ..record(vec![0xFF; 65_521], 1) };
    let tables = || {
        let folders = fs::read_dir(path.join("keyspaces")).unwrap().map(|entry| entry.unwrap().path().join("tables"));
        let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        files.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    for (wrong, says) in [
        (out_of_order, "out of order"),
        (twice, "or twice"),
        (too_long, "fjall keeps keys of up to"),
        (Loaded::Record(late), "fjall keeps keys of up to"),
    ] {
        let refused = store.load(&mut many().chain([wrong])).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
        assert_eq!((all(store.versions(b"", 0)).len(), store.max_version().unwrap()), (0, 0));
    }
    drop(store);
    assert!(tables() > 500_000);
    let store = FjallStore::open(&path).unwrap();
    assert!(tables() < 100_000, "what it had written is still there");
    store.load(&mut many()).unwrap();
    // Nobody told it to flush: a load is durable, and the note of the highest version with it.
    assert_eq!(store.engine_note(MAX_VERSION).as_deref(), Some("1000"));
    assert_eq!(all(store.versions(b"", 0)).len(), 1_000);
}

#[test]
fn what_others_write_while_a_load_is_read_raises_its_note() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = FjallStore::open_or_create(&path).unwrap();
    let record = |key: &str, version| Record { key: key.into(), version, ..Record::default() };
    let mut loaded = (0..3u64).map(|n| {
        let mut batch = Batch::default();
        batch.put(record("other", 70 + n));
        store.write(batch).unwrap();
        Loaded::Record(record(&format!("key{n}"), 5 + n))
    });
    assert!(store.load(&mut loaded).unwrap());
    assert_eq!((store.max_version().unwrap(), store.engine_note(MAX_VERSION).as_deref()), (72, Some("72")));
    // The next one says again that there may be more.
    let mut batch = Batch::default();
    batch.put(record("other", 80));
    store.write(batch).unwrap();
    assert_eq!(store.engine_note(MAX_VERSION).as_deref(), Some(r#"{"since":72}"#));
}

#[test]
fn a_key_too_long_for_fjall_is_refused_and_sled_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let batch = || {
        let mut batch = Batch::default();
        batch.put(Record { key: vec![0; 40_000], version: 1, value: b"v".to_vec(), ..Record::default() });
        batch
    };
    let fjall = FjallStore::open_or_create(&folder.path().join("fjall")).unwrap();
    let refused = fjall.write(batch()).unwrap_err();
    assert!(matches!(refused.kind, KvErrorKind::TooLarge(_)), "{refused}");
    let sled = SledStore::open_or_create(&folder.path().join("sled")).unwrap();
    sled.write(batch()).unwrap();
    assert_eq!(sled.get(&[0; 40_000], 1, NOW).unwrap().unwrap().value, b"v");
    assert!(fs::exists(folder.path().join("fjall/version")).unwrap());
}

//! What Badger leaves only now and then: the same version in several places, moved and collected values, odd checksums.

use super::writer::{Put, Writer, pointing, put};
use super::*;
use crate::Version;
use crate::badger::{Compression, Tally};

fn values(directory: &BadgerDir) -> Vec<(String, u64, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    all(directory).into_iter().map(|r| (text(r.key), r.version, text(r.value))).collect()
}

fn shown(records: &[(&str, u64, &str)]) -> Vec<(String, u64, String)> {
    records.iter().map(|&(key, version, value)| (key.into(), version, value.into())).collect()
}

#[test]
fn of_one_version_in_several_places_the_newest_wins_and_it_comes_once() {
    for version in [Version::V2, Version::V3] {
        let scratch = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(scratch.path(), version);
        writer.table(1, 2, &[put("a", 1, "level 2"), put("b", 1, "level 2"), put("c", 1, "level 2")]);
        writer.table(2, 1, &[put("b", 1, "level 1"), put("c", 2, "c2")]);
        writer.table(3, 0, &[put("a", 2, "older table"), put("c", 1, "older table")]);
        writer.table(4, 0, &[put("a", 2, "newer table")]);
        writer.table(5, 2, &[put("d", 9, "d9"), put("d", 8, "d8"), put("d", 7, "d7")]);
        writer.finish();
        let expected = [
            ("a", 2, "newer table"),
            ("a", 1, "level 2"),
            ("b", 1, "level 1"),
            ("c", 2, "c2"),
            ("c", 1, "older table"),
            ("d", 9, "d9"),
            ("d", 8, "d8"),
            ("d", 7, "d7"),
        ];
        assert_eq!(values(&open(scratch.path(), false).unwrap()), shown(&expected));
    }
}

#[test]
fn what_the_logs_hold_wins_over_the_tables_and_a_transaction_counts_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(scratch.path(), Version::V3);
    writer.table(1, 0, &[put("a", 1, "table"), put("b", 1, "table")]);
    let part = |put: Put<'static>| Put { meta: 0x40, ..put };
    let end = |version: u64| Put { meta: 0x80, ..put("!badger!txn", version, &version.to_string()) };
    writer.log("00001.mem", &[put("a", 1, "first log")]);
    writer.log("00002.mem", &[put("a", 1, "second log"), part(put("c", 5, "c")), part(put("d", 5, "d")), end(5)]);
    writer.log("00003.mem", &[part(put("e", 6, "e"))]);
    writer.finish();
    assert!(open(scratch.path(), false).is_err());
    let directory = open(scratch.path(), true).unwrap();
    let expected = [("a", 1, "second log"), ("b", 1, "table"), ("c", 5, "c"), ("d", 5, "d")];
    assert_eq!(values(&directory), shown(&expected));
    assert_eq!(directory.remarks(), ["19 bytes of the logs belong to transactions that were never finished"]);

    // What belongs to no transaction in the middle of one, and an end without a begin, are damage.
    for wrong in [&[part(put("e", 6, "e")), put("f", 7, "f")][..], &[end(6)], &[part(put("e", 6, "e")), end(7)]] {
        writer.log("00003.mem", wrong);
        let error = open(scratch.path(), true).unwrap_err();
        assert!(error.offset.is_some_and(|at| at >= 20), "{error}");
    }
}

#[test]
fn checksums_of_both_kinds_and_our_own_encryption_are_read() {
    for (version, compression, keys) in [
        (Version::V2, Compression::None, None),
        (Version::V3, Compression::Snappy, None),
        (Version::V3, Compression::Snappy, Some((key(16).unwrap(), key(32).unwrap()))),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(scratch.path(), version);
        (writer.xx, writer.compression, writer.keys) = (true, compression, keys.clone());
        let places = writer.log("000000.vlog", &[put("b", 3, "far away")]);
        let head = pointing(put("!badger!head", 9, ""), 0, places[0]);
        let head = Put { meta: 0, ..head };
        writer.table(1, 1, &[head, put("a", 1, "here"), pointing(put("b", 3, ""), 0, places[0])]);
        writer.finish();
        let options = BadgerOptions { key: keys.map(|(_, master)| master), replay: false };
        let directory = BadgerDir::open(scratch.path(), &options).unwrap();
        assert_eq!(values(&directory), shown(&[("a", 1, "here"), ("b", 3, "far away")]));
    }
}

#[test]
fn moved_values_are_found_collected_ones_are_counted_and_a_lost_one_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(scratch.path(), Version::V2);
    let gone = |key, version| pointing(put(key, version, ""), 3, (20, 30));
    let places = writer.log("000007.vlog", &[put("!badger!moveb", 4, "moved"), put("!badger!movec", 2, "old c")]);
    let head = Put { meta: 0, ..pointing(put("!badger!head", 9, ""), 7, places[1]) };
    let moved = [
        pointing(put("!badger!moveb", 4, ""), 7, places[0]),
        put("!badger!movec", 5, "new c"),
        pointing(put("!badger!movec", 2, ""), 7, places[1]),
    ];
    let rest = [gone("b", 4), gone("c", 5), gone("c", 3), gone("c", 2), Put { meta: 1 | 2, ..gone("d", 1) }];
    let table: Vec<_> = [head].into_iter().chain(moved).chain(rest).collect();
    writer.table(1, 1, &table);
    writer.finish();
    let directory = open(scratch.path(), false).unwrap();
    let expected = [("b", 4, "moved"), ("c", 5, "new c"), ("c", 2, "old c"), ("d", 1, "")];
    assert_eq!(values(&directory), shown(&expected));
    let mut scan = directory.scan(0).unwrap();
    assert_eq!(scan.by_ref().filter(Result::is_err).count(), 0);
    let internal = [("head".to_owned(), 1), ("moveb".to_owned(), 1), ("movec".to_owned(), 2)].into();
    assert_eq!(*scan.tally(), Tally { internal, collected: 1 });
    drop(scan);

    writer.changes.clear();
    writer.table(1, 1, &[table[0].clone(), gone("e", 1)]);
    writer.finish();
    let error = open(scratch.path(), false).unwrap().scan(0).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("the value of `e` at version 1 is in a file"), "{error}");
}

#[test]
fn a_pointer_to_the_record_of_another_key_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(scratch.path(), Version::V3);
    let places = writer.log("000000.vlog", &[put("b", 3, "far away")]);
    writer.table(1, 1, &[pointing(put("a", 3, ""), 0, places[0])]);
    writer.finish();
    let error = open(scratch.path(), false).unwrap().scan(0).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("000000.vlog` at byte 20: a pointer leads to the record of another key"));
}

#[test]
fn entries_that_are_not_in_order_are_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(scratch.path(), Version::V3);
    writer.table(1, 1, &[put("b", 1, ""), put("a", 1, "")]);
    writer.finish();
    let read: Result<Vec<_>, _> = open(scratch.path(), false).unwrap().scan(0).unwrap().collect();
    assert!(read.unwrap_err().to_string().contains("000001.sst`: the entries of the table are not in order"));
}

#[test]
fn a_manifest_of_another_format_is_named_and_a_torn_change_is_not_closed() {
    let scratch = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(scratch.path(), Version::V3);
    writer.table(1, 1, &[put("a", 1, "kept")]);
    writer.finish();
    let path = scratch.path().join("MANIFEST");
    let whole = std::fs::read(&path).unwrap();
    for (number, says) in [(4u32, "format 4 (Badger 1.6)"), (9, "of format 9; formats 7 (Badger 2) and 8")] {
        std::fs::write(&path, [b"Bdgr", &number.to_be_bytes()[..], &whole[8..]].concat()).unwrap();
        let error = open(scratch.path(), true).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // The application's own number does not matter.
    std::fs::write(&path, [b"Bdgr", &[0, 77, 0, 8], &whole[8..]].concat()).unwrap();
    assert_eq!(values(&open(scratch.path(), false).unwrap()), shown(&[("a", 1, "kept")]));

    std::fs::write(&path, [&whole[..], &whole[8..20]].concat()).unwrap();
    let error = open(scratch.path(), false).unwrap_err().to_string();
    assert!(error.contains("was not closed: the last 12 bytes of MANIFEST are no whole change"), "{error}");
    let directory = open(scratch.path(), true).unwrap();
    assert_eq!(values(&directory), shown(&[("a", 1, "kept")]));
    assert_eq!(directory.remarks(), ["the last 12 bytes of MANIFEST are no whole change"]);
}

//! One consistent cut, or none.

use std::fs;

use cutover_core::{Applied, Standing, Verdict};
use cutover_tests::{Fixture, Tree};

use super::SnapshotSet;
use crate::testing::{SNAPSHOT, two_files};

#[test]
fn a_write_between_the_first_and_the_last_copy_fails_and_the_next_try_replaces_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    two_files(dir.path());
    // The copy of `two` is followed by a write to `one`, whose copy was taken before.
    fs::write(dir.path().join("writer"), "one.db").unwrap();
    let bench = Fixture::new(SNAPSHOT).open(dir.path());
    let error = bench.apply("cut").unwrap_err();
    assert!(error.to_string().starts_with("`one` changed while"), "{error}");
    assert!(error.help().unwrap().contains("stop the programs"));
    assert!(matches!(bench.inspect("cut").unwrap(), Standing::Partial(_)));
    assert!(matches!(bench.verify("cut").unwrap(), Verdict::Broken(_)));

    fs::remove_file(dir.path().join("writer")).unwrap();
    assert!(matches!(bench.apply("cut").unwrap(), Applied::Changed(_)));
    assert_eq!(bench.verify("cut").unwrap(), Verdict::Holds);
    assert_eq!(fs::read_dir(dir.path().join("backups")).unwrap().count(), 1);
    assert!(!dir.path().join("backups/pre/incomplete").exists());
}

#[test]
fn an_earlier_complete_set_is_set_aside_whole_and_says_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    two_files(dir.path());
    let fixture = Fixture::new(SNAPSHOT);
    fixture.open(dir.path()).apply("cut").unwrap();
    let first = Tree::of(&dir.path().join("backups/pre/one"));
    fs::write(dir.path().join("one.db"), "later").unwrap();
    let Applied::Changed(receipt) = fixture.open(dir.path()).apply("cut").unwrap() else { panic!("not taken") };
    assert_eq!(receipt.notes, ["an earlier set is kept as pre-20260101T000000Z"]);
    // What a runner restores from.
    let manifests: Vec<cutover_core::SnapshotManifest> =
        serde_json::from_value(receipt.body["manifests"].clone()).unwrap();
    assert_eq!(manifests.iter().map(|m| m.target.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let aside = dir.path().canonicalize().unwrap().join("backups/pre-20260101T000000Z");
    assert_eq!(first.differences(&Tree::of(&aside.join("one"))), Vec::<String>::new());
    let set = SnapshotSet::read(&aside).unwrap().unwrap();
    assert_eq!(set.snapshots["one"].manifest.folder, aside.join("one"));
    assert_eq!(set.damage(&aside), Vec::<String>::new());
    assert_eq!(fs::read_to_string(dir.path().join("backups/pre/one/copy")).unwrap(), "later");
}

#[test]
fn a_folder_with_files_of_others_is_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    two_files(dir.path());
    fs::create_dir_all(dir.path().join("backups/pre")).unwrap();
    fs::write(dir.path().join("backups/pre/mine"), "mine").unwrap();
    let bench = Fixture::new(SNAPSHOT).open(dir.path());
    assert!(matches!(bench.inspect("cut").unwrap(), Standing::Conflict(why) if why.contains("choose another `into`")));
    assert!(bench.apply("cut").is_err());
    assert_eq!(fs::read_dir(dir.path().join("backups/pre")).unwrap().count(), 1);
}

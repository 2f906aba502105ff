//! Files go aside whole, and come back whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cutover_core::{Applied, Standing};
use cutover_tests::{Fixture, Tree};

use crate::testing::{ARCHIVE, logs};

#[test]
fn a_link_moves_as_a_link_and_a_stop_between_two_files_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    logs(dir.path());
    let before = Tree::of(&dir.path().join("brain"));
    let fixture = Fixture::new(ARCHIVE);
    let bench = fixture.open(dir.path());
    bench.host().set_stop(true);
    let Applied::Stopped(at) = bench.apply("aside").unwrap() else { panic!("it did not stop") };
    assert_eq!(at.at, "0 of 4 files");
    bench.host().set_stop(false);
    // One of them is moved, as if the process had died after it.
    fs::rename(dir.path().join("brain/a.jsonl"), dir.path().join("brain/archive/pre-2.0/a.jsonl")).unwrap();
    assert!(matches!(bench.inspect("aside").unwrap(), Standing::Partial(_)));
    let Applied::Changed(receipt) = bench.apply("aside").unwrap() else { panic!("nothing changed") };
    assert_eq!(receipt.notes, ["4 files set aside in archive/pre-2.0"]);
    let link = dir.path().join("brain/archive/pre-2.0/link.jsonl");
    assert_eq!(fs::read_link(link).unwrap(), Path::new("keep.db"));
    bench.rollback("aside", Some(&receipt)).unwrap();
    assert_eq!(before.differences(&Tree::of(&dir.path().join("brain"))), Vec::<String>::new());
}

#[test]
fn nothing_is_overwritten_on_the_way_there_or_back() {
    let dir = tempfile::tempdir().unwrap();
    logs(dir.path());
    let taken = dir.path().join("brain/archive/pre-2.0/a.jsonl");
    fs::write(&taken, "somebody's").unwrap();
    let bench = Fixture::new(ARCHIVE).open(dir.path());
    let Standing::Conflict(why) = bench.inspect("aside").unwrap() else { panic!("no conflict") };
    assert!(why.contains("`archive/pre-2.0/a.jsonl` is there already"), "{why}");
    assert!(bench.apply("aside").is_err());
    assert!(dir.path().join("brain/a.jsonl").exists());

    fs::remove_file(&taken).unwrap();
    let Applied::Changed(receipt) = bench.apply("aside").unwrap() else { panic!("nothing changed") };
    fs::write(dir.path().join("brain/a.jsonl"), "new one").unwrap();
    let error = bench.rollback("aside", Some(&receipt)).unwrap_err();
    assert!(error.to_string().contains("somebody made a new `a.jsonl`"), "{error}");
    assert!(dir.path().join("brain/archive/pre-2.0/old/x").exists(), "half of it was moved back");
}

#[test]
fn a_folder_that_is_a_link_is_refused_and_not_taken_for_done() {
    let dir = tempfile::tempdir().unwrap();
    logs(dir.path());
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    fs::write(dir.path().join("elsewhere/z.jsonl"), "theirs").unwrap();
    for (to, said) in [("../elsewhere", "a link that leads out of the folder"), ("deep", "a link")] {
        let link = dir.path().join("brain/linked");
        symlink(to, &link).unwrap();
        let bench = Fixture::new(ARCHIVE.replace("**/*.jsonl", "linked/*.jsonl")).open(dir.path());
        let Standing::Conflict(why) = bench.inspect("aside").unwrap() else { panic!("no conflict") };
        assert!(why.contains(&format!("`linked` is {said}")) && why.contains("linked/*.jsonl"), "{why}");
        assert!(bench.apply("aside").is_err());
        assert!(dir.path().join("elsewhere/z.jsonl").exists());
        fs::remove_file(link).unwrap();
    }
}

#[test]
fn that_no_file_matches_is_said() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("brain")).unwrap();
    let bench = Fixture::new(ARCHIVE).open(dir.path());
    let Applied::AlreadyApplied(receipt) = bench.apply("aside").unwrap() else { panic!("something changed") };
    assert_eq!(receipt.notes, ["no file matches: nothing to set aside"]);
}

//! Against Badger v2.2007.2 itself.

use std::path::Path;

use cutover_tests::{BadgerPeer, Tree};

use super::*;
use crate::KvErrorKind;

/// Makes a database, reads it, and compares; says what was read.
#[track_caller]
fn compare(peer: &BadgerPeer, make: &[&str], dump: &[&str], options: &BadgerOptions) -> Vec<Record> {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("db");
    peer.make(&folder, make);
    let before = Tree::of(&folder);
    let ours = all(&BadgerDir::open(&folder, options).unwrap());
    before.assert_same(&Tree::of(&folder), "reading");
    assert_same(&ours, &theirs(peer.dump(&folder, dump)));
    ours
}

#[test]
fn each_compression_gives_what_badger_finds() {
    let Some(peer) = BadgerPeer::find() else { return };
    for compression in ["none", "snappy", "zstd"] {
        let flags = ["--compression", compression];
        let records = compare(&peer, &flags, &flags, &BadgerOptions::default());
        assert!(records.len() > 1200, "{compression}: {}", records.len());
        let of = |key: &[u8]| records.iter().filter(|r| r.key == key).collect::<Vec<_>>();
        assert_eq!(of(b"versions").len(), 200);
        assert_eq!(of(b"back").iter().map(|r| r.meta.is_delete()).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(of(b"expired")[0].expires_at, 1_000_000_000);
        assert!(of(b"discard")[0].meta.discards_earlier() && of(b"merged")[0].meta.is_merge());
        assert_eq!(of(b"big/0300000")[0].value.len(), 300_000);
        assert!(records.iter().all(|r| !r.key.starts_with(b"!badger!")));
    }
}

#[test]
fn each_length_of_the_master_key_opens_what_badger_encrypted() {
    let Some(peer) = BadgerPeer::find() else { return };
    for (bytes, compression) in [(16, "none"), (24, "zstd"), (32, "snappy")] {
        let flags = ["--key", &KEY[..2 * bytes], "--compression", compression];
        compare(&peer, &flags, &flags, &BadgerOptions { key: key(bytes), replay: false });
    }
}

#[test]
fn many_tables_on_several_levels_are_read_as_one() {
    let Some(peer) = BadgerPeer::find() else { return };
    for compact in [&["--compact"][..], &[]] {
        let flags = [&["--table-size", "2097152", "--records", "40000"], compact].concat();
        compare(&peer, &flags, &["--table-size", "2097152"], &BadgerOptions::default());
    }
}

#[test]
fn a_database_that_crashed_is_refused_and_replayed_where_that_is_asked_for() {
    let Some(peer) = BadgerPeer::find() else { return };
    for flags in [
        &["--unclean"][..],
        &["--unclean", "--table-size", "2097152", "--records", "40000"],
        &["--unclean", "--key", KEY],
        &["--unclean", "--vlog-size", "2097152", "--records", "40000", "--value-bytes", "300"],
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("db");
        peer.make(&folder, flags);
        let encrypted = flags.contains(&"--key");
        let options = |replay| BadgerOptions { key: key(32).filter(|_| encrypted), replay };
        let refused = BadgerDir::open(&folder, &options(false)).unwrap_err();
        assert!(matches!(refused.kind, KvErrorKind::Unclean(_)), "{refused}");
        let before = Tree::of(&folder);
        let ours = all(&BadgerDir::open(&folder, &options(true)).unwrap());
        before.assert_same(&Tree::of(&folder), "reading");
        let dump: Vec<&str> = flags.iter().copied().filter(|flag| *flag != "--unclean").collect();
        assert_same(&ours, &theirs(peer.dump(&folder, &dump)));
    }
}

#[test]
fn a_database_that_another_process_has_open_is_refused() {
    let Some(peer) = BadgerPeer::find() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let (folder, socket) = (scratch.path().join("db"), scratch.path().join("socket"));
    let mut serving = peer.command(&["serve"]).arg(&folder).arg("--socket").arg(&socket).spawn().unwrap();
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(serving.try_wait().unwrap().is_none(), "it ended");
    }
    for replay in [false, true] {
        let refused = open(&folder, replay).unwrap_err();
        assert!(matches!(refused.kind, KvErrorKind::InUse(_)), "{refused}");
        assert!(refused.to_string().contains(&format!("process {}", serving.id())), "{refused}");
    }
    let stopped = cutover_tests::run(peer.command(&["ask"]).arg(&socket).arg("stop")).expect_code(0);
    assert_eq!(stopped.stdout, "stopped\n");
    assert!(serving.wait().unwrap().success());
    assert!(open(&folder, false).is_ok());
}

#[test]
fn badger_cannot_open_to_write_what_is_being_read() {
    let Some(peer) = BadgerPeer::find() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("db");
    peer.make(&folder, &["--records", "1"]);
    let held = open(&folder, false).unwrap();
    let refused = cutover_tests::run(peer.command(&["make"]).arg(&folder).args(["--extra", "--records", "1"]));
    assert!(refused.expect_code(1).stderr.contains("Another process is using this Badger database"));
    drop(held);
    peer.make(&folder, &["--extra", "--records", "1"]);
}

#[test]
fn the_wrong_key_and_none_are_told_apart() {
    let Some(peer) = BadgerPeer::find() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let (encrypted, plain) = (scratch.path().join("encrypted"), scratch.path().join("plain"));
    peer.make(&encrypted, &["--records", "1", "--key", KEY]);
    peer.make(&plain, &["--records", "1"]);
    let text = |folder: &Path, key| match BadgerDir::open(folder, &BadgerOptions { key, replay: false }) {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.kind.to_string(),
    };
    assert_eq!(text(&encrypted, None), "is encrypted, and no key is given");
    assert_eq!(text(&encrypted, key(16)), "the key that is given is not the one that it is encrypted with");
    assert_eq!(text(&encrypted, key(32)), "opened");
    assert_eq!(text(&plain, key(16)), "a key is given for a database that is not encrypted");
}

#[test]
fn only_what_is_at_or_after_a_version_is_read_from_there_on() {
    let Some(peer) = BadgerPeer::find() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("db");
    peer.make(&folder, &[]);
    let directory = open(&folder, false).unwrap();
    let from: Vec<_> = directory.scan(100).unwrap().map(Result::unwrap).collect();
    assert!(from.iter().any(|r| r.version == 100));
    assert_eq!(from, all(&directory).into_iter().filter(|r| r.version >= 100).collect::<Vec<_>>());
}

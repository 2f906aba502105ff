//! Badger's own directory as a target: looked at, kept as it is, put back, and what others wrote is not lost quietly.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cutover_core::{Depth, RestoreOptions};
use cutover_tests::{Tree, copy_folder};
use pollster::block_on;

use super::*;
use crate::target::tests::open;

/// A directory of Badger 4, from the reader's fixtures.
fn place(root: &Path, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/badger/tests/fixtures").join(name);
    let to = root.join("data/memory");
    fs::create_dir_all(root.join("data")).unwrap();
    let _ = fs::remove_dir_all(&to);
    copy_folder(&from, &to);
    fs::remove_file(to.join("records.jsonl")).unwrap();
}

#[test]
fn a_look_counts_the_records_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), "v4-snappy");
    let bench = open(folder.path(), "badger");
    let (target, cx) = (bench.target("memory"), bench.plan_cx());
    let before = Tree::of(folder.path());
    let found = block_on(target.assess(&cx)).unwrap();
    assert_eq!(found.version, "Badger 3 or 4 (format 8)");
    assert_eq!(found.facts["records"], "140");
    assert_eq!((found.facts["compression"].as_str(), found.facts["encrypted"].as_str()), ("snappy", "no"));
    assert_eq!(found.problems.len(), 1, "the merge operator: {:?}", found.problems);
    let measure = |query: &str| block_on(target.measure(&cx, query)).unwrap();
    assert_eq!(["records", "records k/", "keys versions", "max-version"].map(measure)[..3], [140.0, 20.0, 1.0]);
    let holds = |fact: &str| block_on(target.holds(&cx, fact)).unwrap();
    assert_eq!(
        ["key:back", "key:gone", "key:expired", "prefix:k/", "prefix:none"].map(holds),
        [true, false, false, true, false]
    );
    before.assert_same(&Tree::of(folder.path()), "looking");
}

#[test]
fn the_same_records_have_the_same_digest_whatever_badger_wrote_them() {
    let folder = tempfile::tempdir().unwrap();
    let print = |name: &str| {
        place(folder.path(), name);
        let bench = open(folder.path(), "badger");
        block_on(bench.target("memory").fingerprint(&bench.plan_cx(), Depth::Content)).unwrap()
    };
    assert_eq!(print("v3-plain").content, print("v4-snappy").content);
}

#[test]
fn a_restore_puts_the_directory_back_and_counts_what_others_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    place(root, "v4-snappy");
    let database = root.join("data/memory");
    fs::set_permissions(database.join("MANIFEST"), fs::Permissions::from_mode(0o640)).unwrap();
    let bench = open(root, "badger");
    let (target, cx) = (bench.target("memory"), bench.plan_cx());
    let before = Tree::of(&database);
    let snapshot = block_on(target.snapshot(&cx, &root.join("snapshot"))).unwrap();
    before.assert_same(&Tree::of(&database), "a snapshot");

    // Nothing changed: nothing is done.
    let options = RestoreOptions { aside: root.join("aside"), ..RestoreOptions::default() };
    assert!(block_on(target.restore(&cx, &snapshot, &options)).unwrap().lost.is_empty());
    assert!(!options.aside.exists());

    // Another database in its place, by somebody else.
    fs::write(database.join("00001.mem"), [0; 20]).unwrap();
    let missing = database.join("000001.vlog");
    let value_log = fs::read(&missing).unwrap();
    fs::remove_file(&missing).unwrap();
    let error = block_on(target.restore(&cx, &snapshot, &options)).unwrap_err();
    assert!(error.to_string().contains("cannot be read, and so not be counted"), "{error}");
    fs::write(&missing, value_log).unwrap();
    fs::write(database.join("MANIFEST"), b"Bdgr\0\0\0\x08").unwrap();
    fs::remove_file(database.join("000001.sst")).unwrap();
    let changed = Tree::of(&database);
    let error = block_on(target.restore(&cx, &snapshot, &options)).unwrap_err();
    assert!(error.to_string().contains("140 records in"), "{error}");
    changed.assert_same(&Tree::of(&database), "a refused restore");

    let options = RestoreOptions { accept_loss: true, ..options };
    // What a killed restore left beside it is no obstacle.
    fs::create_dir(root.join("data/.memory.cutover-partial")).unwrap();
    let restored = block_on(target.restore(&cx, &snapshot, &options)).unwrap();
    assert_eq!(restored.lost, [("records".to_owned(), 140)].into());
    before.assert_same(&Tree::of(&database), "a restore");
    changed.assert_same(&Tree::of(&options.aside.join("memory")), "setting aside");
    assert_eq!(fs::read_dir(root.join("data")).unwrap().count(), 1, "something is left beside it");

    // Gone altogether, and the snapshot damaged.
    fs::remove_dir_all(&database).unwrap();
    block_on(target.restore(&cx, &snapshot, &options)).unwrap();
    before.assert_same(&Tree::of(&database), "a restore of what is gone");
    fs::write(root.join("snapshot/files/MANIFEST"), "no").unwrap();
    fs::write(database.join("MANIFEST"), "no").unwrap();
    assert!(block_on(target.restore(&cx, &snapshot, &options)).is_err());
    assert_eq!(fs::read(database.join("MANIFEST")).unwrap(), b"no");
}

#[test]
fn a_master_key_is_bytes_or_digits_and_nothing_else() {
    let config = |key: &str| BadgerConfig { key: Some(key.to_owned()), replay: false }.options();
    for (key, bytes) in
        [("0123456789abcdef", "16"), (&"0f".repeat(16), "16"), (&"z".repeat(32), "32"), (&"0f".repeat(32), "32")]
    {
        assert_eq!(format!("{:?}", config(key).unwrap().key.unwrap()), format!("Key({bytes} bytes)"));
    }
    for wrong in ["", "0123456789abcde", &"0f".repeat(20)] {
        assert!(config(wrong).is_err(), "{wrong}");
    }
}

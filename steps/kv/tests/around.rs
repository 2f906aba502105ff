//! Out of Badger's own directories, through a store, and back into Badger: with plans, and beside Debian's CLI.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that fails, and says what it left out"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cutover_core::{Registry, Verdict};
use cutover_steps_kv::backup::{BackupFile, write_backup};
use cutover_steps_kv::store::{FjallStore, SledStore, VersionedStore};
use cutover_steps_kv::{BadgerDir, BadgerOptions, Key, Record, RecordSource};
use cutover_tests::{BadgerPeer, Fixture, copy_folder};

/// A master key, as a plan has it: from the environment.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Whether Badger's CLI can be run here. Where `CI` is set it has to be.
fn badger_is_there() -> bool {
    let found = Command::new("unshare").args(["-n", "badger", "--help"]).output().is_ok_and(|out| out.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "Badger's CLI is missing: apt-get install badger (and be root)");
    if !found {
        println!("skipped: Badger's CLI is missing, or only root may run it without a network");
    }
    found
}

/// What Badger's CLI has when it restored a file and wrote a backup of that.
fn through_badger(file: &Path, scratch: &Path) -> Vec<Record> {
    let (db, out) = (scratch.join("db"), scratch.join("out.bak"));
    let _ = (fs::remove_dir_all(&db), fs::remove_file(&out));
    for (what, file) in [("restore", file), ("backup", out.as_path())] {
        let mut command = Command::new("unshare");
        let ran = command.args(["-n", "badger", what, "--dir"]).arg(&db).arg("-f").arg(file).output().unwrap();
        assert!(ran.status.success(), "badger {what}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    sorted(&BackupFile::new(&out))
}

fn sorted(source: &dyn RecordSource) -> Vec<Record> {
    let mut records: Vec<_> = source.records(0).unwrap().map(Result::unwrap).collect();
    records.sort_by(Record::order);
    records
}

#[track_caller]
fn assert_same(what: &str, found: &[Record], expected: &[Record]) {
    let show = |record: &Record| format!("{} v{}", record.key.escape_ascii(), record.version);
    let differing = found.iter().zip(expected).find(|(a, b)| !a.same(b));
    let differing = differing.map(|(a, b)| (show(a), a.meta, show(b), b.meta));
    assert!(
        differing.is_none() && found.len() == expected.len(),
        "{what}: {} instead of {}: {differing:?}",
        found.len(),
        expected.len()
    );
}

fn store(kind: &str, path: &Path) -> Box<dyn VersionedStore> {
    match kind {
        "sled" => Box::new(SledStore::open(path).unwrap()),
        _ => Box::new(FjallStore::open(path).unwrap()),
    }
}

/// The directory goes into a store of that kind and from there into a backup; says what its records are.
fn moved(kind: &str, root: &Path, with: &str, key: usize) -> Vec<Record> {
    let plan = format!(
        r#"
name = "p"
[targets.phl]
kind = "badger"
path = "data/phl"
with = {{ {with} }}
[targets.memory]
kind = "{kind}"
path = "data/memory"
[[phase]]
name = "x"
layer = "storage"
[[phase.step]]
id = "copy"
use = "kv.copy"
with = {{ from = "phl", into = "memory" }}
[[phase.step]]
id = "same"
use = "kv.verify"
with = {{ from = "phl", into = "memory" }}
[[phase.step]]
id = "back"
use = "kv.backup"
with = {{ from = "memory", into = "data/back.bak" }}
"#
    );
    let registry = Registry::collect().unwrap();
    let bench = Fixture::with_registry(plan, &registry).env("PHL_KEY", &KEY[..2 * key]).open(root);
    for step in ["copy", "same", "back"] {
        bench.apply(step).unwrap_or_else(|error| panic!("{kind}, {with}, {step}: {error}"));
        assert_eq!(bench.verify(step).unwrap(), Verdict::Holds, "{kind}, {with}, {step}");
    }
    drop(bench);
    let key = with.contains("key").then(|| Key::of((0..key as u8).collect())).flatten();
    let options = BadgerOptions { key, replay: with.contains("replay") };
    let source = sorted(&BadgerDir::open(&root.join("data/phl"), &options).unwrap());
    let kept: Vec<_> = store(kind, &root.join("data/memory")).versions(b"", 0).unwrap().map(Result::unwrap).collect();
    assert_same(&format!("{kind}, {with}, in the store"), &kept, &source);
    assert_same(
        &format!("{kind}, {with}, in the backup"),
        &sorted(&BackupFile::new(&root.join("data/back.bak"))),
        &source,
    );
    source
}

/// What was compared, for `cargo test -- --nocapture`. A backup of Badger's leaves out what is below a delete.
fn told(directory: &str, kind: &str, records: usize, again: usize) {
    println!(
        "{directory}: {records} records in the directory, the same in {kind} and in its backup; after `badger restore` and \
         `badger backup` the same {again} as by way of Badger alone"
    );
}

fn of_badger_2(kind: &str) {
    let Some(peer) = BadgerPeer::find() else { return };
    if !badger_is_there() {
        return;
    }
    for (flags, with) in [
        (&["--compression", "none"][..], ""),
        (&["--compression", "snappy"], ""),
        (&["--compression", "zstd", "--unclean"], "replay = true"),
        (&["--compression", "snappy", "--key", &KEY[..32]], "key = \"${env.PHL_KEY}\""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (root, scratch) = (folder.path().join("root"), folder.path());
        fs::create_dir_all(root.join("data")).unwrap();
        let database = root.join("data/phl");
        peer.make(&database, &[&["--records", "300", "--small"], flags].concat());
        let source = moved(kind, &root, with, 16);
        // What Badger itself makes of the same directory.
        let copy = scratch.join("copy");
        copy_folder(&database, &copy);
        let opened: Vec<_> = flags.iter().filter(|flag| **flag != "--unclean").copied().collect();
        let own = peer.command(&["backup"]).arg(&copy).args(opened).output().unwrap();
        assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
        let theirs = scratch.join("theirs.bak");
        fs::write(&theirs, own.stdout).unwrap();
        let expected = through_badger(&theirs, scratch);
        assert!(expected.len() > 300, "only {} records", expected.len());
        let found = through_badger(&root.join("data/back.bak"), scratch);
        assert_same(&format!("{kind}, {flags:?}, in Badger again"), &found, &expected);
        told(&format!("Badger 2 {}", flags.join(" ")), kind, source.len(), found.len());
    }
}

#[test]
fn what_badger_2_wrote_goes_through_sled_and_back_into_badger() {
    of_badger_2("sled");
}

#[test]
fn what_badger_2_wrote_goes_through_fjall_and_back_into_badger() {
    of_badger_2("fjall");
}

#[test]
fn directories_of_badger_3_and_4_go_through_both_stores_and_into_badger() {
    let cli = badger_is_there();
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/badger/tests/fixtures");
    for (name, with, key) in [
        ("v3-plain", "", 0),
        ("v4-snappy", "", 0),
        ("v4-zstd-encrypted", "key = \"${env.PHL_KEY}\"", 24),
        ("v4-crashed", "replay = true, key = \"${env.PHL_KEY}\"", 32),
    ] {
        for kind in ["sled", "fjall"] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("root");
            fs::create_dir_all(root.join("data")).unwrap();
            copy_folder(&fixtures.join(name), &root.join("data/phl"));
            fs::remove_file(root.join("data/phl/records.jsonl")).unwrap();
            let source = moved(kind, &root, with, key);
            let count = source.len();
            assert!(count > 100, "{name}: only {count} records");
            if cli {
                let direct = folder.path().join("direct.bak");
                write_backup(&direct, 0, source.into_iter().map(Ok)).unwrap();
                let expected = through_badger(&direct, folder.path());
                let found = through_badger(&root.join("data/back.bak"), folder.path());
                assert_same(&format!("{name}, {kind}, in Badger again"), &found, &expected);
                told(name, kind, count, found.len());
            }
        }
    }
}

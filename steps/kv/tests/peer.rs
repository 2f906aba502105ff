//! Backups beside Debian's Badger: what is written here its CLI restores, and what it writes then is the same records.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that fails, and says what it left out"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cutover_steps_kv::backup::{BackupFile, write_backup};
use cutover_steps_kv::store::{Batch, FjallStore, SledStore, VersionedStore};
use cutover_steps_kv::{Meta, Record, RecordSource};

/// Whether Badger's CLI can be run here. Where `CI` is set it has to be.
fn badger_is_there() -> bool {
    let found = Command::new("unshare").args(["-n", "badger", "--help"]).output().is_ok_and(|out| out.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "Badger's CLI is missing: apt-get install badger (and be root)");
    if !found {
        println!("skipped: Badger's CLI is missing, or only root may run it without a network");
    }
    found
}

/// Runs `badger`, without a network: it would open a port.
fn badger(what: &str, dir: &Path, file: &Path) -> Output {
    let out =
        Command::new("unshare").args(["-n", "badger", what, "--dir"]).arg(dir).arg("-f").arg(file).output().unwrap();
    assert!(out.status.success(), "badger {what}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

fn record(key: impl Into<Vec<u8>>, version: u64, value: impl Into<Vec<u8>>) -> Record {
    Record { key: key.into(), version, value: value.into(), user_meta: Some(0), ..Record::default() }
}

/// Records of every sort that a backup of Badger's own can hold, sorted.
fn records() -> Vec<Record> {
    let mut records = Vec::new();
    for n in 0..2_000u64 {
        let key = format!("layer{}:key{:05}", n % 5, n * 7919 % 2_000);
        records.push(record(key, 1 + n / 100, vec![n as u8; 20 + n as usize % 180]));
    }
    for version in [3, 9, 40] {
        records.push(Record { user_meta: Some(version as u8), ..record("versions", version, format!("v{version}")) });
    }
    records.push(Record { meta: Meta::of(Meta::DELETE), ..record("deleted", 41, "") });
    records.push(record("deleted-and-written-again", 44, "back"));
    records.push(Record { expires_at: 4_000_000_000, ..record("expires-late", 42, "until 2096") });
    records.push(record("large", 43, vec![b'x'; 900_000]));
    records.push(record(b"a".to_vec(), 45, "1"));
    records.push(record(b"a\0".to_vec(), 45, "2"));
    records.push(record(b"a\0\xff".to_vec(), 45, "3"));
    records.push(record(b"\xff\xfe not UTF-8".to_vec(), 46, b"\x80".to_vec()));
    records.sort_by(Record::order);
    records
}

fn sorted(source: &dyn RecordSource) -> Vec<Record> {
    let mut records: Vec<_> = source.records(0).unwrap().map(Result::unwrap).collect();
    records.sort_by(Record::order);
    records
}

fn assert_same(found: &[Record], expected: &[Record]) {
    let show = |record: &Record| format!("{} v{}", record.key.escape_ascii(), record.version);
    let differing = found.iter().zip(expected).find(|(a, b)| !a.same(b));
    assert!(differing.is_none(), "{differing:?}");
    assert_eq!(found.len(), expected.len(), "{:?}", found.iter().map(show).collect::<Vec<_>>());
}

#[test]
fn badger_restores_what_is_written_here_and_writes_the_same_records() {
    if !badger_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let records = records();
    write_backup(&at("ours.bak"), 0, records.iter().cloned().map(Ok)).unwrap();
    badger("restore", &at("db"), &at("ours.bak"));
    badger("backup", &at("db"), &at("theirs.bak"));
    assert_same(&sorted(&BackupFile::new(&at("theirs.bak"))), &records);
    // It was Badger's, not ours again.
    assert_ne!(fs::read(at("ours.bak")).unwrap(), fs::read(at("theirs.bak")).unwrap());
}

fn through(store: &dyn VersionedStore, folder: &Path) {
    let at = |name: &str| folder.join(name);
    let records = records();
    write_backup(&at("ours.bak"), 0, records.iter().cloned().map(Ok)).unwrap();
    badger("restore", &at("db"), &at("ours.bak"));
    badger("backup", &at("db"), &at("theirs.bak"));

    let mut batch = Batch::default().durable();
    BackupFile::new(&at("theirs.bak")).records(0).unwrap().for_each(|record| batch.put(record.unwrap()));
    store.write(batch).unwrap();
    let sidecar = write_backup(&at("back.bak"), 0, store.versions(b"", 0).unwrap()).unwrap();
    assert_eq!((sidecar.records, sidecar.max_version), (records.len() as u64, 46));

    badger("restore", &at("db2"), &at("back.bak"));
    badger("backup", &at("db2"), &at("theirs2.bak"));
    assert_same(&sorted(&BackupFile::new(&at("theirs2.bak"))), &records);
}

#[test]
fn records_go_through_sled_and_back_to_badger() {
    if badger_is_there() {
        let folder = tempfile::tempdir().unwrap();
        through(&SledStore::open_or_create(&folder.path().join("store")).unwrap(), folder.path());
    }
}

#[test]
fn records_go_through_fjall_and_back_to_badger() {
    if badger_is_there() {
        let folder = tempfile::tempdir().unwrap();
        through(&FjallStore::open_or_create(&folder.path().join("store")).unwrap(), folder.path());
    }
}

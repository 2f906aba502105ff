//! The step keeps the contract into both engines, from backups and from a store, and refuses what it cannot do.

use std::fs;
use std::path::Path;

use cutover_core::{Applied, Registry, Standing, StepDescriptor, StepErrorKind, TargetDescriptor};
use cutover_tests::{Conformance, Fixture};

use super::KvCopy;
use crate::backup::{BackupWriter, write_backup};
use crate::record::{Meta, Record};
use crate::store::{Batch, Engine, Fjall, Keyed, Sled, VersionedStore};
use crate::target::{FjallTarget, SledTarget};

fn registry() -> Registry {
    let of = ["cutover-steps-kv", "0.1.0"];
    let targets = [TargetDescriptor::of::<SledTarget>(of[0], of[1]), TargetDescriptor::of::<FjallTarget>(of[0], of[1])];
    Registry::of([StepDescriptor::of::<KvCopy>(of[0], of[1])], targets).unwrap()
}

fn plan(kind: &str, with: &str) -> String {
    format!(
        r#"
name = "p"
[targets.old]
kind = "fjall"
path = "data/old"
[targets.memory]
kind = "{kind}"
path = "data/memory"
[[phase]]
name = "x"
layer = "storage"
[[phase.step]]
id = "copy"
use = "kv.copy"
with = {{ {with} }}
"#
    )
}

const BACKUPS: &str = "backups = [\"whole.bak\", \"since.bak\"], into = \"memory\"";

fn record(n: u64, version: u64) -> Record {
    let key = format!("layer{}:key{n:05}", n % 5).into();
    Record { key, version, value: vec![n as u8; (n % 40) as usize], user_meta: Some(0), ..Record::default() }
}

/// A whole backup, one of Badger's own by all that can be seen, and one since then with a manifest.
fn backups(root: &Path) {
    let mut whole: Vec<Record> = (0..4_500).map(|n| record(n, 1 + n / 1_000)).collect();
    whole.push(Record { meta: Meta::of(Meta::DELETE), ..record(3, 7) });
    whole.push(Record { expires_at: 1_000, ..record(4, 8) });
    whole.sort_by(Record::order);
    let mut writer = BackupWriter::new(fs::File::create(root.join("whole.bak")).unwrap(), Path::new("whole.bak"));
    whole.iter().for_each(|record| writer.push(record).unwrap());
    writer.finish(0).unwrap();
    // Badger 2 writes the records of the version that was asked for again.
    let mut since: Vec<Record> = vec![whole.iter().find(|record| record.version == 8).unwrap().clone()];
    since.extend((0..50).map(|n| record(n * 3, 9)));
    since.sort_by(Record::order);
    write_backup(&root.join("since.bak"), 8, since.into_iter().map(Ok)).unwrap();
}

fn old_store(root: &Path) {
    let store = Keyed::<Fjall>::open_or_create(&root.join("data/old")).unwrap();
    let mut batch = Batch::default().durable();
    (0..4_100).for_each(|n| batch.put(record(n, 1 + n % 3)));
    store.write(batch).unwrap();
}

fn put<E: Engine>(root: &Path, record: Record) {
    let store = Keyed::<E>::open_or_create(&root.join("data/memory")).unwrap();
    let mut batch = Batch::default().durable();
    batch.put(record);
    store.write(batch).unwrap();
}

fn read<E: Engine>(root: &Path) -> Vec<Record> {
    let store = Keyed::<E>::open(&root.join("data/memory")).unwrap();
    store.versions(b"", 0).unwrap().map(Result::unwrap).collect()
}

fn conforms<E: Engine>(with: &str, make: impl Fn(&Path) + 'static) {
    let later = || Record { value: b"theirs".to_vec(), ..record(7, 99) };
    Conformance::new(plan(E::NAME, with))
        .registry(registry())
        .step("copy")
        .root(make)
        .sabotage(|root| put::<E>(root, Record { value: b"other".to_vec(), ..record(20, 1) }))
        .foreign(move |root| put::<E>(root, later()), move |root| assert_eq!(read::<E>(root), [later()]))
        .check();
}

#[test]
fn it_keeps_the_contract_from_backups_into_sled() {
    conforms::<Sled>(BACKUPS, backups);
}

#[test]
fn it_keeps_the_contract_from_backups_into_fjall() {
    conforms::<Fjall>(BACKUPS, backups);
}

#[test]
fn it_keeps_the_contract_from_a_store_into_an_empty_one() {
    conforms::<Sled>("from = \"old\", into = \"memory\"", |root| {
        old_store(root);
        drop(Keyed::<Sled>::open_or_create(&root.join("data/memory")).unwrap());
    });
}

#[test]
fn every_record_of_a_chain_of_backups_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    backups(folder.path());
    let bench = Fixture::with_registry(plan("fjall", BACKUPS), &registry()).open(folder.path());
    assert_eq!(bench.inspect("copy").unwrap(), Standing::Pending);
    let Applied::Changed(receipt) = bench.apply("copy").unwrap() else { panic!("nothing changed") };
    assert_eq!(
        (receipt.rows, receipt.notes.as_slice()),
        (Some(4_552), &["4552 records, versions up to 9".to_owned()][..])
    );
    let found = read::<Fjall>(folder.path());
    assert_eq!(found.len(), 4_552);
    let versions = |n: u64| found.iter().filter(|r| r.key == record(n, 0).key).map(|r| r.version).collect::<Vec<_>>();
    assert_eq!((versions(3), versions(4)), (vec![9, 7, 1], vec![8, 1]));
    assert!(!bench.state().join("steps/p/copy/sort").exists(), "what sorting needed is left");
}

#[test]
fn what_is_missing_damaged_changed_or_in_the_way_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let bench = Fixture::with_registry(plan("sled", BACKUPS), &registry()).open(root);
    let conflict = || match bench.inspect("copy").unwrap() {
        Standing::Conflict(why) => why,
        other => panic!("{other:?}"),
    };
    let refused = || bench.apply("copy").unwrap_err();
    assert!(conflict().contains("whole.bak`: no such backup file"), "{}", conflict());

    backups(root);
    let whole = fs::read(root.join("since.bak")).unwrap();
    fs::write(root.join("since.bak"), &whole[..whole.len() - 1]).unwrap();
    assert!(conflict().contains("where its manifest says"), "{}", conflict());
    assert_eq!(refused().kind(), StepErrorKind::Unavailable);
    assert!(!root.join("data").exists());
    fs::write(root.join("since.bak"), whole).unwrap();

    put::<Sled>(root, record(1, 1));
    assert!(conflict().contains("has records already, the first under `layer1:key00001`"), "{}", conflict());
    assert_eq!((refused().kind(), refused().help().is_some()), (StepErrorKind::Conflict, true));
    fs::remove_dir_all(root.join("data")).unwrap();

    bench.apply("copy").unwrap();
    fs::copy(root.join("whole.bak"), root.join("since.bak")).unwrap();
    fs::remove_file(root.join("since.bak.manifest.json")).unwrap();
    assert!(conflict().contains("was filled from another source"), "{}", conflict());
    assert_eq!(refused().kind(), StepErrorKind::Conflict);
}

#[test]
fn mistakes_in_a_plan_are_told() {
    let told = |with: &str| {
        let errors = Fixture::with_registry(plan("sled", with), &registry()).try_compile().unwrap_err();
        errors.to_string()
    };
    for (with, expected) in [
        ("into = \"memory\"", "nothing is named that could be copied"),
        ("from = \"memory\", into = \"memory\"", "`memory` is the target that is copied into"),
        ("from = \"olt\", into = \"memory\"", "the plan has no target `olt`"),
        ("from = \"old\", backups = [\"a.bak\"], into = \"memory\"", "both `from` and `backups` are named"),
        ("backups = [\"../a.bak\"], into = \"memory\"", "`../a.bak` leaves the root"),
    ] {
        assert!(told(with).contains(expected), "{}", told(with));
    }
}

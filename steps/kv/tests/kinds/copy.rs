//! The step keeps the contract into both engines, from backups and from a store, and refuses what it cannot do.

use std::fs;
use std::path::Path;

use cutover_core::{Applied, Standing, StepErrorKind};
use cutover_tests::{Conformance, Fixture};

use super::support::{BACKUPS, backups, plan, put, read, record};
use cutover_steps_kv::Record;
use cutover_steps_kv::store::{Engine, Fjall, Sled};

pub(super) fn contract<E: Engine>(with: &str, make: impl Fn(&Path) + 'static) -> Conformance {
    let later = || Record { value: b"theirs".to_vec(), ..record(7, 99) };
    Conformance::new(plan("kv.copy", E::NAME, with))
        .step("copy")
        .root(make)
        .sabotage(|root| put::<E>(root, Record { value: b"other".to_vec(), ..record(20, 1) }))
        .foreign(move |root| put::<E>(root, later()), move |root| assert_eq!(read::<E>(root), [later()]))
}

#[test]
fn every_record_of_a_chain_of_backups_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    backups(folder.path());
    let bench = Fixture::new(plan("kv.copy", "fjall", BACKUPS)).open(folder.path());
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
    let bench = Fixture::new(plan("kv.copy", "sled", BACKUPS)).open(root);
    let conflict = || match bench.inspect("copy").unwrap() {
        Standing::Conflict(why) => why,
        other => panic!("{other:?}"),
    };
    let refused = || bench.apply("copy").unwrap_err();
    // A step before this one may be about to write it.
    assert_eq!(bench.inspect("copy").unwrap(), Standing::Pending);
    assert!(refused().to_string().contains("whole.bak`: no such backup file"), "{}", refused());

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
fn a_lost_journal_is_no_reason_to_leave_a_store_behind() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    backups(root);
    let open = || Fixture::new(plan("kv.copy", "sled", BACKUPS)).open(root);
    let Applied::Changed(made) = open().apply("copy").unwrap() else { panic!("nothing changed") };
    let bench = open();
    let found = pollster::block_on(bench.step("copy").step.recover(&bench.cx("copy"))).unwrap();
    assert_eq!(found.as_ref(), Some(&made));
    bench.rollback("copy", found.as_ref()).unwrap();
    assert!(!root.join("data").exists());
}

#[test]
fn mistakes_in_a_plan_are_told() {
    let told = |with: &str| {
        let errors = Fixture::new(plan("kv.copy", "sled", with)).try_compile().unwrap_err();
        errors.to_string()
    };
    for (with, expected) in [
        ("into = \"memory\"", "no source is named"),
        ("from = \"memory\", into = \"memory\"", "`memory` is on both sides"),
        ("from = \"olt\", into = \"memory\"", "the plan has no target `olt`"),
        ("from = \"old\", backups = [\"a.bak\"], into = \"memory\"", "both `from` and `backups` are named"),
        ("backups = [\"../a.bak\"], into = \"memory\"", "`../a.bak` leaves the root"),
    ] {
        assert!(told(with).contains(expected), "{}", told(with));
    }
}

//! The contract of `kv.backup`, and what it keeps.

use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::{Applied, Standing, StepErrorKind};
use cutover_tests::{Conformance, Fixture};

use super::support::{BACKUPS, backups, old_store, plan, put, record};
use cutover_steps_kv::RecordSource as _;
use cutover_steps_kv::backup::BackupFile;
use cutover_steps_kv::store::Sled;

const WITH: &str = "from = \"old\", into = \"back/to/badger.bak\"";

pub(super) fn contract() -> Conformance {
    Conformance::new(plan("kv.backup", "sled", WITH))
        .step("copy")
        .root(old_store)
        .sabotage(|root| {
            let path = root.join("back/to/badger.bak");
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        })
        .no_foreign("it changes no target")
        .leaves("back")
}

/// The only backup in a folder.
fn one(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut backups: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "bak")).collect();
    assert!(backups.len() < 2, "{backups:?}");
    backups.pop()
}

pub(super) fn contract_by_the_moment() -> Conformance {
    Conformance::new(plan("kv.backup", "sled", "from = \"old\", into = \"back/badger-{stamp}.bak\", keep = 2"))
        .step("copy")
        .root(old_store)
        .sabotage(|root| {
            let found = fs::read_dir(root.join("back")).unwrap().map(|entry| entry.unwrap().path());
            let last = found.filter(|path| path.extension().is_some_and(|end| end == "bak")).max().unwrap();
            fs::write(&last, b"").unwrap();
        })
        .no_foreign("it changes no target")
        .leaves("back")
}

#[test]
fn what_a_program_writes_is_decoded_before_it_is_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    backups(root);
    let command = "backup-command = [\"sh\", \"-c\", \"cat whole.bak # {since}\"]";
    let with = format!("{command}, into = \"kept/phl-{{stamp}}.bak\"");
    let copy = "backup-of = \"copy\", into = \"memory\"";
    let text = format!(
        "{}\n[[phase.step]]\nid = \"restore\"\nuse = \"kv.copy\"\nneeds = [\"copy\"]\nwith = {{ {copy} }}\n\
         [[phase.step]]\nid = \"compare\"\nuse = \"kv.verify\"\nneeds = [\"restore\"]\nwith = {{ {copy} }}\n",
        plan("kv.backup", "sled", &with)
    );
    let whole = fs::read(root.join("whole.bak")).unwrap();
    fs::write(root.join("whole.bak"), &whole[..whole.len() - 1]).unwrap();
    let bench = Fixture::new(text).open(root);
    let told = bench.apply("copy").unwrap_err().to_string();
    assert!(told.contains("of which"), "{told}");
    assert_eq!(one(&root.join("kept")), None);
    assert_eq!(bench.inspect("restore").unwrap(), Standing::Pending);
    assert!(bench.apply("restore").unwrap_err().to_string().contains("has made none yet"));

    fs::write(root.join("whole.bak"), whole).unwrap();
    let Applied::Changed(receipt) = bench.apply("copy").unwrap() else { panic!("nothing was written") };
    let path = one(&root.join("kept")).unwrap();
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with("phl-20"), "{path:?}");
    let Applied::Changed(copied) = bench.apply("restore").unwrap() else { panic!("nothing was copied") };
    assert_eq!(copied.notes, receipt.notes);
    bench.apply("compare").unwrap();
    assert_eq!(bench.inspect("copy").unwrap(), Standing::Applied);
    bench.rollback("restore", Some(&copied)).unwrap();
    bench.rollback("copy", Some(&receipt)).unwrap();
    assert!(path.exists() && bench.inspect("copy").unwrap() == Standing::Pending);
}

#[test]
fn what_was_written_after_a_copy_is_in_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    backups(root);
    let with = "from = \"memory\", into = \"later.bak\", after = \"copy\"";
    let text = format!(
        "{}\n[[phase.step]]\nid = \"back\"\nuse = \"kv.backup\"\nwith = {{ {with} }}\n",
        plan("kv.copy", "sled", BACKUPS)
    );
    let bench = Fixture::new(text).open(root);
    assert_eq!(bench.apply("back").unwrap_err().kind(), StepErrorKind::Conflict);
    bench.apply("copy").unwrap();
    put::<Sled>(root, record(3, 40));
    let Applied::Changed(receipt) = bench.apply("back").unwrap() else { panic!("nothing was written") };
    assert_eq!(receipt.notes, ["1 records, versions up to 40"]);
    let found: Vec<_> = BackupFile::new(&root.join("later.bak")).records(0).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, [record(3, 40)]);
}

#[test]
fn a_file_that_is_there_already_stays() {
    let folder = tempfile::tempdir().unwrap();
    old_store(folder.path());
    fs::create_dir_all(folder.path().join("back/to")).unwrap();
    fs::write(folder.path().join("back/to/badger.bak"), "somebody's").unwrap();
    let bench = Fixture::new(plan("kv.backup", "sled", WITH)).open(folder.path());
    assert!(bench.apply("copy").is_err());
    bench.rollback("copy", None).unwrap();
    assert_eq!(fs::read(folder.path().join("back/to/badger.bak")).unwrap(), b"somebody's");
}

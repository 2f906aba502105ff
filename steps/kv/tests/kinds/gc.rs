//! The step keeps the contract and is undone by restoring; it says first what goes, and nothing falls through.

use std::path::Path;

use cutover_core::{Applied, RestoreOptions, Reversal, Standing, StepErrorKind, Verdict};
use cutover_tests::{Bench, Conformance, Fixture};
use pollster::block_on;

use super::support::{fill, plan_on, put, read};
use cutover_steps_kv::store::{Engine, Fjall};
use cutover_steps_kv::{Meta, Record};

const WITH: &str = "keep = 2, deleted = true, expired = true";

fn record(key: &str, version: u64) -> Record {
    Record { key: key.into(), version, value: b"value".to_vec(), user_meta: Some(0), ..Record::default() }
}

fn dead(key: &str, version: u64) -> Record {
    Record { meta: Meta::of(Meta::DELETE), value: Vec::new(), ..record(key, version) }
}

/// More than a batch of what goes; one key that is deleted over a live version, one that has expired over one.
fn records() -> Vec<Record> {
    let many = (0..1_100).flat_map(|n| (1..=4).map(move |version| record(&format!("a:{n:05}"), version)));
    let others = [
        dead("b:deleted", 5),
        record("b:deleted", 4),
        Record { expires_at: 1, ..record("b:expired", 5) },
        record("b:expired", 4),
        record("c", 1),
    ];
    many.chain(others).collect()
}

fn plan(kind: &str, with: &str, more: &str) -> String {
    let copy = "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"memory\"] }\n";
    plan_on("kv.gc", kind, with)
        .replace("use = \"kv.gc\"", &format!("use = \"kv.gc\"\n{more}"))
        .replace("[[phase.step]]", &format!("{copy}[[phase.step]]"))
}

pub(super) fn contract<E: Engine>() -> Conformance {
    Conformance::new(plan(E::NAME, WITH, ""))
        .step("it")
        .root(|root| fill::<E>(root, records()))
        .sabotage(|root| put::<E>(root, record("a:00001", 1)))
        .no_foreign("what others write since is set aside by the restore, or the restore is refused")
}

fn open(root: &Path, with: &str) -> Bench {
    Fixture::new(plan("fjall", with, "")).open(root)
}

#[test]
fn what_goes_is_said_first_and_goes_then() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Fjall>(root, records());
    let bench = open(root, WITH);
    let step = &bench.step("it").step;
    assert_eq!(step.reversal(), Reversal::Restore("memory".to_owned()));
    let found = block_on(step.lint_on(&bench.cx("it"))).unwrap().unwrap();
    let what = "2204 records: 2200 older versions, 2 of deleted keys, 2 of expired keys";
    assert!(found[0].message.contains(what), "{}", found[0].message);
    assert_eq!(read::<Fjall>(root).len(), 4_405);

    let Applied::Changed(receipt) = bench.apply("it").unwrap() else { panic!("nothing changed") };
    assert_eq!(receipt.rows, Some(2_204));
    let left = read::<Fjall>(root);
    assert!(left.iter().all(|record| !record.key.starts_with(b"b:")), "an older version of a dead key shows");
    assert!(left.iter().filter(|record| record.key.starts_with(b"a:")).all(|record| record.version > 2));
    assert_eq!(left.len(), 2_201);
    // What is written since is no part of it.
    put::<Fjall>(root, record("a:00001", 99));
    assert_eq!(bench.verify("it").unwrap(), Verdict::Holds);
    assert!(matches!(bench.apply("it").unwrap(), Applied::AlreadyApplied(_)));
}

#[test]
fn a_stop_between_two_batches_loses_no_count() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Fjall>(root, records());
    let bench = open(root, "keep = 2");
    bench.host().set_stop(true);
    assert!(matches!(bench.apply("it").unwrap(), Applied::Stopped(_)));
    assert!(bench.verify("it").is_ok_and(|verdict| verdict != Verdict::Holds));
    bench.host().set_stop(false);
    let Applied::Changed(receipt) = bench.apply("it").unwrap() else { panic!("nothing changed") };
    assert_eq!((receipt.rows, read::<Fjall>(root).len()), (Some(2_200), 2_205));
}

#[test]
fn what_a_stopped_step_dropped_comes_back_without_asking_and_what_others_wrote_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fill::<Fjall>(root, records());
    let before = read::<Fjall>(root);
    let bench = open(root, "keep = 2");
    let (target, cx) = (bench.target("memory"), bench.plan_cx());
    let manifest = block_on(target.snapshot(&cx, &root.join("kept"))).unwrap();
    bench.host().set_stop(true);
    assert!(matches!(bench.apply("it").unwrap(), Applied::Stopped(_)));
    assert!(read::<Fjall>(root).len() < before.len());
    let undone = [("it".to_owned(), bench.host().intent("it"))].into();
    let options = RestoreOptions { aside: root.join("aside"), undone, ..RestoreOptions::default() };
    put::<Fjall>(root, record("a:00001", 99));
    let refused = block_on(target.restore(&cx, &manifest, &options)).unwrap_err();
    assert!(refused.to_string().starts_with("1 record in `"), "{refused}");
    let accepting = RestoreOptions { accept_loss: true, ..options };
    block_on(target.restore(&cx, &manifest, &accepting)).unwrap();
    block_on(target.close(&cx)).unwrap();
    assert!(read::<Fjall>(root) == before, "the store is not as it was");
    assert_eq!(bench.inspect("it").unwrap(), Standing::Pending);
}

#[test]
fn mistakes_in_a_plan_are_told() {
    let told = |with: &str, more: &str| {
        let plan = plan("sled", with, more);
        Fixture::new(plan).try_compile().unwrap_err().to_string()
    };
    assert!(told("prefix = \"a\"", "").contains("nothing is said to go"));
    assert!(told("keep = 0", "").contains("nothing would stay of any key"));
    assert!(told("keep = 1, one-way = true", "").contains("cannot be undone"));
    let bare = plan_on("kv.gc", "sled", "keep = 1");
    let refused = Fixture::new(bare).try_compile().unwrap_err().to_string();
    assert!(refused.contains("no step before it takes a snapshot"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let refused = open(folder.path(), "keep = 1").apply("it").unwrap_err();
    assert_eq!((refused.kind(), refused.help().is_some()), (StepErrorKind::Unavailable, true));
}

//! Stores as targets: looked at without a trace, kept, put back, and what others wrote is not lost quietly.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cutover_core::{
    Applied, BuildContext, Change, MigrationStep, Receipt, Registry, StepDescriptor, StepErrorKind, StepKind,
    TargetDescriptor, Verdict,
};
use cutover_tests::{Bench, Fixture, Tree};
use pollster::block_on;
use serde_json::json;

use super::badger::BadgerTarget;
use super::*;
use crate::record::{Meta, Record};
use crate::store::Batch;

/// A registry without a step is none.
#[derive(Debug)]
struct Idle;

#[derive(Debug, Deserialize, JsonSchema)]
struct Nothing {}

impl StepKind for Idle {
    const KIND: &'static str = "test.idle";
    const SUMMARY: &'static str = "does nothing";
    const EXAMPLE: &'static str = "id = \"idle\"\nuse = \"test.idle\"\n";
    type Config = Nothing;

    fn build(_: Nothing, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

#[async_trait]
impl MigrationStep for Idle {
    fn describe(&self) -> Vec<Change> {
        Vec::new()
    }

    async fn apply(&self, _: &StepContext) -> Result<Applied, StepError> {
        Ok(Applied::Changed(Receipt::nothing()))
    }

    async fn verify(&self, _: &StepContext) -> Result<Verdict, StepError> {
        Ok(Verdict::Holds)
    }

    async fn rollback(&self, _: &StepContext, _: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

pub(super) fn registry() -> Registry {
    let of = ["cutover-steps-kv", "0.1.0"];
    let linked = [
        TargetDescriptor::of::<BadgerTarget>(of[0], of[1]),
        TargetDescriptor::of::<SledTarget>(of[0], of[1]),
        TargetDescriptor::of::<FjallTarget>(of[0], of[1]),
    ];
    Registry::of([StepDescriptor::of::<Idle>(of[0], of[1])], linked).unwrap()
}

pub(super) fn open(root: &Path, kind: &str) -> Bench {
    let plan = format!(
        "name = \"p\"\n[targets.memory]\nkind = \"{kind}\"\npath = \"data/memory\"\n[[phase]]\nname = \"x\"\nlayer = \
         \"storage\"\n[[phase.step]]\nid = \"x\"\nuse = \"testkit.snapshot\"\nwith = {{ targets = [\"memory\"] }}\n"
    );
    Fixture::with_registry(plan, &registry()).open(root)
}

fn record(key: &str, version: u64, value: &str) -> Record {
    Record { key: key.into(), version, value: value.into(), user_meta: Some(1), ..Record::default() }
}

fn records() -> Vec<Record> {
    vec![
        record("eternal:first", 3, "{}"),
        record("eternal:first", 2, "old"),
        Record { meta: Meta::of(Meta::DELETE), ..record("logic:gone", 5, "") },
        Record { expires_at: 10, ..record("sensory:late", 4, "x") },
        record("unnamed", 1, "y"),
    ]
}

fn write<E: Engine>(root: &Path, records: Vec<Record>) {
    let store = Keyed::<E>::open_or_create(&root.join("data/memory")).unwrap();
    let mut batch = Batch::default().durable();
    records.into_iter().for_each(|record| batch.put(record));
    batch.note("copy:c", json!({ "key": "00" }));
    store.write(batch).unwrap();
}

fn read<E: Engine>(root: &Path) -> Vec<Record> {
    let store = Keyed::<E>::open(&root.join("data/memory")).unwrap();
    store.versions(b"", 0).unwrap().map(Result::unwrap).collect()
}

fn looks<E: Engine>() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let bench = open(root, E::NAME);
    let (target, cx) = (bench.target("memory"), bench.plan_cx());
    let nothing = block_on(target.fingerprint(&cx, Depth::Content)).unwrap();
    assert_eq!((nothing.schema.len(), nothing.content.as_ref().unwrap().len()), (0, 0));
    assert_eq!(block_on(target.assess(&cx)).unwrap().version, "no store yet");
    assert!(!root.join("data").exists(), "a look made it");

    write::<E>(root, records());
    let before = Tree::of(root);
    let found = block_on(target.assess(&cx)).unwrap();
    let counts = [("(others)", 1), ("eternal", 2), ("logic", 1), ("sensory", 1)];
    assert_eq!(found.counts, counts.map(|(part, n)| (part.to_owned(), n)).into());
    let facts: Vec<String> = found.facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
    assert_eq!(facts, ["deleted 1", "expired 1", "keys 4", "live 2", "max-version 5", "records 5"]);
    let measure = |query: &str| block_on(target.measure(&cx, query));
    let asked = ["keys", "keys eternal:", "live", "records e", "expired", "max-version"];
    assert_eq!(asked.map(|query| measure(query).unwrap()), [4.0, 1.0, 2.0, 2.0, 1.0, 5.0]);
    assert!(measure("select 1").unwrap_err().help().is_some());
    let holds = |fact: &str| block_on(target.holds(&cx, fact));
    let facts = ["key:eternal:first", "key:logic:gone", "prefix:sensory:", "prefix:unnamed"];
    assert_eq!(facts.map(|fact| holds(fact).unwrap()), [true, false, false, true]);
    assert!(holds("table:x").unwrap_err().help().is_some());
    let print = block_on(target.fingerprint(&cx, Depth::Content)).unwrap();
    assert_eq!(before.differences(&Tree::of(root)), Vec::<String>::new(), "looking left a trace");

    // What is no record of the application's does not show; each field of a record does.
    let user_meta = Record { user_meta: Some(2), ..record("unnamed", 1, "y") };
    write::<E>(root, vec![user_meta]);
    let other = block_on(target.fingerprint(&cx, Depth::Content)).unwrap();
    assert_eq!(print.changes(&other), ["(others): content changed (1 entries then and now)"]);

    let held = Keyed::<E>::open(&root.join("data/memory")).unwrap();
    // A step may be about to stop whoever has it open: that is no reason to refuse a whole plan.
    let assessed = block_on(open(root, E::NAME).target("memory").assess(&cx)).unwrap();
    assert!(assessed.facts["in-use"].contains("this process has it open") && assessed.counts.is_empty());
    let refused = block_on(open(root, E::NAME).target("memory").counts(&cx)).unwrap_err();
    assert_eq!((refused.kind(), refused.help().is_some()), (StepErrorKind::Busy, true));
    assert!(refused.chain().contains("this process has it open"), "{}", refused.chain());
    drop(held);
}

#[test]
fn looking_at_a_store_leaves_no_trace_and_one_in_use_is_refused() {
    looks::<Sled>();
    looks::<Fjall>();
}

fn there_and_back<E: Engine>(at_first: bool) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let bench = open(root, E::NAME);
    let (target, cx) = (bench.target("memory"), bench.plan_cx());
    if at_first {
        write::<E>(root, records());
    }
    let before = block_on(target.fingerprint(&cx, Depth::Content)).unwrap();
    let into = root.join("kept/memory");
    let manifest = block_on(target.snapshot(&cx, &into)).unwrap();
    assert_eq!(manifest.counts.values().sum::<u64>(), if at_first { 5 } else { 0 });
    assert_eq!(manifest.files.len(), 3);

    let foreign = record("theirs", 9, "z");
    write::<E>(root, vec![record("unnamed", 1, "other"), foreign.clone()]);
    let mut options = RestoreOptions { aside: root.join("aside"), ..RestoreOptions::default() };
    let refused = block_on(target.restore(&cx, &manifest, &options)).unwrap_err();
    let differing = if at_first { "record `unnamed` version 1: another value" } else { "only here" };
    assert!(refused.chain().contains("2 records in") && refused.chain().contains(differing), "{}", refused.chain());
    assert!(!options.aside.exists(), "a refusal wrote");

    options.accept_loss = true;
    let restored = block_on(target.restore(&cx, &manifest, &options)).unwrap();
    assert_eq!(restored.lost.values().sum::<u64>(), 2);
    block_on(target.close(&cx)).unwrap();
    assert_eq!(block_on(target.fingerprint(&cx, Depth::Content)).unwrap(), before);
    assert_eq!(root.join("data/memory").exists(), at_first);
    let aside = crate::backup::BackupReader::open(&root.join("aside/memory.bak")).unwrap();
    assert!(aside.map(Result::unwrap).any(|record| record == foreign));
    if at_first {
        assert_eq!(read::<E>(root), records());
        let store = Keyed::<E>::open(&root.join("data/memory")).unwrap();
        assert_eq!(store.notes().unwrap()["copy:c"], json!({ "key": "00" }));
    }
    // Again: nothing is to be done, and nobody has to accept anything.
    let options = RestoreOptions { aside: root.join("aside2"), ..RestoreOptions::default() };
    assert_eq!(block_on(target.restore(&cx, &manifest, &options)).unwrap().lost.len(), 0);

    fs::write(into.join("store.json"), "{}").unwrap();
    let damaged = block_on(target.restore(&cx, &manifest, &options)).unwrap_err();
    assert!(damaged.chain().contains("`store.json` was changed since it was taken"), "{}", damaged.chain());
}

#[test]
fn a_store_goes_back_to_its_snapshot_and_what_others_wrote_is_set_aside() {
    there_and_back::<Sled>(true);
    there_and_back::<Fjall>(true);
}

#[test]
fn a_store_that_was_not_there_is_gone_again() {
    there_and_back::<Sled>(false);
    there_and_back::<Fjall>(false);
}

#[test]
fn what_a_step_says_it_left_is_taken_back_without_asking() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let bench = open(root, "fjall");
    let (target, cx) = (bench.target("memory"), bench.plan_cx());
    let manifest = block_on(target.snapshot(&cx, &root.join("kept"))).unwrap();
    write::<Fjall>(root, records());
    let wrote = block_on(target.changes_since(&cx, &manifest)).unwrap();
    let mut receipt = Receipt::nothing();
    receipt.wrote.insert("memory".to_owned(), wrote);
    let undone = [("copy".to_owned(), Some(receipt))].into();
    let options = RestoreOptions { aside: root.join("aside"), undone, ..RestoreOptions::default() };
    assert_eq!(block_on(target.restore(&cx, &manifest, &options)).unwrap().lost.len(), 0);
    assert!(!root.join("data/memory").exists());
}

#[test]
fn a_rehearsal_copies_a_store_and_tells_two_apart() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write::<Sled>(root, records());
    let bench = open(root, "sled");
    let (target, cx) = (bench.target("memory"), bench.plan_cx());
    let copy = root.join("scratch/memory");
    block_on(target.copy_to(&cx, &copy)).unwrap();
    assert_eq!(block_on(target.differing(&cx, &copy)).unwrap(), Vec::<String>::new());
    write::<Sled>(root, vec![record("unnamed", 1, "other")]);
    assert_eq!(block_on(target.differing(&cx, &copy)).unwrap(), ["record `unnamed` version 1: another value"]);
    let _: Arc<SledTarget> = cx.target("memory").unwrap();
}

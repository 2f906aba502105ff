//! Out of a Badger that a program has open and writes to; and back into Badger with what was written after the move.
#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cutover_core::{Applied, Receipt, Registry, Standing, Verdict};
use cutover_steps_kv::backup::BackupFile;
use cutover_steps_kv::store::{Batch, FjallStore, SledStore, VersionedStore};
use cutover_steps_kv::{BadgerDir, BadgerOptions, Meta, Record, RecordSource};
use cutover_tests::{BadgerPeer, Bench, Fixture};

fn sorted(source: &dyn RecordSource) -> Vec<Record> {
    let mut records: Vec<_> = source.records(0).unwrap().map(Result::unwrap).collect();
    records.sort_by(Record::order);
    records
}

fn by_key(records: Vec<Record>) -> BTreeMap<(Vec<u8>, u64), Record> {
    records.into_iter().map(|record| ((record.key.clone(), record.version), record)).collect()
}

fn plan(kind: &str, with: &str) -> String {
    format!(
        r#"
name = "p"
[targets.phl]
kind = "badger"
path = "data/phl"
with.replay = true
[targets.memory]
kind = "{kind}"
path = "data/memory"
[[phase]]
name = "x"
layer = "storage"
[[phase.step]]
id = "copy"
use = "kv.copy"
with = {{ into = "memory", {with} }}
"#
    )
}

fn open(text: String, root: &Path) -> Bench {
    Fixture::with_registry(text, &Registry::collect().unwrap()).open(root)
}

fn changed(bench: &Bench) -> Receipt {
    match bench.apply("copy").unwrap() {
        Applied::Changed(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

/// The program that has the database open, and is ended with the test.
struct Serving(Child);

impl Serving {
    fn start(peer: &BadgerPeer, root: &Path) -> Self {
        let mut command = peer.command(&["serve", "data/phl", "--socket", "socket", "--rate", "2000"]);
        let child = command.current_dir(root).stdout(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !root.join("socket").exists() {
            assert!(began.elapsed() < Duration::from_secs(60), "Badger does not begin to serve");
            sleep(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[test]
fn a_badger_that_is_written_to_is_copied_caught_up_with_and_taken_over() {
    let Some(peer) = BadgerPeer::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("data")).unwrap();
    peer.make(&root.join("data/phl"), &["--records", "3000", "--small"]);
    let serving = Serving::start(&peer, root);
    let program = peer.command(&[]).get_program().to_str().unwrap().to_owned();
    let with = format!(
        "from = \"phl\", backup-command = [\"{program}\", \"ask\", \"socket\", \"backup\", \"{{since}}\"], \
         stop-command = [\"sh\", \"-c\", \"{program} ask socket stop || test ! -e socket\"], \
         undo-stop-command = [\"touch\", \"old-runs-again\"], \
         start-command = [\"touch\", \"new-runs\"], undo-start-command = [\"rm\", \"-f\", \"new-runs\"], \
         lag-records = 2000, lag = \"30s\""
    );
    let bench = open(plan("sled", &with), root);
    assert_eq!(bench.inspect("copy").unwrap(), Standing::Pending);
    let receipt = changed(&bench);
    assert_eq!(bench.verify("copy").unwrap(), Verdict::Holds);
    assert_eq!(bench.inspect("copy").unwrap(), Standing::Applied);
    assert!(root.join("new-runs").exists() && !root.join("old-runs-again").exists());
    drop(serving);

    // Nobody writes any more: what is in the directory is all that there ever was.
    let directory = BadgerDir::open(&root.join("data/phl"), &BadgerOptions { key: None, replay: true }).unwrap();
    let all = by_key(sorted(&directory));
    drop(directory);
    let own = peer.command(&["backup", "data/phl"]).current_dir(root).output().unwrap();
    fs::write(root.join("own.bak"), own.stdout).unwrap();
    let store = SledStore::open(&root.join("data/memory")).unwrap();
    let copied = by_key(store.versions(b"", 0).unwrap().map(Result::unwrap).collect());
    drop(store);
    let live = copied.keys().filter(|(key, _)| key.windows(6).any(|part| part == b":live_")).count();
    let written = all.keys().filter(|(key, _)| key.windows(6).any(|part| part == b":live_")).count();
    assert!(live > 100, "only {live} of {written} records were written meanwhile: {:?}", receipt.notes);
    // In its backups alone, a delete of Badger's own stands below an entry that lets earlier ones go, and what has expired has
    // no value.
    let made =
        |record: &Record| record.value.is_empty() && (record.meta.is_delete() || record.has_expired(2_000_000_000));
    for (at, record) in &copied {
        assert!(all.get(at).is_some_and(|there| there.same(record)) || made(record), "{record:?} was never there");
    }
    for record in sorted(&BackupFile::new(&root.join("own.bak"))) {
        let found = copied.get(&(record.key.clone(), record.version));
        assert!(found.is_some_and(|found| found.same(&record)), "{record:?} is lost");
    }

    bench.rollback("copy", Some(&receipt)).unwrap();
    assert!(
        !root.join("new-runs").exists() && root.join("old-runs-again").exists() && !root.join("data/memory").exists()
    );
}

#[test]
fn a_command_that_fails_or_never_ends_is_told_and_the_same_step_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let with = "backup-command = [\"sh\", \"-c\", \"cat {since}.bak || { echo not there >&2; exit 7; }\"], \
         stop-command = [\"sh\", \"-c\", \"test -e may-stop || sleep 60\"], undo-stop-command = [\"true\"], timeout = \"1s\"";
    let bench = open(plan("fjall", with), root);
    let told = bench.apply("copy").unwrap_err().to_string();
    assert!(told.contains("`backup-command`: `sh -c cat 0.bak") && told.contains("ended with status 7\n"), "{told}");
    assert!(told.contains("\n  not there"), "{told}");

    let record = |key: &str, version| Record { key: key.into(), version, user_meta: Some(0), ..Record::default() };
    let write = |name: &str, records: &[Record]| {
        let records = records.iter().cloned().map(Ok);
        cutover_steps_kv::backup::write_backup(&root.join(name), 0, records).unwrap();
    };
    // One that ends inside a frame is none.
    write("0.bak", &[record("a", 3), record("b", 5)]);
    let whole = fs::read(root.join("0.bak")).unwrap();
    fs::write(root.join("0.bak"), &whole[..whole.len() - 1]).unwrap();
    let told = bench.apply("copy").unwrap_err().to_string();
    assert!(told.contains("pass-1.bak` at byte"), "{told}");
    fs::write(root.join("0.bak"), whole).unwrap();

    // What was asked for again comes again: the highest version itself, since a commit may have more of it.
    write("5.bak", &[record("b", 5), record("c", 5)]);
    let told = bench.apply("copy").unwrap_err().to_string();
    assert!(told.contains("`stop-command`") && told.contains("ran longer than 1 s and was ended"), "{told}");
    fs::write(root.join("may-stop"), "").unwrap();
    let receipt = changed(&bench);
    assert_eq!(receipt.notes, ["3 records, versions up to 5"]);
    assert_eq!(bench.verify("copy").unwrap(), Verdict::Holds);
    bench.rollback("copy", Some(&receipt)).unwrap();
    assert!(!root.join("data").exists());
}

#[test]
fn a_figure_that_is_not_what_it_may_be_ends_the_copy_while_the_program_runs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let record = |version: u64| Record { key: version.to_be_bytes().to_vec(), version, ..Record::default() };
    for (name, versions) in [("0.bak", 1..=3_000), ("3000.bak", 3_000..=3_010), ("3010.bak", 3_010..=3_010)] {
        cutover_steps_kv::backup::write_backup(&root.join(name), 0, versions.map(|n| Ok(record(n)))).unwrap();
    }
    // The second pass is too much for it.
    let with = "backup-command = [\"sh\", \"-c\", \"echo x >> asked; cat {since}.bak\"], \
         stop-command = [\"touch\", \"stopped\"], undo-stop-command = [\"touch\", \"stopped-undone\"], \
         beside.figures = [{ what = \"answers a second\", max = 1, \
         probe = { use = \"command\", run = [\"sh\", \"-c\", \"echo x >> figures; cat figures | wc -l\"] } }]";
    let bench = open(plan("fjall", with), root);
    let told = bench.apply("copy").unwrap_err().to_string();
    assert!(told.contains("answers a second: the sample of ") && told.contains("is 2, allowed is at most 1"), "{told}");
    assert_eq!(fs::read_to_string(root.join("asked")).unwrap().lines().count(), 2, "each pass has a sample beside it");
    assert!(!root.join("stopped").exists());

    // It is over: the passes that were whole are not asked for again.
    fs::write(root.join("figures"), "").unwrap();
    let receipt = changed(&bench);
    assert_eq!((receipt.rows, root.join("stopped").exists()), (Some(3_010), true));
}

#[test]
fn what_was_written_after_the_move_goes_back_into_badger() {
    let Some(peer) = BadgerPeer::find() else { return };
    let cli = Command::new("unshare").args(["-n", "badger", "--help"]).output().is_ok_and(|out| out.status.success());
    assert!(cli || std::env::var_os("CI").is_none(), "Badger's CLI is missing: apt-get install badger (and be root)");
    if !cli {
        println!("skipped: Badger's CLI is missing, or only root may run it without a network");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("data")).unwrap();
    peer.make(&root.join("data/phl"), &["--records", "500", "--small", "--bulk"]);
    let with = "from = \"phl\", back-into = \"data/back/to-badger.bak\", restore-command = [\"sh\", \"-c\", \
         \"test -e data/phl.before || mv data/phl data/phl.before; rm -rf data/phl; \
         exec unshare -n badger restore --dir data/phl -f {backup}\"]";
    let bench = open(plan("fjall", with), root);
    let receipt = changed(&bench);

    // The new program lives on the store for a while.
    let store = FjallStore::open(&root.join("data/memory")).unwrap();
    let before: Vec<_> = store.versions(b"", 0).unwrap().map(Result::unwrap).collect();
    let next = store.max_version().unwrap() + 1;
    let later = [
        Record { value: b"written after".to_vec(), user_meta: Some(7), ..before[0].clone() },
        Record { key: b"new".to_vec(), value: b"\xff\0".to_vec(), user_meta: Some(0), ..Record::default() },
        Record { meta: Meta::of(Meta::DELETE), value: Vec::new(), user_meta: Some(0), ..before[1].clone() },
    ];
    let later: Vec<_> = later.into_iter().map(|record| Record { version: next, ..record }).collect();
    let mut batch = Batch::default().durable();
    later.iter().cloned().for_each(|record| batch.put(record));
    store.write(batch).unwrap();
    drop(store);
    assert_eq!(bench.verify("copy").unwrap(), Verdict::Holds);

    bench.rollback("copy", Some(&receipt)).unwrap();
    assert!(!root.join("data/memory").exists() && root.join("data/phl.before").exists());
    let out = root.join("out.bak");
    let mut command = Command::new("unshare");
    let ran = command.args(["-n", "badger", "backup", "--dir", "data/phl", "-f", "out.bak"]).current_dir(root).output();
    assert!(ran.unwrap().status.success());
    let found = by_key(sorted(&BackupFile::new(&out)));
    for record in &later {
        let there = found.get(&(record.key.clone(), next));
        assert!(there.is_some_and(|there| there.same(record)), "{record:?} is lost: {there:?}");
    }
    // What the delete hides a backup of Badger's never has.
    for record in before.iter().filter(|record| record.key != before[1].key) {
        let there = found.get(&(record.key.clone(), record.version));
        assert!(there.is_some_and(|there| there.same(record)), "{record:?} is lost");
    }
    assert_eq!(found.len(), before.len() - 1 + later.len());
}

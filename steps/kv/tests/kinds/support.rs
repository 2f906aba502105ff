//! Systems and plans for the tests of this crate's steps.

use std::fs;
use std::path::Path;

use cutover_steps_kv::backup::{BackupWriter, write_backup};
use cutover_steps_kv::store::{Batch, Engine, Fjall, Keyed, VersionedStore};
use cutover_steps_kv::{Meta, Record};

pub(super) fn plan(step: &str, kind: &str, with: &str) -> String {
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
use = "{step}"
with = {{ {with} }}
"#
    )
}

/// The plan with a step on the store `memory`.
pub(super) fn plan_on(step: &str, kind: &str, with: &str) -> String {
    plan(step, kind, with).replace("with =", "target = \"memory\"\nwith =").replace("id = \"copy\"", "id = \"it\"")
}

pub(super) const BACKUPS: &str = "backups = [\"whole.bak\", \"since.bak\"], into = \"memory\"";

pub(super) fn record(n: u64, version: u64) -> Record {
    let key = format!("layer{}:key{n:05}", n % 5).into();
    Record { key, version, value: vec![n as u8; (n % 40) as usize], user_meta: Some(0), ..Record::default() }
}

/// A whole backup, one of Badger's own by all that can be seen, and one since then with a manifest.
pub(super) fn backups(root: &Path) {
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

pub(super) fn old_store(root: &Path) {
    let store = Keyed::<Fjall>::open_or_create(&root.join("data/old")).unwrap();
    let mut batch = Batch::default().durable();
    (0..4_100).for_each(|n| batch.put(record(n, 1 + n % 3)));
    store.write(batch).unwrap();
}

pub(super) fn put<E: Engine>(root: &Path, record: Record) {
    let store = Keyed::<E>::open_or_create(&root.join("data/memory")).unwrap();
    let mut batch = Batch::default().durable();
    batch.put(record);
    store.write(batch).unwrap();
}

/// Fills the store `memory`.
pub(super) fn fill<E: Engine>(root: &Path, records: impl IntoIterator<Item = Record>) {
    let store = Keyed::<E>::open_or_create(&root.join("data/memory")).unwrap();
    let mut batch = Batch::default().durable();
    records.into_iter().for_each(|record| batch.put(record));
    store.write(batch).unwrap();
}

pub(super) fn read<E: Engine>(root: &Path) -> Vec<Record> {
    let store = Keyed::<E>::open(&root.join("data/memory")).unwrap();
    store.versions(b"", 0).unwrap().map(Result::unwrap).collect()
}

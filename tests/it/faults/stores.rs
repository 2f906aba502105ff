//! The key-value data of the small plans, and how a store is looked at: by its records, since an engine writes its files
//! anew whenever it opens them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use cutover_steps_kv::backup::write_backup;
use cutover_steps_kv::store::{Batch, FjallStore, SledStore, VersionedStore};
use cutover_steps_kv::{KvError, KvErrorKind, Meta, Record};
use cutover_tests::copy_folder;

use crate::system::folder_in_memory;

/// More than a batch of a copy, and than two of a restore.
const RECORDS: u64 = 2_100;

/// Where a plan's store is.
const MEMORY: &str = "data/memory";

/// The target `memory` of a plan, and what is there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    kind: &'static str,
    /// Whether it is there before.
    there: bool,
    /// Whether each key has an older version, too.
    history: bool,
    /// Whether the backup is so large that a copy of it is loaded.
    large: bool,
}

impl Memory {
    /// A target of that kind with records in it.
    pub(super) const fn full(kind: &'static str) -> Self {
        Self { kind, there: true, history: false, large: false }
    }

    /// The same, with an older version of each record.
    pub(super) const fn with_history(kind: &'static str) -> Self {
        Self { kind, there: true, history: true, large: false }
    }

    /// One that a step makes.
    pub(super) const fn none_yet(kind: &'static str) -> Self {
        Self { kind, there: false, history: false, large: false }
    }

    /// The same with more in its backup.
    pub(super) const fn large(self) -> Self {
        Self { large: true, ..self }
    }

    /// What a plan says of it.
    pub(super) fn target(self) -> String {
        format!("[targets.memory]\nkind = \"{}\"\npath = \"{MEMORY}\"\n", self.kind)
    }

    /// The folder of what a command may put in its place.
    pub(super) const OTHER: &'static str = "data/other";

    /// Makes it, what may take its place, and a backup that may be copied into it.
    pub(super) fn build(self, root: &Path) {
        fs::create_dir_all(root.join("data")).unwrap();
        if self.kind == "badger" {
            badger(&root.join(MEMORY));
            return;
        }
        let pad = vec![b' '; if self.large { 1_000 } else { 0 }];
        let backup = records(0).into_iter().map(|mut record| {
            if !record.value.is_empty() {
                record.value.extend(&pad);
            }
            Ok(record)
        });
        write_backup(&root.join("data/memory.bak"), 0, backup).unwrap();
        if self.there {
            let newer = |record: &Record| Record { version: record.version + 100, ..record.clone() };
            let newer = if self.history { records(0).iter().map(newer).collect() } else { Vec::new() };
            self.fill(&root.join(MEMORY), [records(0), newer].concat());
            self.fill(&root.join(Self::OTHER), records(1));
        }
    }

    fn fill(self, folder: &Path, records: Vec<Record>) {
        let mut batch = Batch::default().durable();
        records.into_iter().for_each(|record| batch.put(record));
        open(self.kind, folder, true).write(batch).unwrap();
    }

    /// Whether a file of the root is the store's, whose bytes say nothing.
    pub(super) fn is_own(self, path: &str) -> bool {
        self.kind != "badger" && (path == MEMORY || path.starts_with(&format!("{MEMORY}/")))
    }

    /// Every record, a line each.
    pub(super) fn seen(self, root: &Path) -> String {
        let folder = root.join(MEMORY);
        if self.kind == "badger" || !folder.exists() {
            return String::new();
        }
        let scratch = folder_in_memory();
        let copy = scratch.path().join("store");
        let copied = Command::new("cp").arg("-a").arg(&folder).arg(&copy).status().unwrap();
        assert!(copied.success(), "cannot copy {}", folder.display());
        let store = open(self.kind, &copy, false);
        let mut found = "a store\n".to_owned();
        for record in store.versions(b"", 0).unwrap() {
            let Record { key, version, value, user_meta, meta, expires_at } = record.unwrap();
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            let _ = writeln!(found, "  {key} v{version} {value} {user_meta:?} {} {expires_at}", meta.bits());
        }
        found
    }
}

/// Opens a store that nobody else uses. Its lock is a file's: a child that another thread of this process has just forked
/// holds it too, until that child becomes another program.
fn open(kind: &str, folder: &Path, made: bool) -> Box<dyn VersionedStore> {
    let once = || -> Result<Box<dyn VersionedStore>, KvError> {
        Ok(match (kind, made) {
            ("sled", true) => Box::new(SledStore::open_or_create(folder)?),
            ("sled", false) => Box::new(SledStore::open(folder)?),
            (_, true) => Box::new(FjallStore::open_or_create(folder)?),
            (_, false) => Box::new(FjallStore::open(folder)?),
        })
    };
    for _ in 0..100 {
        match once() {
            Err(e) if matches!(e.kind, KvErrorKind::InUse(_)) => thread::sleep(Duration::from_millis(20)),
            opened => return opened.unwrap(),
        }
    }
    once().unwrap()
}

/// Sorted; `other` ones have other values under the same versions, and some keys of their own.
fn records(other: u64) -> Vec<Record> {
    let mut records: Vec<_> = (0..RECORDS)
        .map(|n| Record {
            key: format!("layer{}:key{n:05}", n % 5).into(),
            version: 1 + n / 100,
            value: format!("{{\"n\": {}}}", n + other).into(),
            user_meta: Some(0),
            expires_at: if n % 50 == 0 { 4_000_000_000 } else { 0 },
            ..Record::default()
        })
        .collect();
    let deleted = Record { key: b"layer1:key00001".to_vec(), version: 90 + other, ..Record::default() };
    records.push(Record { meta: Meta::of(Meta::DELETE), ..deleted });
    records.sort_by(Record::order);
    records
}

/// A directory of Badger 4, from the reader's fixtures.
fn badger(folder: &Path) {
    let fixtures = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../steps/kv/src/badger/tests/fixtures"));
    copy_folder(&fixtures.join("v4-snappy"), folder);
    fs::remove_file(folder.join("records.jsonl")).unwrap();
}

//! A copy whose process is killed again and again, at no chosen moment: nothing is lost, nothing is there twice.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops at the first thing that fails")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use cutover_steps_kv::copy::{Copied, Copy, Flow, compare};
use cutover_steps_kv::store::{FjallStore, SledStore, VersionedStore};
use cutover_steps_kv::{Order, Record, RecordSource, Result};

const RECORDS: u64 = 20_000;

/// Records in no order at all.
struct Shuffled;

impl RecordSource for Shuffled {
    fn records(&self, _since: u64) -> Result<Box<dyn Iterator<Item = Result<Record>> + Send + '_>> {
        Ok(Box::new((0..RECORDS).map(|n| Ok(record(n * 7_919 % RECORDS)))))
    }

    fn order(&self) -> Order {
        Order::Unsorted
    }
}

fn record(n: u64) -> Record {
    let expires_at = if n.is_multiple_of(5) { 1_000_000 + n } else { 0 };
    let (key, value) = (format!("key{:05}", n / 3).into_bytes(), vec![n as u8; 200 + (n % 90) as usize]);
    Record { key, version: 1 + n % 3, value, expires_at, ..Record::default() }
}

fn open(folder: &Path) -> Box<dyn VersionedStore> {
    match folder.file_name().unwrap().to_str().unwrap() {
        "sled" => Box::new(SledStore::open_or_create(folder).unwrap()),
        _ => Box::new(FjallStore::open_or_create(folder).unwrap()),
    }
}

fn copy(folder: &Path, say: bool) -> Copied {
    let scratch = folder.with_extension("sort");
    let copy = Copy { name: "c", identity: "shuffled", since: 0, scratch: &scratch };
    let mut between = |cursor: &_| {
        let cursor: &cutover_steps_kv::copy::Cursor = cursor;
        if say {
            println!("batch {}", cursor.records);
        }
        Flow::On
    };
    copy.run(&Shuffled, &*open(folder), &mut between).unwrap()
}

/// What the process that is killed does; without a folder in the environment, nothing.
#[test]
fn copies_where_the_parent_says() {
    if let Some(folder) = env::var_os("CUTOVER_KV_COPY") {
        copy(Path::new(&folder), true);
    }
}

/// Starts a copy and kills it when it has said as many batches. How many records it said last.
fn killed_after(folder: &Path, batches: usize) -> Option<u64> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "copies_where_the_parent_says", "--nocapture"])
        .env("CUTOVER_KV_COPY", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.map_while(std::result::Result::ok).filter_map(|line| line.strip_prefix("batch ")?.parse().ok());
    let last = said.take(batches).last();
    child.kill().unwrap();
    child.wait().unwrap();
    last
}

fn survives(engine: &str) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join(engine);
    let mut before = 0;
    for batches in [1, 3, 2, 4] {
        let Some(said) = killed_after(&folder, batches) else { panic!("the copy was done before it was killed") };
        let store = open(&folder);
        let found = cutover_steps_kv::copy::Cursor::of("c", &*store).unwrap();
        let (there, cursor) = (store.versions(b"", 0).unwrap().count() as u64, found.map_or(0, |found| found.records));
        assert_eq!(there, cursor, "the records and the cursor disagree");
        assert!(cursor >= before, "{cursor} records after {before}");
        // fjall hands each batch to the system; sled keeps what fills no segment yet, and loses it with the process.
        assert!(engine == "sled" || cursor + 2_000 >= said, "{said} were said to come, {cursor} are there");
        before = cursor;
    }
    assert!(before > 0 && before < RECORDS, "{before} records: nothing was killed in the middle");
    let last = copy(&folder, false);
    assert!(last.cursor.done);
    assert_eq!((last.cursor.records, last.written), (RECORDS, RECORDS - before));
    let mut expected: Vec<Record> = (0..RECORDS).map(record).collect();
    expected.sort_by(Record::order);
    let store = open(&folder);
    let found = compare(expected.into_iter().map(Ok), store.versions(b"", 0).unwrap()).unwrap();
    assert!(found.holds(), "{:?}", found.named);
    assert_eq!(store.expired(u64::MAX).unwrap().count() as u64, RECORDS.div_ceil(5));
    assert_eq!(fs::read_dir(folder.with_extension("sort")).unwrap().count(), 0, "a killed sort left its files");
}

#[test]
fn a_copy_into_sled_that_is_killed_goes_on_where_it_was() {
    survives("sled");
}

#[test]
fn a_copy_into_fjall_that_is_killed_goes_on_where_it_was() {
    survives("fjall");
}

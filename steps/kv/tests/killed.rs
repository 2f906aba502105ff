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
/// Bytes of a value where the copy is a large one: a store that loads does so after the first eight megabytes.
const LARGE: usize = 2_000;
const SMALL: usize = 200;

/// Records in no order at all, with values of that many bytes, some more.
struct Shuffled(usize);

impl RecordSource for Shuffled {
    fn records(&self, _since: u64) -> Result<Box<dyn Iterator<Item = Result<Record>> + Send + '_>> {
        let Self(size) = *self;
        Ok(Box::new((0..RECORDS).map(move |n| Ok(record(n * 7_919 % RECORDS, size)))))
    }

    fn order(&self) -> Order {
        Order::Unsorted
    }
}

fn record(n: u64, size: usize) -> Record {
    let expires_at = if n.is_multiple_of(5) { 1_000_000 + n } else { 0 };
    let (key, value) = (format!("key{:05}", n / 3).into_bytes(), vec![n as u8; size + (n % 90) as usize]);
    Record { key, version: 1 + n % 3, value, expires_at, ..Record::default() }
}

fn open(folder: &Path) -> Box<dyn VersionedStore> {
    match folder.file_name().unwrap().to_str().unwrap() {
        "sled" => Box::new(SledStore::open_or_create(folder).unwrap()),
        _ => Box::new(FjallStore::open_or_create(folder).unwrap()),
    }
}

fn copy(folder: &Path, size: usize, say: bool) -> Copied {
    let scratch = folder.with_extension("sort");
    let copy = Copy { name: "c", identity: "shuffled", since: 0, scratch: &scratch };
    let mut between = |cursor: &_| {
        let cursor: &cutover_steps_kv::copy::Cursor = cursor;
        if say {
            println!("batch {}", cursor.records);
        }
        Flow::On
    };
    copy.run(&Shuffled(size), &*open(folder), &mut between).unwrap()
}

/// What the process that is killed does; without a folder in the environment, nothing.
#[test]
fn copies_where_the_parent_says() {
    if let Some(folder) = env::var_os("CUTOVER_KV_COPY") {
        let large = env::var_os("CUTOVER_KV_LARGE").is_some();
        copy(Path::new(&folder), if large { LARGE } else { SMALL }, true);
    }
}

/// Starts a copy and kills it when it has said as many batches. How many records it said last.
fn killed_after(folder: &Path, size: usize, batches: usize) -> Option<u64> {
    let mut command = Command::new(env::current_exe().unwrap());
    if size == LARGE {
        command.env("CUTOVER_KV_LARGE", "1");
    }
    let mut child = command
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

/// `behind`: how many records that were said to come may be gone with the process.
fn survives(engine: &str, size: usize, kills: [usize; 4], behind: u64) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join(engine);
    let mut before = 0;
    for batches in kills {
        let Some(said) = killed_after(&folder, size, batches) else { panic!("the copy was done before it was killed") };
        let store = open(&folder);
        let found = cutover_steps_kv::copy::Cursor::of("c", &*store).unwrap();
        let (there, cursor) = (store.versions(b"", 0).unwrap().count() as u64, found.map_or(0, |found| found.records));
        assert_eq!(there, cursor, "the records and the cursor disagree");
        assert!(cursor >= before, "{cursor} records after {before}");
        assert!(cursor + behind >= said, "{said} were said to come, {cursor} are there");
        before = cursor;
    }
    assert!(before > 0 && before < RECORDS, "{before} records: nothing was killed in the middle");
    let last = copy(&folder, size, false);
    assert!(last.cursor.done);
    assert_eq!((last.cursor.records, last.written), (RECORDS, RECORDS - before));
    let mut expected: Vec<Record> = (0..RECORDS).map(|n| record(n, size)).collect();
    expected.sort_by(Record::order);
    let store = open(&folder);
    let found = compare(expected.into_iter().map(Ok), store.versions(b"", 0).unwrap()).unwrap();
    assert!(found.holds(), "{:?}", found.named);
    assert_eq!(store.expired(u64::MAX).unwrap().count() as u64, RECORDS.div_ceil(5));
    assert_eq!(fs::read_dir(folder.with_extension("sort")).unwrap().count(), 0, "a killed sort left its files");
}

#[test]
fn a_copy_into_sled_that_is_killed_goes_on_where_it_was() {
    // It keeps what fills no segment yet, and loses it with the process.
    survives("sled", SMALL, [1, 3, 2, 4], RECORDS);
}

#[test]
fn a_copy_into_fjall_that_is_killed_goes_on_where_it_was() {
    // It hands each batch to the system.
    survives("fjall", SMALL, [1, 3, 2, 4], 2_000);
}

#[test]
fn a_copy_into_fjall_that_is_killed_in_the_middle_of_a_load_begins_it_anew() {
    // Some forty batches come before the load, so the first kill is one among them; the others are in loads.
    survives("fjall", LARGE, [20, 90, 60, 70], RECORDS);
}

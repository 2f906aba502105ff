//! A copy whose process is killed again and again, at no chosen moment: nothing is lost, nothing is there twice.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops at the first thing that fails")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use cutover_steps_kv::copy::{Copied, Copy, Cursor, Flow, compare};
use cutover_steps_kv::store::{FjallStore, SledStore, VersionedStore};
use cutover_steps_kv::{Order, Record, RecordSource, Result};

const RECORDS: u64 = 20_000;
/// Bytes of a value where the copy is a large one: a store that loads does so after the first megabyte.
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

/// `park`: the group behind which it waits for whoever kills it.
fn copy(folder: &Path, size: usize, say: bool, park: Option<usize>) -> Copied {
    let scratch = folder.with_extension("sort");
    let copy = Copy { name: "c", identity: "shuffled", since: 0, scratch: &scratch };
    let mut groups = 0;
    let mut between = |cursor: &Cursor| {
        groups += 1;
        if say {
            println!("group {}", cursor.records);
        }
        while park == Some(groups) {
            thread::park();
        }
        Flow::On
    };
    copy.run(&Shuffled(size), &*open(folder), &mut between).unwrap()
}

/// What the process that is killed does; without a folder in the environment, nothing.
#[test]
fn copies_where_the_parent_says() {
    if let Some(folder) = env::var_os("CUTOVER_KV_COPY") {
        let park = env::var("CUTOVER_KV_PARK").ok().map(|group| group.parse().unwrap());
        copy(Path::new(&folder), if park.is_some() { LARGE } else { SMALL }, true, park);
    }
}

/// Starts a copy and kills it when it has said as many groups. How many records it said last.
fn killed_after(folder: &Path, groups: usize, park: bool) -> Option<u64> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "copies_where_the_parent_says", "--nocapture"]).env("CUTOVER_KV_COPY", folder);
    if park {
        command.env("CUTOVER_KV_PARK", groups.to_string());
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.map_while(std::result::Result::ok).filter_map(|line| line.strip_prefix("group ")?.parse().ok());
    let last = said.take(groups).last();
    child.kill().unwrap();
    child.wait().unwrap();
    last
}

/// What is there of a copy that was killed, all of which its cursor knows.
fn there(folder: &Path) -> u64 {
    let store = open(folder);
    let cursor = Cursor::of("c", &*store).unwrap().map_or(0, |found| found.records);
    assert_eq!(store.versions(b"", 0).unwrap().count() as u64, cursor, "the records and the cursor disagree");
    cursor
}

/// Ends the copy, of which as much was there before.
fn ends(folder: &Path, size: usize, before: u64) {
    assert!(before > 0 && before < RECORDS, "{before} records: nothing was killed in the middle");
    let last = copy(folder, size, false, None);
    assert!(last.cursor.done);
    assert_eq!((last.cursor.records, last.written), (RECORDS, RECORDS - before));
    let mut expected: Vec<Record> = (0..RECORDS).map(|n| record(n, size)).collect();
    expected.sort_by(Record::order);
    let store = open(folder);
    let found = compare(expected.into_iter().map(Ok), store.versions(b"", 0).unwrap()).unwrap();
    assert!(found.holds(), "{:?}", found.named);
    assert_eq!(store.expired(u64::MAX).unwrap().count() as u64, RECORDS.div_ceil(5));
    assert_eq!(fs::read_dir(folder.with_extension("sort")).unwrap().count(), 0, "a killed sort left its files");
}

/// `behind`: how many records that were said to come may be gone with the process.
fn survives(engine: &str, behind: u64) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join(engine);
    let mut before = 0;
    for groups in [1, 3, 2, 4] {
        let Some(said) = killed_after(&folder, groups, false) else { panic!("the copy was done before it was killed") };
        let cursor = there(&folder);
        assert!(cursor >= before, "{cursor} records after {before}");
        assert!(cursor + behind >= said, "{said} were said to come, {cursor} are there");
        before = cursor;
    }
    ends(&folder, SMALL, before);
}

#[test]
fn a_copy_into_sled_that_is_killed_goes_on_where_it_was() {
    // It keeps what fills no segment yet, and loses it with the process.
    survives("sled", RECORDS);
}

#[test]
fn a_copy_into_fjall_that_is_killed_goes_on_where_it_was() {
    // It hands each batch to the system.
    survives("fjall", 2_000);
}

#[test]
fn a_copy_into_fjall_that_is_killed_in_the_middle_of_a_load_begins_it_anew() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("fjall");
    let mut before = 0;
    for groups in [20, 90, 60, 70] {
        let said = killed_after(&folder, groups, true).expect("the copy was done before it was killed");
        let cursor = there(&folder);
        // The megabyte that goes by batches is there, nothing of the load is.
        assert!(
            (500..700).contains(&(cursor - before)) && said - cursor > 1_000,
            "{before}, {cursor} of {said} are there"
        );
        before = cursor;
    }
    ends(&folder, LARGE, before);
}

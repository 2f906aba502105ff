//! Readers and a writer that never stop, while the stage goes there and back and tables come and go.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cutover_dual::{Counters, DualReader, DualWriter};
use rusqlite::{Connection, Result, params};
use tempfile::TempDir;

/// What every group has at all times, in the one schema or in both.
const ROWS: i64 = 5;
const GROUPS: i64 = 4;
const ROUNDS: usize = 25;

/// One turn of a migration there and back, each line a transaction as `cutover` has them. New rows are there in part only
/// where the old ones are read first: whoever reads them by an earlier stage finds too few.
const TURN: [&str; 14] = [
    "CREATE TABLE new (g INTEGER, i INTEGER, PRIMARY KEY (g, i));
     CREATE TABLE _cutover_stage (name TEXT PRIMARY KEY, stage TEXT NOT NULL);
     INSERT INTO _cutover_stage VALUES ('another', 'contracted'), ('m', 'dual-write');",
    "INSERT INTO new SELECT g, i FROM old WHERE i % 2",
    "INSERT OR IGNORE INTO new SELECT g, i FROM old WHERE g <> 0",
    "DELETE FROM new WHERE g = 0; UPDATE _cutover_stage SET stage = 'prefer-new' WHERE name = 'm'",
    "INSERT INTO new SELECT g, i FROM old WHERE g = 0",
    "UPDATE _cutover_stage SET stage = 'new-only' WHERE name = 'm'",
    "DROP TABLE old; UPDATE _cutover_stage SET stage = 'contracted' WHERE name = 'm'",
    "CREATE TABLE old (g INTEGER, i INTEGER, PRIMARY KEY (g, i)); INSERT INTO old SELECT g, i FROM new;
     UPDATE _cutover_stage SET stage = 'new-only' WHERE name = 'm'",
    "UPDATE _cutover_stage SET stage = 'prefer-new' WHERE name = 'm'",
    "UPDATE _cutover_stage SET stage = 'dual-write' WHERE name = 'm'",
    "DELETE FROM new WHERE i > 3",
    "DELETE FROM new WHERE i > 1",
    "DELETE FROM new",
    "DROP TABLE new; DROP TABLE _cutover_stage",
];

fn open(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(Duration::from_secs(60)).unwrap();
    conn
}

fn group(conn: &Connection, table: &str, group: i64) -> Result<Vec<i64>> {
    let mut select = conn.prepare_cached(&format!("SELECT i FROM {table} WHERE g = ?1 ORDER BY i"))?;
    select.query_map([group], |row| row.get(0))?.collect()
}

/// Reads until told to stop: how many reads there were, all of them whole.
fn reads(path: &Path, compared: bool, stop: &AtomicBool) -> u64 {
    let conn = open(path);
    let counters = Arc::new(Counters::default());
    let reader = DualReader::new("m", counters.clone()).compare_every(1);
    let mut g = 0;
    while !stop.load(Ordering::Relaxed) {
        g = (g + 1) % GROUPS;
        let (new, old) = (|conn: &Connection| group(conn, "new", g), |conn: &Connection| group(conn, "old", g));
        let found = |found: &Vec<i64>| !found.is_empty();
        let rows =
            if compared { reader.read_compared(&conn, new, old, found) } else { reader.read(&conn, new, old, found) };
        assert_eq!(rows.unwrap(), (0..ROWS).collect::<Vec<_>>());
    }
    let counts = counters.counts();
    assert_eq!((counts.reads_failed, counts.reads_failed_new), (0, 0));
    counts.reads_new + counts.reads_old + counts.reads_fallback
}

fn move_about(journal: &str) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("app.db");
    let conn = open(&path);
    conn.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |_| Ok(())).unwrap();
    conn.execute_batch(
        "PRAGMA synchronous = OFF; CREATE TABLE old (g INTEGER, i INTEGER, PRIMARY KEY (g, i));
         CREATE TABLE log (i INTEGER PRIMARY KEY, by TEXT NOT NULL);",
    )
    .unwrap();
    for g in 0..GROUPS {
        (0..ROWS).for_each(|i| assert_eq!(conn.execute("INSERT INTO old VALUES (?1, ?2)", params![g, i]), Ok(1)));
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (path, stop) = (&path, &stop);
        let readers = [false, false, true].map(|compared| scope.spawn(move || reads(path, compared, stop)));
        let writer = scope.spawn(|| {
            let conn = open(path);
            let writer = DualWriter::new("m", Arc::new(Counters::default()));
            let insert = |conn: &Connection, by: &str| conn.execute("INSERT INTO log (by) VALUES (?1)", [by]);
            let mut writes = 0_i64;
            while !stop.load(Ordering::Relaxed) {
                let wrote = writer.write(&conn, |conn| insert(conn, "new"), |conn| insert(conn, "old"));
                assert_eq!(wrote, Ok(1));
                writes += 1;
                thread::sleep(Duration::from_millis(1));
            }
            writes
        });
        for _ in 0..ROUNDS {
            for step in TURN {
                conn.execute_batch(&format!("BEGIN IMMEDIATE; {step}; COMMIT")).unwrap();
                thread::sleep(Duration::from_micros(300));
            }
        }
        stop.store(true, Ordering::Relaxed);
        let reads: Vec<u64> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert!(reads.iter().all(|reads| *reads > 0), "{reads:?}");
        let writes = writer.join().unwrap();
        let logged: i64 = conn.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
        assert_eq!(logged, writes, "each write is there once");
    });
}

#[test]
fn no_read_fails_or_finds_too_few_rows_while_the_stage_goes_there_and_back() {
    move_about("wal");
}

#[test]
fn nor_with_a_rollback_journal() {
    move_about("delete");
}

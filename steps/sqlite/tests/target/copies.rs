//! Copies of a database while somebody else writes it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use cutover_core::Target;
use pollster::block_on;
use rusqlite::Connection;

use crate::support::World;

/// Two tables that every commit leaves equally long.
const PAIR: &str =
    "CREATE TABLE one(id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE two(id INTEGER PRIMARY KEY, x TEXT);";

/// Writes until the database's folder holds a file `over`.
const WRITER: &str = r#"
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
db.execute("PRAGMA synchronous = OFF")
n = 0
while not os.path.exists(os.path.join(os.path.dirname(sys.argv[1]), "over")):
    db.execute("BEGIN IMMEDIATE")
    for table in ("one", "two"):
        db.execute(f"INSERT INTO {table}(x) VALUES (hex(randomblob(2000)))")
        db.execute(f"DELETE FROM {table} WHERE id % 7 = 3 AND id < (SELECT max(id) FROM {table})")
    db.execute("COMMIT")
    n += 1
    if n % 5 == 0:
        db.execute("PRAGMA wal_checkpoint(%s)" % ("PASSIVE" if n % 2 else "TRUNCATE")).fetchall()
"#;

#[test]
fn a_copy_and_a_snapshot_are_of_one_moment_while_another_program_writes_and_checkpoints() {
    for mode in ["delete", "wal"] {
        let world = World::new(&format!("PRAGMA journal_mode = {mode}; {PAIR}"));
        let mut writer = Command::new("python3").arg("-c").arg(WRITER).arg(world.db()).spawn().unwrap();
        while world.sql("SELECT count(*) FROM one").trim() == "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
        let places = tempfile::tempdir().unwrap();
        let mut lengths: Vec<i64> = Vec::new();
        let began = Instant::now();
        for i in 0.. {
            // On a busy machine the writer has its turns, too.
            let written = lengths.first() < lengths.last();
            if i >= 8 && written || began.elapsed() > Duration::from_secs(60) {
                break;
            }
            let opened = world.open(1);
            let copy = places.path().join(format!("{i}.db"));
            block_on(opened.target.copy_to(&opened.cx, &copy)).unwrap();
            let set = block_on(opened.target.snapshot(&opened.cx, &places.path().join(format!("set{i}")))).unwrap();
            block_on(opened.target.close(&opened.cx)).unwrap();
            for db in [copy, set.folder.join("app.db")] {
                let conn = Connection::open(&db).unwrap();
                let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
                let length = |table: &str| -> i64 {
                    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
                };
                assert_eq!((sound.as_str(), length("one")), ("ok", length("two")), "{mode} {}", db.display());
                lengths.push(length("one"));
            }
        }
        fs::write(world.folder.path().join("over"), "").unwrap();
        assert!(writer.wait().unwrap().success());
        assert!(lengths.is_sorted() && lengths.first() < lengths.last(), "{mode}: nobody wrote: {lengths:?}");
    }
}

#[test]
fn a_copy_and_a_snapshot_leave_the_locks_of_this_process_as_they_are() {
    let world = World::new(&format!("PRAGMA journal_mode = wal; {PAIR}"));
    let opened = world.open(1);
    opened.change("one", "INSERT INTO one(x) VALUES ('a'); INSERT INTO two(x) VALUES ('b')").unwrap();
    let into = tempfile::tempdir().unwrap();
    block_on(opened.target.copy_to(&opened.cx, &into.path().join("copy.db"))).unwrap();
    block_on(opened.target.snapshot(&opened.cx, &into.path().join("set"))).unwrap();
    // Were the locks gone, a last program that closes would think itself alone and fold the log away.
    world.sql("INSERT INTO one(x) VALUES ('c'); INSERT INTO two(x) VALUES ('d')");
    let log = fs::metadata(world.folder.path().join("app.db-wal")).map(|m| m.len()).unwrap_or(0);
    assert!(log > 0, "another program folded the log of a database that is open here");
    assert_eq!(opened.measure("SELECT count(*) FROM one").unwrap(), 2.0);
}

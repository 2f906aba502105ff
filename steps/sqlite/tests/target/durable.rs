//! Whether a commit waits for the disk while others wait for it, and that a change has reached the disk when it is done.

use std::fs;
use std::os::unix::fs::symlink;

use cutover_core::Receipt;
use pollster::block_on;

use crate::support::{Opened, World};

/// How durable the commit of the open transaction is: 1 waits for no disk, 2 does.
fn waits(opened: &Opened, id: &str) -> i64 {
    let (told, heard) = std::sync::mpsc::channel();
    block_on(opened.target.change(&opened.step(id), move |conn| {
        let number = conn.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
        told.send(number.unwrap()).unwrap();
        conn.execute_batch("INSERT INTO t (v) VALUES (1)").unwrap();
        Ok(Receipt::nothing())
    }))
    .unwrap();
    heard.recv().unwrap()
}

#[test]
fn nobody_waits_for_our_disk_where_a_log_makes_that_possible() {
    for (mode, expected) in [("WAL", 1), ("DELETE", 2)] {
        let world =
            World::new(&format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER);"));
        let opened = world.open(1);
        assert_eq!(waits(&opened, "first"), expected, "{mode}");
        block_on(opened.target.batch(&opened.step("batches"), |_| Ok(()))).unwrap();
        assert_eq!(waits(&opened, "second"), expected, "{mode}");
        assert_eq!(world.sql("SELECT count(*) FROM t").trim(), "2");
    }
}

#[test]
fn a_change_whose_log_does_not_reach_the_disk_is_an_error() {
    let world = World::new("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER);");
    let (opened, log) = (world.open(1), world.folder.path().join("app.db-wal"));
    let aside = world.folder.path().join("log");
    let cx = opened.step("first");
    let change = opened.target.change(&cx, move |conn| {
        conn.execute_batch("INSERT INTO t (v) VALUES (1)").unwrap();
        // Nothing that is written there reaches a disk.
        fs::rename(&log, aside).unwrap();
        symlink("/dev/null", &log).unwrap();
        Ok(Receipt::nothing())
    });
    let error = block_on(change).unwrap_err();
    assert!(error.to_string().contains("cannot make durable"), "{error}");
}

//! Changes, reversals, the ledger, epochs, and groups of changes.

use cutover_core::{Ledger, StepErrorKind, Target};
use pollster::block_on;

use crate::support::World;

fn steps(world: &World) -> String {
    world.sql("SELECT step || ' ' || success || ' ' || epoch FROM cutover_ledger ORDER BY id")
}

#[test]
fn a_change_and_its_ledger_row_are_there_together_or_not_at_all() {
    let world = World::new("CREATE TABLE t(a)");
    let opened = world.open(3);
    opened.change("one", "INSERT INTO t VALUES (1)").unwrap();
    opened.change("two", "INSERT INTO t VALUES (2); INSERT INTO nowhere VALUES (1)").unwrap_err();
    assert_eq!(world.sql("SELECT group_concat(a) FROM t"), "1\n");
    assert_eq!(steps(&world), "one 1 3\n");
    block_on(opened.target.record_failure(&opened.step("two"), "no such table: nowhere")).unwrap();
    assert_eq!(steps(&world), "one 1 3\ntwo 0 3\n");
    opened.change("two", "INSERT INTO t VALUES (2)").unwrap();
    assert_eq!(steps(&world), "one 1 3\ntwo 1 3\n");
    let entries = block_on(opened.target.entries(&opened.cx, "p")).unwrap();
    assert_eq!(entries[1].receipt.as_ref().unwrap().notes, ["INSERT INTO t VALUES (2)"]);
    assert_eq!(entries[1].applied_at, "2026-01-01T00:00:00Z");
    opened.reverse("two", "DELETE FROM t WHERE a = 2").unwrap();
    opened.reverse("two", "DELETE FROM t").unwrap();
    assert_eq!((steps(&world).as_str(), world.sql("SELECT a FROM t").as_str()), ("one 1 3\n", "1\n"));
}

#[test]
fn a_change_that_was_committed_and_failed_later_is_undone_as_what_it_is() {
    let world = World::new("");
    let opened = world.open(3);
    opened.change("one", "CREATE TABLE t(a)").unwrap();
    block_on(opened.target.record_failure(&opened.step("one"), "applied, but could not be verified")).unwrap();
    assert_eq!(steps(&world), "one 1 3\n");
    opened.reverse("one", "DROP TABLE t").unwrap();
    assert_eq!(world.sql("SELECT count(*) FROM sqlite_master WHERE name = 't'"), "0\n");
}

#[test]
fn an_older_epoch_cannot_write_any_more() {
    let world = World::new("");
    let (old, new) = (world.open(4), world.open(5));
    old.change("one", "CREATE TABLE t(a)").unwrap();
    block_on(new.target.fence(&new.cx)).unwrap();
    for error in [
        old.change("two", "CREATE TABLE u(a)").unwrap_err(),
        old.reverse("one", "DROP TABLE t").unwrap_err(),
        block_on(old.target.begin(&old.cx)).unwrap_err(),
        block_on(old.target.batch(&old.cx, |_| Ok(()))).unwrap_err(),
    ] {
        assert_eq!(error.kind(), StepErrorKind::Fenced, "{error}");
    }
    assert_eq!(block_on(old.target.epoch(&old.cx)).unwrap(), 5);
    assert_eq!(world.sql(".tables"), "cutover_ledger  cutover_state   t             \n");
}

/// Whoever looked before another runner's commit writes after it: the look is made again in the transaction.
#[test]
fn a_step_that_the_ledger_has_as_applied_is_neither_changed_nor_filled_again() {
    let world = World::new("");
    let (first, second) = (world.open(1), world.open(1));
    first.change("one", "CREATE TABLE t(a)").unwrap();
    let batch = |conn: &rusqlite::Connection| {
        conn.execute("INSERT INTO t VALUES (1)", [])
            .map(drop)
            .map_err(|e| cutover_core::StepError::failed(e.to_string()))
    };
    for error in [
        second.change("one", "INSERT INTO t VALUES (1)").unwrap_err(),
        block_on(second.target.batch(&second.step("one"), batch)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), StepErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains("`one`") && error.help().unwrap().contains("same command"), "{error}");
    }
    assert_eq!(world.sql("SELECT count(*) FROM t; SELECT count(*) FROM cutover_ledger"), "0\n1\n");
    // What was undone, and what failed, may be done.
    first.reverse("one", "DROP TABLE t").unwrap();
    second.change("one", "CREATE TABLE t(a)").unwrap();
}

#[test]
fn foreign_keys_hold_for_a_change_and_not_for_its_reversal() {
    let world = World::new(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id)); INSERT INTO c VALUES (9)",
    );
    let opened = world.open(1);
    let error = opened.change("bad", "INSERT INTO c VALUES (8)").unwrap_err();
    assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
    opened.change("good", "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)").unwrap();
    opened.reverse("good", "DELETE FROM p; DELETE FROM c WHERE p = 1").unwrap();
    opened.change("bad", "INSERT INTO c VALUES (8)").unwrap_err();
}

#[test]
fn a_group_is_seen_from_inside_undone_by_the_step_and_kept_or_dropped_whole() {
    let world = World::new("");
    let opened = world.open(1);
    let ledger: &dyn Ledger = &*opened.target;
    block_on(ledger.begin(&opened.cx)).unwrap();
    for (id, table) in [("one", "a"), ("two", "b")] {
        block_on(ledger.savepoint(&opened.step(id))).unwrap();
        opened.change(id, &format!("CREATE TABLE {table}(x)")).unwrap();
        assert!(block_on(opened.target.holds(&opened.cx, &format!("table:{table}"))).unwrap());
    }
    block_on(ledger.undo(&opened.step("two"))).unwrap();
    assert!(!block_on(opened.target.holds(&opened.cx, "table:b")).unwrap());
    assert_eq!(world.sql(".tables"), "", "nothing is seen from outside");
    block_on(ledger.commit(&opened.cx)).unwrap();
    assert_eq!(
        (world.sql(".tables").as_str(), steps(&world).as_str()),
        ("a               cutover_ledger  cutover_state \n", "one 1 1\n")
    );

    block_on(ledger.begin(&opened.cx)).unwrap();
    block_on(ledger.savepoint(&opened.step("three"))).unwrap();
    opened.change("three", "DROP TABLE a").unwrap();
    opened.change("four", "CREATE TABLE broken(x); SELECT nothing").unwrap_err();
    block_on(ledger.abort(&opened.cx)).unwrap();
    block_on(ledger.abort(&opened.cx)).unwrap();
    assert_eq!(steps(&world), "one 1 1\n");
    assert!(block_on(ledger.savepoint(&opened.step("five"))).is_err());
}

#[test]
fn a_table_of_the_ledgers_name_with_another_shape_is_a_conflict() {
    let world = World::new(
        "CREATE TABLE cutover_ledger(id INTEGER PRIMARY KEY, name TEXT, applied_at, checksum, success, error_message)",
    );
    let opened = world.open(1);
    let error = opened.change("one", "CREATE TABLE t(a)").unwrap_err();
    assert_eq!(error.kind(), StepErrorKind::Conflict);
    assert!(error.help().unwrap().contains("ledger ="), "{error}");
    assert_eq!(world.sql(".tables"), "cutover_ledger\n");
}

#[test]
fn the_change_counter_moves_by_others_and_not_by_us() {
    let world = World::new("PRAGMA journal_mode=wal; CREATE TABLE t(a)");
    let opened = world.open(1);
    let counter = || block_on(opened.target.change_counter(&opened.cx)).unwrap().unwrap();
    let first = counter();
    assert_eq!(first, counter());
    opened.change("one", "INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(first, counter());
    world.sql("INSERT INTO t VALUES (2)");
    let second = counter();
    assert!(second > first);
    opened.change("two", "INSERT INTO t VALUES (3)").unwrap();
    assert_eq!(second, counter());
}

#[test]
fn a_measure_is_one_number_and_cannot_write() {
    let world = World::new("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)");
    let opened = world.open(1);
    assert_eq!(opened.measure("SELECT count(*) FROM t WHERE a >= :least").unwrap(), 2.0);
    for (query, why) in [
        ("DELETE FROM t RETURNING 1", "it would write"),
        ("SELECT a FROM t", "more than one row"),
        ("SELECT sum(a) FROM t WHERE a > 9", "NULL"),
        ("SELECT 'x'", "no number"),
        ("SELECT 1, 2", "more than one column"),
        ("SELECT :most", "no variable of the plan"),
    ] {
        let error = opened.measure(query).unwrap_err();
        assert!(error.to_string().contains(why), "{query}: {error}");
    }
    assert_eq!(world.sql("SELECT count(*) FROM t"), "3\n");
}

#[test]
fn a_batch_need_not_reach_the_disk_where_a_log_keeps_it_whole_and_a_change_must() {
    for (journal, batch) in [("wal", 1), ("delete", 2)] {
        let world = World::new(&format!("PRAGMA journal_mode = {journal}; CREATE TABLE t (a)"));
        let opened = world.open(1);
        let level =
            |conn: &rusqlite::Connection| conn.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        let seen: i64 = block_on(opened.target.batch(&opened.step("long"), move |conn| Ok(level(conn)))).unwrap();
        assert_eq!(seen, batch, "{journal}");
        block_on(opened.target.change(&opened.step("one"), move |conn| {
            assert_eq!(level(conn), 2);
            Ok(cutover_core::Receipt::nothing())
        }))
        .unwrap();
    }
}

//! What a fingerprint is blind to, and what it sees.

use crate::support::World;

const START: &str = "
CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b INT -- last, one
);
CREATE TABLE keyed(k TEXT PRIMARY KEY, v REAL, CHECK (v > 0)) WITHOUT ROWID;
CREATE TABLE plain(x, y);
CREATE INDEX i ON plain(x DESC);
CREATE TRIGGER g AFTER INSERT ON plain BEGIN UPDATE t SET b = 1 WHERE id = new.x; END;
CREATE VIEW w AS SELECT a FROM t;
CREATE VIRTUAL TABLE f USING fts5(body);
INSERT INTO t(a, b) VALUES ('one', 1), ('two', 2);
INSERT INTO keyed VALUES ('k', 1.5), ('l', 2.5);
INSERT INTO plain VALUES (1, 'a'), (1, 'a'), (2, x'00');
INSERT INTO f(rowid, body) VALUES (7, 'hello world');
PRAGMA user_version = 3;";

#[test]
fn a_migration_and_its_rollback_give_the_same_fingerprint() {
    let world = World::new(START);
    let opened = world.open(1);
    let before = opened.print();
    opened
        .change(
            "all",
            "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'x, y'; ALTER TABLE keyed ADD COLUMN d INT;
             ALTER TABLE plain RENAME TO plainer; CREATE INDEX j ON t(c); INSERT INTO t(a) VALUES ('three');
             INSERT INTO f(body) VALUES ('more'); CREATE TABLE n(x INTEGER PRIMARY KEY AUTOINCREMENT);
             INSERT INTO n VALUES (NULL); ANALYZE; PRAGMA user_version = 4",
        )
        .unwrap();
    assert_ne!(before.digest(), opened.print().digest());
    opened
        .reverse(
            "all",
            "DROP INDEX j; ALTER TABLE t DROP COLUMN c; ALTER TABLE keyed DROP COLUMN d;
             ALTER TABLE plainer RENAME TO plain; DELETE FROM t WHERE id > 2; DELETE FROM f WHERE rowid <> 7;
             DROP TABLE n; PRAGMA user_version = 3",
        )
        .unwrap();
    let after = opened.print();
    assert_eq!(before.changes(&after), [""; 0]);
    assert_eq!(before.digest(), after.digest());
}

#[test]
fn a_table_without_a_stored_order_may_change_its_implicit_rowids() {
    let world = World::new(START);
    let before = world.open(1).print();
    world.sql("CREATE TEMP TABLE keep AS SELECT * FROM plain; DELETE FROM plain; INSERT INTO plain SELECT * FROM keep ORDER BY y DESC");
    assert_eq!(before.changes(&world.open(1).print()), [""; 0]);
}

#[test]
fn every_change_to_what_a_user_stores_is_seen() {
    for (sql, seen) in [
        ("UPDATE t SET a = 'x' WHERE id = 1", "table t: content changed (2 entries then and now)"),
        ("UPDATE keyed SET v = 3 WHERE k = 'k'", "table keyed: content changed (2 entries then and now)"),
        ("DELETE FROM plain WHERE rowid = 1", "table plain: 3 entries then, 2 now"),
        ("UPDATE plain SET x = '1' WHERE rowid = 1", "table plain: content changed (3 entries then and now)"),
        ("UPDATE f SET body = 'bye'", "table f: content changed (1 entries then and now)"),
        ("DROP INDEX i; CREATE INDEX i ON plain(x)", "index i is another one"),
        ("DROP VIEW w; CREATE VIEW w AS SELECT b FROM t", "view w is another one"),
        ("DROP TRIGGER g", "trigger g is gone"),
        ("ALTER TABLE keyed ADD COLUMN z", "table keyed is another one"),
        ("PRAGMA user_version = 9", "user_version is another one"),
    ] {
        let world = World::new(START);
        let before = world.open(1).print();
        world.sql(sql);
        let differences = before.changes(&world.open(1).print());
        assert_eq!(differences.first().map(String::as_str), Some(seen), "{sql}");
    }
}

#[test]
fn the_same_print_comes_from_wherever_the_rows_lie() {
    let world = World::new(START);
    let before = world.open(1).print();
    world.sql("PRAGMA page_size=1024; VACUUM; PRAGMA journal_mode=wal; INSERT INTO f(f) VALUES ('optimize')");
    assert_eq!(before, world.open(1).print());
}

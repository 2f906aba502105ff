//! `sqlite.export`: what it writes is the same database to every program that loads it.

use cutover_tests::{Fixture, sqlite3};
use std::fs;

use crate::support::{World, python};

const PLAN: &str = r#"
name = "p"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "one"
layer = "storage"
[[phase.step]]
id = "dump"
use = "sqlite.export"
target = "app"
with = { into = "backups/deep/app.sql" }
"#;

const START: &str = r#"
PRAGMA user_version = 12; PRAGMA application_id = 77;
CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT);
INSERT INTO auto VALUES (5, 'it''s'), (9, 'line
.quit
break'); DELETE FROM auto WHERE id = 9;
CREATE TABLE "odd ""name"" 'x'"("select" TEXT, [a b] INT, g AS ([a b] * 2) STORED, h AS (g + 1));
INSERT INTO "odd ""name"" 'x'" VALUES ('é
', 3), (NULL, -9223372036854775808), ('cr' || char(13) || char(10) || 'lf', 9223372036854775807), ('nul' || char(0) || 'end', 0), (CAST(x'ff41' AS TEXT), 1);
CREATE TABLE keyed(k BLOB PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO keyed VALUES (x'00ff', 9e999), (x'', -9e999);
CREATE TABLE implicit(rowid TEXT, v); INSERT INTO implicit VALUES ('x', 1), ('y', 2); DELETE FROM implicit WHERE v = 1;
CREATE VIRTUAL TABLE f USING fts5(body, tokenize='porter'); INSERT INTO f(rowid, body) VALUES (7, 'running dogs'), (8, 'it''s');
CREATE VIRTUAL TABLE ext USING fts5(a, content='auto', content_rowid='id'); INSERT INTO ext(rowid, a) SELECT id, a FROM auto;
CREATE INDEX i ON auto(a DESC) WHERE a IS NOT NULL;
CREATE TRIGGER g AFTER INSERT ON auto BEGIN INSERT INTO ext(rowid, a) VALUES (new.id, new.a); END;
CREATE VIEW w AS SELECT a FROM auto;
CREATE TABLE reals(x REAL);
"#;

const REALS: &str = "
import sqlite3, struct, random, sys
random.seed(1)
c = sqlite3.connect(sys.argv[1])
xs = [struct.unpack('<d', random.randbytes(8))[0] for _ in range(20000)]
c.executemany('INSERT INTO reals VALUES (?)', [(x,) for x in xs if x == x] + [(i / 10,) for i in range(2000)] + [(5e-324,), (1.7976931348623157e308,)])
c.commit()";

#[test]
fn an_export_loads_into_the_same_database() {
    let world = World::new(START);
    python(REALS, &world.db());
    let fixture = Fixture::new(PLAN);
    let bench = fixture.open(world.folder.path());
    bench.apply("dump").unwrap();
    let file = world.folder.path().join("backups/deep/app.sql");

    let second = World::new("");
    sqlite3(second.db(), format!(".read {}", file.display()));
    let (before, after) = (world.open(1).print(), second.open(1).print());
    assert_eq!(before.changes(&after), [""; 0]);
    for check in [
        "PRAGMA integrity_check",
        "PRAGMA application_id",
        "SELECT * FROM sqlite_sequence",
        "SELECT rowid FROM f WHERE f MATCH 'run'",
        "SELECT rowid FROM ext WHERE ext MATCH 'it'",
        "SELECT _rowid_ FROM implicit",
        "SELECT count(*), total(x), min(x), max(x) FROM reals",
    ] {
        assert_eq!(world.sql(check), second.sql(check), "{check}");
    }
    second.sql("INSERT INTO f(f) VALUES ('integrity-check'); INSERT INTO ext(ext) VALUES ('integrity-check'); INSERT INTO auto(a) VALUES ('next')");
    assert_eq!(second.sql("SELECT max(id) FROM auto"), "10\n");

    let third = World::new("");
    python(
        &format!("import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open({file:?}, newline='').read())"),
        &third.db(),
    );
    assert_eq!(before.changes(&third.open(1).print()), [""; 0]);
}

#[test]
fn a_foreign_file_is_kept_and_a_damaged_export_is_noticed() {
    let world = World::new("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    let file = world.folder.path().join("backups/deep/app.sql");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "mine").unwrap();
    let bench = Fixture::new(PLAN).open(world.folder.path());
    let error = bench.apply("dump").unwrap_err();
    assert_eq!(error.kind(), cutover_core::StepErrorKind::Conflict);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    fs::remove_file(&file).unwrap();
    bench.apply("dump").unwrap();
    assert_eq!(bench.verify("dump").unwrap(), cutover_core::Verdict::Holds);
    let mut text = fs::read_to_string(&file).unwrap();
    text = text.replace("VALUES(1,1)", "VALUES(1,2)");
    fs::write(&file, text).unwrap();
    assert!(matches!(bench.verify("dump").unwrap(), cutover_core::Verdict::Broken(_)));
}

const OBJECTS: &str = r#"
CREATE TABLE t(a INTEGER PRIMARY KEY DESC, b TEXT COLLATE NOCASE DEFAULT 'x;y' CHECK (b <> ''), c GENERATED ALWAYS AS (a + 1));
INSERT INTO t VALUES (5, 'five'), (3, 'three'); DELETE FROM t WHERE a = 5; INSERT INTO t VALUES (9, 'nine');
CREATE TABLE s(a INT, b ANY, r REAL) STRICT; INSERT INTO s VALUES (1, x'00', 9e999), (2, '2', -0.0);
CREATE TABLE child(id INTEGER PRIMARY KEY, p REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO child VALUES (1, 404); CREATE TABLE parent(id INTEGER, PRIMARY KEY (id DESC)); INSERT INTO parent VALUES (8);
CREATE TRIGGER early AFTER INSERT ON t BEGIN INSERT INTO v(b) VALUES (new.b); END;
CREATE VIEW over AS SELECT b FROM v -- a comment at the end
;
CREATE VIEW v AS SELECT a, b FROM t;
CREATE TRIGGER instead INSTEAD OF INSERT ON v BEGIN INSERT INTO s(a) VALUES (1); SELECT CASE WHEN 1 THEN 2 END; END;
CREATE TRIGGER instead_over INSTEAD OF UPDATE OF b ON over BEGIN INSERT INTO v(b) VALUES (new.b); END;
CREATE INDEX expression ON t(lower(b), a DESC) -- another
;
CREATE UNIQUE INDEX part ON s(b) WHERE a > 1;
CREATE VIEW found AS SELECT rowid FROM f; CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('dogs');
CREATE VIRTUAL TABLE box USING rtree(id, x0, x1); INSERT INTO box VALUES (1, 0, 2);
CREATE TRIGGER on_found INSTEAD OF DELETE ON found BEGIN DELETE FROM f WHERE rowid = old.rowid; END;
"#;

#[test]
fn every_kind_of_object_is_in_the_copy_and_works_there() {
    let world = World::new(OBJECTS);
    let bench = Fixture::new(PLAN).open(world.folder.path());
    bench.apply("dump").unwrap();
    let second = World::new("");
    sqlite3(second.db(), format!(".read {}", world.folder.path().join("backups/deep/app.sql").display()));
    assert_eq!(world.open(1).print().changes(&second.open(1).print()), [""; 0]);
    for check in [
        "SELECT group_concat(type || ' ' || name) FROM (SELECT * FROM sqlite_master ORDER BY type, name)",
        "SELECT group_concat(rowid || ' ' || a) FROM t ORDER BY rowid",
        "DELETE FROM found; UPDATE over SET b = 'z'; INSERT INTO v(b) VALUES ('q'); SELECT count(*) FROM s; SELECT count(*) FROM f",
        "PRAGMA integrity_check",
        "SELECT id FROM box WHERE x0 < 1",
    ] {
        assert_eq!(world.sql(check), second.sql(check), "{check}");
    }
}

//! Reading leaves files alone; what cannot be used is refused by name.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cutover_core::{StepErrorKind, Target};
use pollster::block_on;

use crate::support::{World, bytes, python, shown};

/// Leaves a write-ahead log with committed rows in it, as a killed program does.
const UNCHECKPOINTED: &str = "
import sqlite3, sys, os
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute('PRAGMA journal_mode=wal'); c.execute('PRAGMA wal_autocheckpoint=0')
c.execute('CREATE TABLE t(a)'); c.executemany('INSERT INTO t VALUES (?)', [(i,) for i in range(100)])
os._exit(0)";

#[test]
fn reading_an_uncheckpointed_database_sees_its_rows_and_leaves_both_files_as_they_were() {
    let world = World::new("");
    python(UNCHECKPOINTED, &world.db());
    let wal = world.folder.path().join("app.db-wal");
    let before = (bytes(&world.db()), bytes(&wal));
    assert!(before.1.as_ref().is_some_and(|b| b.len() > 1000));
    let opened = world.open(1);
    assert_eq!(opened.measure("SELECT count(*) FROM t").unwrap(), 100.0);
    block_on(opened.target.assess(&opened.cx)).unwrap();
    opened.print();
    opened.reverse("never-applied", "DROP TABLE t").unwrap();
    block_on(opened.target.close(&opened.cx)).unwrap();
    assert!(before == (bytes(&world.db()), bytes(&wal)), "the files changed");
}

#[test]
fn a_refused_change_leaves_the_log_as_it_was() {
    let world = World::new("");
    python(UNCHECKPOINTED, &world.db());
    let wal = world.folder.path().join("app.db-wal");
    let before = (bytes(&world.db()), bytes(&wal));
    let opened = world.open(1);
    opened.change("broken", "INSERT INTO t VALUES (1); INSERT INTO nowhere VALUES (1)").unwrap_err();
    block_on(opened.target.close(&opened.cx)).unwrap();
    assert!(before == (bytes(&world.db()), bytes(&wal)), "the files changed");
}

#[test]
fn a_zero_byte_file_is_an_empty_database_and_stays_empty_when_read() {
    let world = World::new("");
    let opened = world.open(1);
    assert!(block_on(opened.target.holds(&opened.cx, "empty")).unwrap());
    let assessed = block_on(opened.target.assess(&opened.cx)).unwrap();
    assert_eq!((assessed.bytes, assessed.counts.len(), assessed.problems.len()), (0, 0, 0));
    opened.print();
    block_on(opened.target.close(&opened.cx)).unwrap();
    assert_eq!(bytes(&world.db()).unwrap().len(), 0);
    opened.change("first", "CREATE TABLE t(a)").unwrap();
    assert_eq!(world.sql("SELECT count(*) FROM t"), "0\n");
}

#[test]
fn a_hot_journal_is_played_back_before_reading() {
    let world = World::new("CREATE TABLE t(a); INSERT INTO t VALUES ('kept')");
    python(
        "
import sqlite3, sys, os
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute('PRAGMA cache_size=1'); c.execute('BEGIN')
c.executemany('INSERT INTO t VALUES (?)', [('x' * 3000,) for _ in range(500)])
os._exit(0)",
        &world.db(),
    );
    assert!(world.folder.path().join("app.db-journal").exists());
    assert_eq!(world.open(1).measure("SELECT count(*) FROM t").unwrap(), 1.0);
}

#[test]
fn a_quiescent_database_in_a_read_only_folder_is_read_without_a_trace() {
    let world = World::new("PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    let folder = world.folder.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
    let opened = world.open(1);
    assert_eq!(opened.measure("SELECT count(*) FROM t").unwrap(), 1.0);
    assert!(!folder.join("app.db-shm").exists());
    let writable = block_on(opened.target.assess(&opened.cx)).unwrap().facts["writable"].clone();
    assert_eq!(writable, "no: its folder is read-only (mode 0555)");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_cannot_be_used_is_named_with_a_remedy() {
    let world = World::new(
        "CREATE TABLE t(a); WITH r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r LIMIT 5000) INSERT INTO t SELECT hex(randomblob(20)) FROM r",
    );
    let good = fs::read(world.db()).unwrap();
    let refused = |what: &str| {
        let opened = world.open(1);
        let error = block_on(opened.target.assess(&opened.cx)).unwrap_err();
        assert_eq!(error.kind(), StepErrorKind::Unavailable);
        format!("{what}\n{}\n\n", shown(&world, &error))
    };
    let mut all = String::new();

    fs::write(world.db(), vec![0x5a; 8192]).unwrap();
    all.push_str(&refused("encrypted"));
    let mut damaged = good.clone();
    damaged[4096 * 3..4096 * 20].fill(0xa5);
    fs::write(world.db(), &damaged).unwrap();
    all.push_str(&refused("damaged inside"));
    fs::write(world.db(), &good[..4096 * 4]).unwrap();
    all.push_str(&refused("cut short"));
    fs::remove_file(world.db()).unwrap();
    all.push_str(&refused("missing"));
    fs::create_dir(world.db()).unwrap();
    all.push_str(&refused("a folder"));
    fs::remove_dir(world.db()).unwrap();

    fs::write(world.db(), &good).unwrap();
    fs::set_permissions(world.db(), fs::Permissions::from_mode(0o444)).unwrap();
    let error = world.open(1).change("x", "CREATE TABLE u(a)").unwrap_err();
    all.push_str(&format!("read-only\n{}\n", shown(&world, &error)));
    assert_eq!(fs::read(world.db()).unwrap(), good);
    insta::assert_snapshot!(all);
}

#[test]
fn an_assessment_reports_what_is_wrong_already() {
    let world = World::new(
        "PRAGMA user_version=7; CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id), n);
         INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1), (2, NULL), (3, 3);
         PRAGMA writable_schema=ON; UPDATE sqlite_master SET sql = replace(sql, 'n)', 'n NOT NULL)') WHERE name = 'c';",
    );
    let opened = world.open(1);
    let mut found = block_on(opened.target.assess(&opened.cx)).unwrap();
    found.version.clear();
    insta::assert_snapshot!(serde_json::to_string_pretty(&found).unwrap(), @r#"
    {
      "kind": "sqlite",
      "version": "",
      "bytes": 12288,
      "counts": {
        "c": 3,
        "p": 1
      },
      "facts": {
        "encoding": "UTF-8",
        "journal_mode": "delete",
        "page_size": "4096",
        "user_version": "7",
        "writable": "yes"
      },
      "problems": [
        "integrity: NULL value in c.n",
        "orphans: 2 rows of `c` have no parent in `p`"
      ]
    }
    "#);
}

//! How triggers and views come into a schema, and what is there when they do not.

use cutover_core::StepError;
use rusqlite::Connection;

use super::support::{MAPPING, SCHEMA};
use crate::declared::schema_version;
use crate::expand::{check, inscribe, install};
use crate::mapping::read_text;
use crate::sql::quote_ident;

/// An empty consensus database, and what its mapping makes in it.
fn to_install(conn: &Connection) -> Vec<install::Woven> {
    conn.execute_batch(SCHEMA).unwrap();
    install::woven(check::weaves(conn, &read_text("m.toml", MAPPING).unwrap()).unwrap())
}

/// The schema as text, and its version.
fn schema(conn: &Connection) -> (String, i64) {
    let sql = "SELECT group_concat(type || name || tbl_name || sql, '\n') FROM sqlite_schema";
    (conn.query_row(sql, [], |row| row.get(0)).unwrap(), schema_version(conn).unwrap())
}

fn nobody_writes_the_schema(conn: &Connection) {
    let refused = conn.execute("DELETE FROM sqlite_schema", []).unwrap_err().to_string();
    assert!(refused.contains("may not be modified"), "{refused}");
}

#[test]
fn what_has_a_name_of_ours_is_named_and_stays_and_what_cannot_be_read_is_not_there_afterwards() {
    let conn = Connection::open_in_memory().unwrap();
    let woven = to_install(&conn);
    let tried = |install: &dyn Fn() -> Result<(), StepError>| {
        let before = schema(&conn);
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = install().unwrap_err();
        conn.execute_batch("ROLLBACK").unwrap();
        nobody_writes_the_schema(&conn);
        assert_eq!(schema(&conn), before);
        error.chain()
    };
    conn.execute_batch("CREATE VIEW _CUTOVER_outputs_old_image AS SELECT 1 AS theirs").unwrap();
    let error = tried(&|| install::install(&conn, &woven).map(drop));
    assert!(error.contains("the database has something called `_cutover_outputs_old_image` already"), "{error}");
    conn.execute_batch("DROP VIEW _cutover_outputs_old_image").unwrap();
    let mut parts = woven[0].1.clone();
    parts[1].sql.push_str(" nonsense");
    let error = tried(&|| inscribe::inscribe(&conn, parts.iter()));
    assert!(error.contains("near \"nonsense\""), "{error}");
}

#[test]
fn triggers_are_in_the_schema_as_if_each_had_been_made_by_its_statement() {
    let conn = Connection::open_in_memory().unwrap();
    let woven = to_install(&conn);
    let (_, before) = schema(&conn);
    install::install(&conn, &woven).unwrap();
    nobody_writes_the_schema(&conn);
    let (written, version) = schema(&conn);
    assert!(version > before);
    let parts: Vec<_> = woven.iter().flat_map(|(_, parts)| parts).collect();
    for part in parts.iter().rev() {
        conn.execute_batch(&format!("DROP {} {}", part.kind, quote_ident(&part.name))).unwrap();
    }
    parts.iter().for_each(|part| conn.execute_batch(&part.sql).unwrap());
    assert_eq!(schema(&conn).0, written);
}

#[test]
fn what_was_undone_is_forgotten_also_where_others_changed_the_schema_as_often() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("consensus.db");
    let (ours, theirs) = (Connection::open(&file).unwrap(), Connection::open(&file).unwrap());
    let woven = to_install(&ours);
    ours.execute_batch("BEGIN IMMEDIATE").unwrap();
    install::install(&ours, &woven).unwrap();
    let (_, reached) = schema(&ours);
    ours.execute_batch("ROLLBACK").unwrap();
    for table in 0.. {
        if schema(&theirs).1 == reached {
            break;
        }
        theirs.execute_batch(&format!("CREATE TABLE t{table} (x)")).unwrap();
    }
    let error = ours.prepare("SELECT 1 FROM _cutover_guard").unwrap_err().to_string();
    assert!(error.contains("no such table: _cutover_guard"), "{error}");
}

#[test]
fn what_was_tried_is_so_only_of_the_schema_that_it_was_tried_on() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    let mapping = read_text("m.toml", MAPPING).unwrap();
    let tried = || install::tried(&conn, "cutover_ledger", |copy| check::weaves(copy, &mapping)).unwrap().unwrap();
    let before = tried();
    assert_eq!(tried().of_now(&conn).unwrap().map(|woven| woven.len()), Some(mapping.pairs.len()));
    conn.execute_batch("ALTER TABLE agent_outputs ADD COLUMN note TEXT CHECK (note <> '')").unwrap();
    assert!(before.of_now(&conn).unwrap().is_none());
    assert!(tried().of_now(&conn).unwrap().is_some());
}

//! What goes on beside a move of the stage, and what is awkward to move: large tables under a program that writes in every way,
//! rows without a key, rows that only one side takes, rows whose parent is gone.

use crate::stages::{UNLIKE, ends_well, plan, system};
use crate::system::System;

/// A system whose old table has rows without a key, and takes no NULL where the new one does.
fn codes() -> System {
    const TABLES: &str = "PRAGMA journal_mode = WAL; CREATE TABLE old (code TEXT PRIMARY KEY, v TEXT NOT NULL);
        CREATE TABLE new (code TEXT PRIMARY KEY, v TEXT);
        INSERT INTO old WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
            SELECT printf('c%05d', n), 'v' || n FROM n;
        INSERT INTO old VALUES (NULL, 'one'), (NULL, 'two');";
    let system = System::new(TABLES, &plan().replace(", up = \"new.sql\"", ""));
    system.write(
        "mapping.toml",
        "name = 'consensus'\n[[table]]\nname = 'codes'\nold = 'old'\nnew = 'new'\n\
         key = [{ old = 'code', new = 'code' }]\nwhen = 'old.code IS NOT NULL'\n\
         [table.forth]\nv = 'old.v'\n[table.back]\nv = 'new.v'\n",
    );
    let fill = "UPDATE _cutover_guard SET origin = 'backfill';
        INSERT INTO new SELECT * FROM old WHERE code IS NOT NULL; UPDATE _cutover_guard SET origin = NULL;";
    system.write("fill.sql", fill);
    system.write("nothing.sql", "SELECT 1;\n");
    system
}

#[test]
fn a_new_row_that_the_old_tables_do_not_take_is_in_no_ones_way_back() {
    let system = codes();
    ends_well(&system, "apply", &["--to", "readers"]);
    system.ask("INSERT INTO new VALUES ('z', NULL)");
    assert_eq!(system.ask("SELECT side FROM _cutover_quarantine").trim(), "new");
    let said = ends_well(&system, "rollback", &["--yes"]);
    assert!(said.contains("1 row is in quarantine"), "{said}");
    assert_eq!(system.ask("SELECT stage FROM _cutover_stage").trim(), "dual-write");
    assert_eq!(system.ask("SELECT count(*) FROM new WHERE code = 'z'").trim(), "1");
}

#[test]
fn a_new_row_whose_parent_is_gone_is_in_no_ones_way_back() {
    let system = system();
    ends_well(&system, "apply", &[]);
    // A program without foreign keys, when no trigger of ours sees to them any more.
    system.ask("PRAGMA foreign_keys = OFF; DELETE FROM runs WHERE id = (SELECT run_id FROM outputs WHERE id = 3)");
    let said = ends_well(&system, "rollback", &["--yes"]);
    assert!(said.contains("1 row that was written since does not fit into the old tables"), "{said}");
    assert_eq!(system.ask("SELECT key, reason FROM _cutover_quarantine").trim(), "3|its parent is gone");
    ends_well(&system, "rollback", &["--yes", "--to", "start"]);
    assert_eq!(system.ask("SELECT group_concat(id) FROM artifacts").trim(), "1,2,5");
}

#[test]
fn old_rows_without_a_key_are_kept_by_a_contract_however_many_others_there_are() {
    let system = codes();
    ends_well(&system, "apply", &[]);
    ends_well(&system, "rollback", &["--yes"]);
    let rows = "SELECT count(*), count(code), group_concat(v) FILTER (WHERE code IS NULL) FROM old";
    assert_eq!(system.ask(rows).trim(), "2502|2500|one,two");
}

/// Tells a program to stop when it goes, also on the way out of a test that fails.
struct Stops<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// What a program does to the new tables as long as it is not told to stop, in every way that SQLite has.
fn writes_on(database: &std::path::Path, stop: &std::sync::atomic::AtomicBool) -> u64 {
    let conn = rusqlite::Connection::open(database).unwrap();
    conn.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let mut n = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        n += 1;
        let (id, at) = (7 + n * 37 % 29_000, 1_763_300_000_000 + n * 1000);
        let write = match n % 6 {
            0 => format!("UPDATE outputs SET content = '{{\"n\":{n}}}' WHERE id = {id}"),
            1 => format!("DELETE FROM outputs WHERE id = {id}"),
            2 => format!(
                "UPDATE OR IGNORE runs SET stage = 'moved {n}' WHERE id = (SELECT run_id FROM outputs WHERE id = {id})"
            ),
            3 => format!(
                "INSERT OR REPLACE INTO outputs (id, run_id, agent, content, at) SELECT {id}, min(id), 'again', '[{n}]', at FROM runs"
            ),
            4 => format!("UPDATE OR REPLACE outputs SET id = {id} + 1 WHERE id = {id}"),
            _ => format!(
                "INSERT OR REPLACE INTO runs (spec_id, stage, at, ok) VALUES ('S{n}', 'plan', {at}, 1);
                INSERT INTO outputs (run_id, agent, content, at) VALUES (last_insert_rowid(), 'new', '{n}', {at})"
            ),
        };
        conn.execute_batch(&format!("BEGIN IMMEDIATE; {write}; COMMIT")).unwrap_or_else(|e| panic!("{write}: {e}"));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    n
}

#[test]
fn large_tables_move_and_come_back_while_a_program_writes_in_every_way() {
    let system = system();
    system.ask("INSERT INTO artifacts (spec_id, stage, agent, content_json, created_at)
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 30000)
        SELECT 'S' || n % 500, 'plan', 'agent ' || n % 3, '{}', datetime(1762000000 + n, 'unixepoch') || iif(n % 7, '', '.250') FROM n");
    ends_well(&system, "apply", &["--to", "same"]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stops = Stops(&stop);
        let writer = scope.spawn(|| writes_on(&system.root().join("app.db"), &stop));
        for to in ["readers", "writers", "contract"] {
            let said = ends_well(&system, "apply", &["--to", to]);
            assert_eq!(said.contains("written meanwhile"), to != "contract", "{said}");
        }
        for _ in 0..4 {
            ends_well(&system, "rollback", &["--yes"]);
        }
        drop(stops);
        let writes = writer.join().unwrap();
        assert!(writes > 100, "only {writes} writes went on meanwhile");
    });
    assert_eq!(system.ask("SELECT stage FROM _cutover_stage").trim(), "dual-write");
    assert_eq!(system.ask(UNLIKE).trim(), "0 0");
    assert_eq!(
        system
            .ask("SELECT count(*) FROM artifacts WHERE created_at LIKE '%.250'")
            .trim()
            .parse::<u64>()
            .map(|n| n > 3000),
        Ok(true)
    );
    assert_eq!(
        system.ask("SELECT count(*) FROM sqlite_master WHERE name LIKE '\\_cutover\\_written%' ESCAPE '\\'").trim(),
        "0"
    );
}

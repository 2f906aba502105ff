//! The steps that move a mapping from stage to stage, on a small database whose tables are kept in step.

use crate::support::{ask, plan, sql};
use cutover_tests::Conformance;

const MAPPING: &str = "
[[table]]
name = 'notes'
old = 'notes'
new = 'remarks'
key = [{ old = 'id', new = 'id' }]
[table.forth]
body = 'old.text'
at = \"CAST(strftime('%s', old.made) AS INTEGER)\"
[table.back]
text = 'new.body'
made = { sql = \"strftime('%Y-%m-%d %H:%M:%S', new.at, 'unixepoch')\", lossy = 'seconds' }
[table.check]
at = { from = '2000-01-01', to = '2100-01-01', unit = 's' }
";

/// What `sqlite.expand` and a backfill leave.
const DUAL: &str = "
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP, colour TEXT DEFAULT 'red');
CREATE INDEX notes_by_text ON notes(text);
CREATE TABLE remarks (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, at INTEGER NOT NULL);
INSERT INTO notes (text, made, colour) VALUES ('one', '2025-11-13 00:00:01', 'red'), ('two', '2025-11-13T00:00:02.5Z', 'blue'), ('drei', '2025-11-13', NULL);
INSERT INTO remarks SELECT id, text, CAST(strftime('%s', made) AS INTEGER) FROM notes;
CREATE TABLE _cutover_guard (pair TEXT NOT NULL PRIMARY KEY, origin TEXT) WITHOUT ROWID;
INSERT INTO _cutover_guard VALUES ('notes', NULL);
CREATE TABLE _cutover_stage (name TEXT PRIMARY KEY, stage TEXT NOT NULL, changed_at TEXT NOT NULL, run TEXT NOT NULL);
INSERT INTO _cutover_stage VALUES ('m', 'dual-write', '', '');
";

fn check_of(steps: &[(&str, &str, &str)]) -> Conformance {
    Conformance::new(plan(steps)).file("m.toml", MAPPING).root(|root| sql(root, DUAL))
}

fn stage(root: &std::path::Path) -> String {
    ask(root, "SELECT stage FROM _cutover_stage")
}

#[test]
fn parity_keeps_the_contract() {
    check_of(&[("it", "parity", r#"{ mapping = "m.toml" }"#)])
        .sabotage(|root| sql(root, "UPDATE remarks SET body = 'zwei' WHERE id = 2"))
        .check();
}

const STAGE: &str = "fingerprints leave out what Cutover keeps in a database, the stage and the closing triggers too";

#[test]
fn a_cutover_of_the_readers_keeps_the_contract() {
    check_of(&[("it", "cutover", r#"{ mapping = "m.toml", to = "prefer-new" }"#)])
        .invisible(STAGE)
        .sabotage(|root| sql(root, "UPDATE _cutover_stage SET stage = 'dual-write'"))
        .foreign(
            |root| {
                assert_eq!(stage(root), "prefer-new");
                sql(root, "INSERT INTO notes (text, made) VALUES ('vier', '2025-11-14'); INSERT INTO remarks (body, at) VALUES ('vier', 1763078400)");
            },
            |root| {
                // Its way back gives the text with its hours.
                assert_eq!(ask(root, "SELECT count(*) FROM notes"), "4");
                assert_eq!(stage(root), "dual-write");
            },
        )
        .check();
}

#[test]
fn a_cutover_of_the_writers_keeps_the_contract() {
    let to = |stage: &str| format!(r#"{{ mapping = "m.toml", to = "{stage}" }}"#);
    check_of(&[("readers", "cutover", &to("prefer-new")), ("it", "cutover", &to("new-only"))])
        .invisible(STAGE)
        .sabotage(|root| sql(root, "DROP TRIGGER _cutover_refuse_notes_update"))
        .foreign(
            |root| {
                let refused = rusqlite::Connection::open(root.join("brain.db"))
                    .and_then(|conn| conn.execute_batch("INSERT OR REPLACE INTO notes (id, text) VALUES (1, 'x')"));
                let said = refused.expect_err("the old table is closed").to_string();
                assert!(said.starts_with("table `notes` is closed to writes: `m` has moved on to `remarks`"), "{said}");
                // As a mirror does it.
                sql(root, "BEGIN; UPDATE _cutover_guard SET origin = 'new'; INSERT INTO remarks (body, at) VALUES ('neu', 1763078400);
                    INSERT INTO notes (text, made) VALUES ('neu', '2025-11-14 00:00:00'); UPDATE _cutover_guard SET origin = NULL; COMMIT");
            },
            |root| {
                assert_eq!(ask(root, "SELECT count(*) FROM notes"), "4");
                assert_eq!(stage(root), "prefer-new");
                sql(root, "DELETE FROM notes WHERE id = 99");
            },
        )
        .check();
}

/// Everything of the old table, types included.
const OLD: &str = "SELECT group_concat(quote(id) || quote(text) || quote(made) || quote(colour), ' ') FROM (SELECT * FROM notes ORDER BY id)";

fn contract() -> Conformance {
    let to = |stage: &str| format!(r#"{{ mapping = "m.toml", to = "{stage}" }}"#);
    let text = plan(&[("readers", "cutover", &to("prefer-new")), ("writers", "cutover", &to("new-only"))])
        + "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"brain\"] }\n\
           [[phase.step]]\nid = \"it\"\nuse = \"sqlite.contract\"\ntarget = \"brain\"\nwith = { mapping = \"m.toml\" }\n";
    Conformance::new(text).file("m.toml", MAPPING)
}

#[test]
fn a_contract_keeps_the_contract() {
    contract()
        .root(|root| sql(root, DUAL))
        .sabotage(|root| sql(root, "CREATE TABLE notes (id)"))
        .foreign(
            |root| {
                sql(root, "INSERT INTO remarks (body, at) VALUES ('neu', 1763078400);
                    UPDATE remarks SET body = 'TWO' WHERE id = 2; UPDATE remarks SET at = at + 60 WHERE id = 3;
                    DELETE FROM remarks WHERE id = 1; INSERT INTO remarks (id, body, at) VALUES (9, 'gone', 1763078400);
                    DELETE FROM remarks WHERE id = 9; UPDATE remarks SET id = 7 WHERE id = 3");
            },
            |root| {
                assert_eq!(
                    ask(root, OLD),
                    // The blue one keeps its half second and its colour, the one that moved keeps what it did not change.
                    "2'TWO''2025-11-13T00:00:02.5Z''blue' 4'neu''2025-11-14 00:00:00''red' 7'drei''2025-11-13 00:01:00'NULL"
                );
                assert_eq!(ask(root, "SELECT seq FROM sqlite_sequence WHERE name = 'notes'"), "9");
            },
        )
        .check();
}

#[test]
fn a_contract_leaves_the_triggers_of_another_mapping_whose_name_begins_alike() {
    contract()
        .root(|root| {
            sql(root, DUAL);
            sql(root, "CREATE TRIGGER _cutover_notes_more_new_after_insert AFTER INSERT ON remarks BEGIN SELECT 1; END");
        })
        .sabotage(|root| sql(root, "CREATE TABLE notes (id)"))
        .foreign(
            |root| {
                let left = "SELECT group_concat(name, ' ') FROM sqlite_master WHERE type = 'trigger' AND name GLOB '_cutover_notes_*'";
                assert_eq!(ask(root, left), "_cutover_notes_more_new_after_insert");
                let views = "SELECT count(*) FROM sqlite_master WHERE type = 'view' AND name GLOB '_cutover_*'";
                assert_eq!(ask(root, views), "0");
            },
            |root| assert_eq!(stage(root), "new-only"),
        )
        .check();
}

fn retired(more: &str) -> Conformance {
    let to = |stage: &str| format!(r#"{{ mapping = "m.toml", to = "{stage}" }}"#);
    let copy = |id: &str| {
        format!("[[phase.step]]\nid = \"{id}\"\nuse = \"testkit.snapshot\"\nwith = {{ targets = [\"brain\"] }}\n")
    };
    let on_brain = |id: &str, kind: &str, more: &str| {
        format!("[[phase.step]]\nid = \"{id}\"\nuse = \"sqlite.{kind}\"\ntarget = \"brain\"\n{more}\n")
    };
    let text = plan(&[("readers", "cutover", &to("prefer-new")), ("writers", "cutover", &to("new-only"))])
        + &copy("copy")
        + &on_brain("gone", "contract", "with = { mapping = \"m.toml\" }")
        + &copy("again")
        + &on_brain("it", "retire", more);
    Conformance::new(text).file("m.toml", MAPPING).root(|root| sql(root, DUAL)).invisible(STAGE)
}

#[test]
fn a_retirement_keeps_the_contract() {
    retired("with = { mapping = \"m.toml\" }")
        .sabotage(|root| sql(root, "UPDATE _cutover_stage SET stage = 'contracted'"))
        .check();
}

#[test]
fn a_retirement_without_a_way_back_keeps_the_contract() {
    retired("irreversible = \"it is long ago\"\nwith = { mapping = \"m.toml\", one-way = true }")
        .irreversible("it is long ago")
        .sabotage(|root| sql(root, "CREATE TABLE _cutover_raw_notes (id)"))
        .check();
}

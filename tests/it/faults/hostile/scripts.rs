//! SQL that reaches for other files, for SQLite's own tables or for eternity.

use super::child::{Scene, plan, step};
use crate::faults::choice::Choice;
use crate::faults::tally::Tally;

const SCRIPTS: &[(&str, &str)] = &[
    ("attach", "ATTACH '../around/app.db' AS other; DELETE FROM other.precious;"),
    ("attach-new", "ATTACH '../around/new.db' AS other; CREATE TABLE other.t (a);"),
    ("attach-in-a-comment", "/* */ ATTACH/**/'../around/new.db' AS other;"),
    ("vacuum-into", "VACUUM INTO '../around/copy.db';"),
    ("vacuum", "VACUUM;"),
    ("writable-schema", "PRAGMA writable_schema = ON; DELETE FROM sqlite_master;"),
    ("schema-row", "UPDATE sqlite_master SET sql = 'x';"),
    ("load-extension", "SELECT load_extension('../around/x.so');"),
    ("readfile", "SELECT readfile('/etc/passwd'), writefile('../around/x', 'x');"),
    ("fts-tokenizer", "SELECT fts3_tokenizer('simple', x'00');"),
    ("shell", ".shell touch ../around/x\n.output ../around/x\nSELECT 1;"),
    ("commit", "COMMIT; DROP TABLE precious;"),
    ("rollback", "ROLLBACK; DROP TABLE precious;"),
    ("begin", "BEGIN; DROP TABLE precious; END;"),
    ("savepoint", "SAVEPOINT x; RELEASE x; ROLLBACK TO x;"),
    ("journal-mode", "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"),
    ("temp-store-directory", "PRAGMA temp_store_directory = '../around';"),
    ("data-store-directory", "PRAGMA data_store_directory = '../around';"),
    ("ledger", "DROP TABLE cutover_ledger;"),
    ("ledger-rows", "INSERT INTO cutover_ledger SELECT * FROM cutover_ledger; DELETE FROM cutover_state;"),
    ("trigger-on-the-ledger", "CREATE TRIGGER x AFTER INSERT ON cutover_ledger BEGIN DELETE FROM precious; END;"),
    ("trigger-on-the-state", "CREATE TRIGGER x AFTER INSERT ON \"cutover_STATE\" BEGIN DELETE FROM precious; END;"),
    ("huge-blob", "CREATE TABLE t AS SELECT zeroblob(999999999999);"),
    ("deep", "SELECT ((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))));"),
    ("nul", "CREATE TABLE t (a);\0DROP TABLE precious;"),
    ("unfinished", "CREATE TABLE t (a"),
    ("unfinished-text", "SELECT 'x"),
    ("byte-order-mark", "\u{feff}CREATE TABLE t (a);"),
    ("crlf", "CREATE TABLE t (a);\r\nCREATE TABLE u (a);\r\n"),
    ("nothing", "-- nothing\n"),
];

#[test]
fn a_script_reaches_no_other_file() {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    for (what, sql) in SCRIPTS {
        let name = format!("script/{what}");
        if !choice.allows(&name) {
            continue;
        }
        let with = "use = \"sqlite.script\"\ntarget = \"app\"\nwith = { up = \"up.sql\", down = \"up.sql\" }";
        let scene = Scene::new(&plan("storage", &step("s", with)));
        scene.system.write("up.sql", sql);
        let mut kept = true;
        for (command, args) in
            [("check", &[][..]), ("apply", &[]), ("status", &[]), ("rollback", &["--to", "start", "--yes"])]
        {
            let ran = scene.meet(&name, command, args, &mut tally);
            // A script may empty its own database if it says so; none of these gets so far.
            kept &= ran.is_none() || scene.system.ask("SELECT * FROM precious; PRAGMA integrity_check") == "1|kept\nok";
        }
        tally.way_out(&name, if kept { Ok(()) } else { Err("precious is gone".to_owned()) }, "");
    }
    tally.end("J", "SQL that reaches out", &choice);
}

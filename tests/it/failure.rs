//! A step that fails, a verify that fails, a rollback that fails: what is undone, what is said, how it goes on.

use cutover_tests::Tree;

use crate::system::{System, scripts};

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO orders VALUES (1, 'kept');";

fn tables(system: &System) -> String {
    system.ask("SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_master WHERE name LIKE 't_' ORDER BY 1)")
}

fn failing_in_the_middle(policy: &str) -> System {
    let system = System::new(ORDERS, "");
    scripts(&system, 6, 3, &format!("on-failure = \"{policy}\""));
    system.write("4.sql", "CREATE TABLE t4 (a TEXT);\nINSERT INTO nowhere VALUES (1);\n");
    system
}

#[test]
fn a_failing_step_undoes_its_phase_by_default() {
    let system = failing_in_the_middle("rollback-phase");
    let ran = system.cutover("apply", &[]).expect_code(100);
    assert!(ran.stdout.contains("no such table: nowhere"), "{}", ran.stdout);
    assert_eq!(tables(&system), "t0 t1 t2");
    let ledger = system.ask("SELECT step, success, error_message FROM cutover_ledger ORDER BY id");
    assert!(ledger.starts_with("s0|1|\ns1|1|\ns2|1|\ns4|0|"), "{ledger}");
    assert!(ledger.contains("nowhere"), "{ledger}");

    // Mended, the same command goes on where it stood.
    system.write("4.sql", "CREATE TABLE t4 (a TEXT);\n");
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert_eq!(ran.stdout.matches('✓').count(), 3, "{}", ran.stdout);
    assert_eq!(tables(&system), "t0 t1 t2 t3 t4 t5");
    assert_eq!(system.ask("SELECT count(*), sum(success) FROM cutover_ledger"), "6|6");
}

#[test]
fn each_policy_undoes_what_it_says() {
    for (policy, code, left) in [
        ("rollback-step", 100, "t0 t1 t2 t3"),
        ("rollback-phase", 100, "t0 t1 t2"),
        ("rollback-all", 100, ""),
        ("pause", 104, "t0 t1 t2 t3"),
    ] {
        let system = failing_in_the_middle(policy);
        system.cutover("apply", &[]).expect_code(code);
        assert_eq!(tables(&system), left, "{policy}");
        system.write("4.sql", "CREATE TABLE t4 (a TEXT);\n");
        system.cutover("apply", &[]).expect_code(0);
        assert_eq!(tables(&system), "t0 t1 t2 t3 t4 t5", "{policy}");
    }
}

const CHECKED: &str = r#"
name = "checked"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "schema"
layer = "storage"
[[phase.step]]
id = "notes"
use = "sqlite.columns"
target = "app"
with = { table = "orders", add = ["priority INTEGER DEFAULT 1"] }
[[phase.step]]
id = "all-urgent"
use = "sqlite.check"
target = "app"
with = { scalars = [{ name = "urgent orders", sql = "SELECT count(*) FROM orders WHERE priority = 9", equals = 1 }] }
"#;

#[test]
fn a_check_that_fails_undoes_its_phase_and_keeps_what_others_wrote() {
    let system = System::new(ORDERS, CHECKED);
    let ran = system.cutover("apply", &[]).expect_code(100);
    assert!(ran.stdout.contains("urgent orders"), "{}", ran.stdout);
    assert_eq!(system.ask("SELECT * FROM orders"), "1|kept");
}

#[test]
fn what_stands_in_the_way_is_refused_before_the_first_write() {
    let system = System::new(
        ORDERS,
        &format!(
            "{CHECKED}\n[[phase.step]]\nid = \"index\"\nuse = \"sqlite.indexes\"\ntarget = \"app\"\nwith = {{ create = [\"CREATE INDEX by_note ON orders(note, id)\"] }}\n"
        ),
    );
    system.ask("CREATE INDEX by_note ON orders(note)");
    let before = Tree::of(&system.root());
    let ran = system.cutover("apply", &[]).expect_code(100);
    assert!(ran.stderr.contains("by_note") && ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
    let after = Tree::of(&system.root());
    before.filter(|p| p == "app.db").assert_same(&after.filter(|p| p == "app.db"), "after a refused apply");
}

#[test]
fn a_rollback_that_fails_is_stuck_and_a_true_claim_settles_it() {
    let system = System::new(ORDERS, "");
    scripts(&system, 2, 2, "");
    system.cutover("apply", &[]).expect_code(0);
    // Somebody takes away what the down script wants to drop.
    system.ask("DROP TABLE t1");
    let ran = system.cutover("rollback", &["--yes"]).expect_code(101);
    assert!(ran.stdout.contains("no such table: t1"), "{}", ran.stdout);
    let forward = system.cutover("apply", &[]).expect_code(101).stderr;
    assert!(forward.contains("step `s1` is stuck") && forward.contains("cutover explain"), "{forward}");
    let explained = system.cutover("explain", &[]).expect_code(0).stdout;
    assert!(explained.contains("Step `s1` is stuck") && explained.contains("resolve"), "{explained}");

    let claim = ["s1", "--as", "applied", "--note", "no"];
    system.cutover("resolve", &claim).expect_code(101);
    system.cutover("resolve", &["s1", "--as", "rolled-back", "--note", "dropped by hand"]).expect_code(0);
    system.cutover("rollback", &["--yes"]).expect_code(0);
    assert_eq!(tables(&system), "");
}

const BACKFILLED: &str = r#"
name = "backfilled"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "schema"
layer = "storage"
[[phase.step]]
id = "notes"
use = "sqlite.tables"
target = "app"
with = { create = ["CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)"] }
[[phase]]
name = "data"
layer = "storage"
[[phase.step]]
id = "fill"
use = "sqlite.backfill"
target = "app"
with = { into = "notes", key = "id", key-stored = true, rows = "SELECT id, note AS text FROM orders" }
"#;

#[test]
fn a_target_that_somebody_put_back_is_migrated_again_whole() {
    let system = System::new(ORDERS, BACKFILLED);
    let copy = std::fs::read(system.db()).unwrap();
    system.cutover("apply", &[]).expect_code(0);
    std::fs::write(system.db(), copy).unwrap();
    let status = system.cutover("status", &[]).expect_code(0).stdout;
    assert!(status.contains("the journal and the ledgers disagree on 2 steps"), "{status}");
    system.cutover("apply", &[]).expect_code(0);
    assert_eq!(system.ask("SELECT text FROM notes"), "kept");
    system.cutover("verify", &[]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name = 'notes'"), "0");
}

#[test]
fn a_system_that_has_it_already_is_adopted_and_keeps_it_on_the_way_back() {
    let system = System::new(ORDERS, "");
    scripts(&system, 3, 3, "");
    system.cutover("baseline", &["--to", "s1"]).expect_code(100);
    system
        .ask("CREATE TABLE t0 (a TEXT); CREATE INDEX i0 ON t0(a); CREATE TABLE t1 (a TEXT); CREATE INDEX i1 ON t1(a);");
    system.cutover("baseline", &["--to", "s1"]).expect_code(0);
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert_eq!(ran.stdout.matches('✓').count(), 1, "{}", ran.stdout);
    assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "s0 s1 s2");
}

const RESTORED: &str = r#"
name = "restored"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "copies"
layer = "storage"
[[phase.step]]
id = "copies"
use = "target.snapshot"
with = { targets = ["app"], into = "backups" }
[[phase]]
name = "change"
layer = "storage"
[[phase.step]]
id = "rewrite"
use = "sqlite.script"
target = "app"
with = { up = "rewrite.sql" }
"#;

#[test]
fn a_restore_asks_before_it_drops_what_others_wrote_and_keeps_it_aside() {
    let system = System::new(ORDERS, RESTORED);
    system.write("rewrite.sql", "UPDATE orders SET note = upper(note);");
    system.cutover("apply", &[]).expect_code(0);
    system.ask("INSERT INTO orders VALUES (2, 'late')");
    let ran = system.cutover("rollback", &["--yes"]).expect_code(101);
    assert!(ran.stdout.contains("--accept-loss") && ran.stdout.contains("1 of `orders`"), "{}", ran.stdout);
    assert_eq!(system.ask("SELECT group_concat(note, ' ') FROM orders"), "KEPT late");

    system.cutover("rollback", &["--yes", "--accept-loss"]).expect_code(0);
    assert_eq!(system.ask("SELECT group_concat(note, ' ') FROM orders"), "kept");
    let aside = system.root().join(".cutover/aside");
    let lost = std::fs::read_dir(aside).unwrap().any(|run| {
        let file = run.unwrap().path().join("app.db.lost-rows.sql");
        std::fs::read_to_string(file).is_ok_and(|text| text.contains("'late'"))
    });
    assert!(lost, "the late row is nowhere");
    let status = system.cutover("status", &[]).expect_code(0).stdout;
    assert!(!status.contains("would lose"), "{status}");
}

#[test]
fn a_snapshot_is_found_again_when_the_journal_is_lost() {
    let system = System::new(ORDERS, RESTORED);
    system.write("rewrite.sql", "UPDATE orders SET note = upper(note);");
    system.cutover("apply", &[]).expect_code(0);
    std::fs::remove_dir_all(system.root().join(".cutover")).unwrap();
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT group_concat(note, ' ') FROM orders"), "kept");
}

const FILLED: &str = r#"
name = "filled"
on-failure = "pause"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "tables"
use = "sqlite.tables"
target = "app"
with = { create = ["CREATE TABLE n (id INTEGER PRIMARY KEY, v TEXT NOT NULL)", "CREATE TABLE m (id INTEGER PRIMARY KEY, v TEXT NOT NULL)"] }
[[phase.step]]
id = "fill"
use = "sqlite.backfill"
target = "app"
with = { into = "n", key = "id", key-stored = true, batch = 4, rows = "SELECT id, v FROM t" }
"#;

#[test]
fn what_a_failed_try_left_is_undone_before_the_edited_step_begins() {
    let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
               WITH c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20)
               INSERT INTO t SELECT i, CASE i WHEN 14 THEN NULL ELSE 'v' || i END FROM c;";
    let failed = || {
        let system = System::new(sql, FILLED);
        system.cutover("apply", &[]).expect_code(104);
        assert_eq!(system.ask("SELECT count(*) FROM n"), "12");
        system
    };
    let system = failed();
    system.write(
        "plan.toml",
        &FILLED.replace("SELECT id, v FROM t", "SELECT id, coalesce(v, 'none') || '!' AS v FROM t"),
    );
    system.cutover("apply", &[]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*), sum(v LIKE '%!') FROM n"), "20|20", "all rows are of the edited query");

    let system = failed();
    system.write(
        "plan.toml",
        &FILLED.replace("into = \"n\"", "into = \"m\"").replace("SELECT id, v", "SELECT id, coalesce(v, '') AS v"),
    );
    system.cutover("apply", &[]).expect_code(0);
    assert_eq!(system.ask("SELECT (SELECT count(*) FROM n), (SELECT count(*) FROM m)"), "0|20");

    // Unedited, it goes on where it stopped.
    let system = failed();
    system.ask("UPDATE t SET v = 'mended' WHERE id = 14");
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert!(!ran.stdout.contains("rolling back"), "{}", ran.stdout);
    assert_eq!(system.ask("SELECT count(*) FROM n"), "20");
}

#[test]
fn a_baseline_keeps_what_the_ledger_knows_and_waits_for_what_has_begun() {
    let system = System::new(ORDERS, "");
    scripts(&system, 3, 1, "");
    system.cutover("apply", &[]).expect_code(0);
    std::fs::remove_dir_all(system.root().join(".cutover")).unwrap();
    let receipts = system.ask("SELECT step, receipt FROM cutover_ledger");
    system.cutover("baseline", &["--to", "s2"]).expect_code(0);
    assert_eq!(system.ask("SELECT step, receipt FROM cutover_ledger"), receipts);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(tables(&system), "");

    let mut killed = system.command("apply", &[]);
    cutover_tests::run(killed.env("FAILPOINTS", "journal-append=3*off->return"));
    system.cutover("baseline", &["--to", "s0"]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(tables(&system), "");
}

#[test]
fn an_edit_of_a_step_that_was_begun_cannot_be_accepted() {
    let system = System::new(ORDERS, BACKFILLED);
    let mut killed = system.command("apply", &[]);
    cutover_tests::run(killed.env("FAILPOINTS", "journal-append=3*off->return"));
    assert_eq!(system.ask("SELECT count(*) FROM notes"), "1");
    system.write("plan.toml", &BACKFILLED.replace("note AS text", "upper(note) AS text"));
    let refused = system.cutover("apply", &[]).expect_code(102).stderr;
    assert!(
        refused.contains("step `fill` was begun and has changed since") && !refused.contains("accept"),
        "{refused}"
    );
    let refused = system.cutover("accept", &["fill", "--note", "no"]).expect_code(2).stderr;
    assert!(refused.contains("step `fill` is started"), "{refused}");
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    system.cutover("apply", &[]).expect_code(0);
    assert_eq!(system.ask("SELECT text FROM notes"), "KEPT");
}

#[test]
fn a_way_back_that_is_wrong_is_mended_in_the_plan_and_accepted() {
    let system = System::new(ORDERS, "");
    scripts(&system, 2, 2, "");
    system.write("1.sql", "UPDATE orders SET note = upper(note);");
    system.write("1.down.sql", "UPDATE orders SET nothing = 1;");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(101);
    let explained = system.cutover("explain", &[]).expect_code(0).stdout;
    assert!(explained.contains("cutover accept") && explained.contains("its own way back"), "{explained}");
    system.write("1.down.sql", "UPDATE orders SET note = lower(note);");
    system.cutover("rollback", &["--yes"]).expect_code(101);
    system.cutover("accept", &["s1", "--note", "the column was misnamed"]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT note FROM orders"), "kept");
    assert_eq!(tables(&system), "");
}

#[test]
fn a_name_with_control_characters_does_not_reach_the_terminal() {
    let system = System::new("CREATE TABLE t (a);", "");
    scripts(&system, 1, 1, "");
    system.write("0.sql", "INSERT INTO \"x\u{1b}[2Jy\" VALUES (1);");
    let ran = system.cutover("apply", &[]).expect_code(100);
    assert!(ran.stdout.contains("no such table: x\\u{1b}[2Jy") && !ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
}

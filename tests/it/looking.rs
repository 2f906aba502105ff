//! What the commands beside `apply` print and need: one document for machines, no secret for looking.

use std::fs;

use serde_json::Value;

use crate::system::{System, scripts};

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);";

fn small() -> System {
    let system = System::new(ORDERS, "");
    scripts(&system, 3, 2, "");
    system
}

/// The one JSON document that a command printed.
fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn baseline_accept_and_resolve_print_one_document() {
    let system = small();
    system.ask("CREATE TABLE t0 (a TEXT); CREATE INDEX i0 ON t0(a);");
    let adopted = system.cutover("baseline", &["--to", "s0", "--format", "json"]).expect_code(0);
    assert_eq!(document(&adopted.stdout)["adopted"], serde_json::json!(["s0"]));
    let adopted = system.cutover("baseline", &["--to", "s0", "--format", "json"]).expect_code(0);
    assert_eq!(document(&adopted.stdout)["adopted"], serde_json::json!([]));

    system.cutover("apply", &[]).expect_code(0);
    system.write("2.sql", "CREATE TABLE t2 (a TEXT);\nCREATE INDEX i2 ON t2(a DESC);\n");
    let note = ["s2", "--note", "on purpose", "--format", "json"];
    let accepted = document(&system.cutover("accept", &note).expect_code(0).stdout);
    assert_eq!((&accepted["step"], &accepted["accepted"]), (&Value::from("s2"), &Value::Bool(true)));
    let again = document(&system.cutover("accept", &note).expect_code(0).stdout);
    assert_eq!(again["accepted"], Value::Bool(false));

    system.ask("DROP TABLE t2");
    system.cutover("rollback", &["--yes"]).expect_code(101);
    let claim = ["s2", "--as", "rolled-back", "--note", "by hand", "--format", "json"];
    let resolved = document(&system.cutover("resolve", &claim).expect_code(0).stdout);
    assert_eq!((&resolved["step"], &resolved["state"]), (&Value::from("s2"), &Value::from("rolled-back")));
    system.cutover("accept", &["s2", "--note", "x", "--format", "sarif"]).expect_code(2);
}

#[test]
fn a_baseline_to_a_phase_adopts_all_its_steps() {
    let system = small();
    system
        .ask("CREATE TABLE t0 (a TEXT); CREATE INDEX i0 ON t0(a); CREATE TABLE t1 (a TEXT); CREATE INDEX i1 ON t1(a);");
    system.cutover("baseline", &["--to", "p1"]).expect_code(100);
    let ran = system.cutover("baseline", &["--to", "p0"]).expect_code(0);
    assert!(ran.stdout.contains("adopted 2 steps"), "{}", ran.stdout);
    assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "s0 s1");
}

#[test]
fn a_rollback_leaves_what_was_there_before_a_baseline() {
    let system = small();
    system.ask("CREATE TABLE t0 (a TEXT); CREATE INDEX i0 ON t0(a); INSERT INTO t0 VALUES ('kept')");
    system.cutover("baseline", &["--to", "s0"]).expect_code(0);
    system.cutover("apply", &[]).expect_code(0);
    let ran = system.cutover("rollback", &["--to", "start", "--yes", "-v"]).expect_code(0);
    assert!(ran.stdout.contains("was there before"), "{}", ran.stdout);
    let left = "SELECT group_concat(name, ' ') FROM sqlite_master WHERE name GLOB '[ti][0-9]' ORDER BY 1";
    assert_eq!(system.ask(left), "t0 i0");
    assert_eq!(system.ask("SELECT a FROM t0"), "kept");
    assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), "0");
    // Without a journal the ledger says so too.
    system.cutover("baseline", &["--to", "s0"]).expect_code(0);
    fs::remove_dir_all(system.root().join(".cutover")).unwrap();
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT a FROM t0"), "kept");
}

#[test]
fn a_plan_that_cannot_be_read_is_a_document_too() {
    let system = small();
    fs::write(system.file("plan.toml"), b"name = \"\xff\"").unwrap();
    for broken in ["not UTF-8", "cannot read"] {
        let json = document(&system.cutover("check", &["--format", "json"]).expect_code(65).stdout);
        assert_eq!(json["ok"], Value::Bool(false));
        assert_eq!(json["diagnostics"][0]["code"], "P105");
        assert!(json["diagnostics"][0]["message"].as_str().unwrap().contains(broken), "{json}");
        let sarif = document(&system.cutover("check", &["--format", "sarif"]).expect_code(65).stdout);
        assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "P105");
        let github = system.cutover("check", &["--format", "github"]).expect_code(65).stdout;
        assert!(github.starts_with("::error file="), "{github}");
        let people = system.cutover("check", &[]).expect_code(65).stderr;
        assert!(people.contains(broken), "{people}");
        let _ = fs::remove_file(system.file("plan.toml"));
    }
}

/// One step that takes a secret, and one after it that takes none.
const SECRET: &str = r#"name = "secret"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "rows"
layer = "storage"
[[phase.step]]
id = "row"
use = "sqlite.rows"
target = "app"
with = { table = "orders", key = ["id"], rows = [{ id = 1, note = "${env.SERVICE_TOKEN}" }] }
[[phase]]
name = "tables"
layer = "storage"
[[phase.step]]
id = "table"
use = "sqlite.tables"
target = "app"
with = { create = ["CREATE TABLE t (a TEXT)"] }
"#;

#[test]
fn looking_needs_no_secret_and_whatever_uses_one_says_which() {
    let system = System::new(ORDERS, SECRET);
    let without = |command: &str, args: &[&str], code: i32| system.cutover(command, args).expect_code(code);
    for command in ["check", "plan", "apply"] {
        let ran = without(command, &[], 65);
        assert!(ran.stderr.contains("`SERVICE_TOKEN` is not set"), "{}", ran.stderr);
    }
    let looks = || {
        for command in ["status", "explain", "history"] {
            without(command, &[], 0);
            without(command, &["--format", "json"], 0);
        }
    };
    looks();
    let with = |command: &str, args: &[&str]| {
        cutover_tests::run(system.command(command, args).env("SERVICE_TOKEN", "t0ken")).expect_code(0)
    };
    with("apply", &[]);
    looks();
    let status = without("status", &[], 0).stdout;
    assert!(status.contains("2 of 2 steps done") && !status.contains("drift"), "{status}");
    let ran = without("verify", &[], 65);
    assert!(ran.stderr.contains("`SERVICE_TOKEN` is not set") && ran.stderr.contains("step `row`"), "{}", ran.stderr);
    with("verify", &[]);

    // The last phase is undone without the secret, the one that took it is not touched without it.
    without("rollback", &["--yes"], 0);
    let ran = without("rollback", &["--to", "start", "--yes"], 65);
    assert!(ran.stderr.contains("`SERVICE_TOKEN` is not set") && ran.stderr.contains("step `row`"), "{}", ran.stderr);
    assert_eq!(system.ask("SELECT note FROM orders"), "t0ken");
    without("verify", &[], 65);
    with("rollback", &["--to", "start", "--yes"]);
    without("verify", &[], 0);
    assert_eq!(system.ask("SELECT count(*) FROM orders"), "0");
}

/// A plan that takes rows out and maintains the file, of what there is now.
#[test]
fn a_plan_says_what_its_steps_come_to_and_asks_no_clock() {
    let rules = "with.tables = [{ table = \"orders\", by = \"id\", keep = 2 }, { table = \"orders\", by = \"note\", older-than = \"1d\" }]";
    let plan = format!(
        "name = \"few\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n\
         [[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
         [[phase.step]]\nid = \"retain\"\nuse = \"sqlite.retain\"\ntarget = \"app\"\n{rules}\n\
         [[phase.step]]\nid = \"tidy\"\nuse = \"sqlite.maintain\"\ntarget = \"app\"\n"
    );
    let system =
        System::new(&format!("{ORDERS} INSERT INTO orders VALUES (1, 'a'), (2, '2020-01-01'), (3, 'c')"), &plan);
    let shown = system.cutover("plan", &[]).expect_code(0).stdout;
    let lines: Vec<&str> = shown.lines().filter_map(|line| line.trim().strip_prefix("= ")).collect();
    let expected = [
        "1 of 3 rows of orders go: all but the 2 newest by id",
        "3 rows in orders; those older than 1d by note when it begins go",
        "fragmentation 0.0 % of 8.0 KiB: no page is given back",
    ];
    assert_eq!(lines, expected, "{shown}");
    let json = document(&system.cutover("plan", &["--format", "json"]).expect_code(0).stdout);
    assert_eq!(json["phases"][0]["steps"][0]["foreseen"], serde_json::json!(expected[..2]));
    system.cutover("apply", &[]).expect_code(0);
    let applied = system.cutover("plan", &[]).expect_code(0).stdout;
    assert!(!applied.contains("      = "), "what is applied is not foreseen: {applied}");
    assert_eq!(system.ask("SELECT group_concat(id) FROM orders"), "3");
    system.cutover("rollback", &["--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT group_concat(id) FROM orders"), "1,2,3");
}

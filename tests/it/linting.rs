//! What `check` and `plan` warn of: lawful SQL that loses rows, holds the lock for long, or does other than it says.

use serde_json::Value;

use crate::system::System;

const OLD: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, archived INTEGER, total REAL);
    CREATE TABLE lines (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders(id) ON DELETE CASCADE);
    CREATE TABLE tags (id INTEGER PRIMARY KEY);
    CREATE TABLE gone (a TEXT);
    CREATE INDEX idx_orders_active ON orders(total);
    CREATE VIEW open_orders AS SELECT id FROM orders WHERE archived = 0;
    PRAGMA user_version = 3;
    INSERT INTO orders VALUES (1, 'a', 0, 9.5);";

/// A plan of scripts on `app`, each with its text forward and, if it has one, back.
fn scripts(steps: &[(&str, &str, &str, Option<&str>)]) -> System {
    let mut plan = "name = \"shop\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n\n[[phase]]\nname = \"schema\"\nlayer = \"storage\"\n".to_owned();
    if steps.iter().any(|(.., down)| down.is_none()) {
        plan.push_str("\n[[phase.step]]\nid = \"copies\"\nuse = \"target.snapshot\"\nwith = { targets = [\"app\"], into = \"copies\" }\n");
    }
    let system = System::new(OLD, "");
    for (id, keys, up, down) in steps {
        let back = if down.is_some() { format!(", down = \"sql/{id}.down.sql\"") } else { String::new() };
        plan.push_str(&format!(
            "\n[[phase.step]]\nid = \"{id}\"\nuse = \"sqlite.script\"\ntarget = \"app\"\n{keys}with = {{ up = \"sql/{id}.sql\"{back} }}\n"
        ));
        system.write(&format!("sql/{id}.sql"), up);
        if let Some(down) = down {
            system.write(&format!("sql/{id}.down.sql"), down);
        }
    }
    system.write("plan.toml", &plan);
    system
}

fn assert_screen(name: &str, system: &System, command: &str, args: &[&str]) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, system.seen(&system.cutover(command, args)));
    });
}

/// The codes that `plan` gives, with the line that each is at.
fn codes(system: &System, command: &str) -> Vec<String> {
    let ran = system.cutover(command, &["--format", "json"]).expect_code(0);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let warnings = document["warnings"].as_array().unwrap();
    warnings.iter().map(|w| format!("{} {}", w["code"].as_str().unwrap(), w["line"])).collect()
}

#[test]
fn check_shows_what_the_text_tells_with_file_line_and_caret() {
    let system = scripts(&[
        ("losses", "", "DROP TABLE gone;\nALTER TABLE orders DROP COLUMN archived;\nDELETE FROM tags;\n", None),
        (
            "locks",
            "",
            "-- é\nALTER TABLE orders ADD COLUMN kind TEXT NOT NULL;\nUPDATE orders SET customer = 'x';\nANALYZE;\n",
            Some("SELECT 1;\n"),
        ),
        (
            "rebuild",
            "",
            "CREATE TABLE n (id INTEGER PRIMARY KEY);\nINSERT INTO n SELECT id FROM orders;\nDROP TABLE orders;\nALTER TABLE n RENAME TO orders;\n",
            None,
        ),
    ]);
    // Three restores over one another are refused elsewhere; here they are one unit.
    let plan = std::fs::read_to_string(system.file("plan.toml")).unwrap();
    let plan = plan.replace("use = \"sqlite.script\"", "unit = \"all\"\nuse = \"sqlite.script\"");
    system.write("plan.toml", &plan);
    assert_screen("lint-check", &system, "check", &[]);
    system.cutover("check", &["--deny-warnings"]).expect_code(65);
    let sarif = system.cutover("check", &["--format", "sarif"]).expect_code(0).stdout;
    let log: Value = serde_json::from_str(&sarif).unwrap();
    let first = &log["runs"][0]["results"][0];
    assert_eq!((&first["ruleId"], &first["level"]), (&Value::from("W401"), &Value::from("warning")));
    let place = &first["locations"][0]["physicalLocation"];
    assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with("sql/losses.sql"), "{place}");
    let github = system.cutover("check", &["--format", "github"]).expect_code(0).stdout;
    assert!(github.starts_with("::warning file="), "{github}");
}

#[test]
fn plan_shows_what_the_database_tells() {
    let system = scripts(&[
        (
            "hidden",
            "",
            "CREATE INDEX IF NOT EXISTS idx_orders_active ON orders(archived);\nCREATE TABLE IF NOT EXISTS tags (id INTEGER PRIMARY KEY, name TEXT);\nCREATE VIEW IF NOT EXISTS open_orders AS SELECT id FROM orders;\nCREATE TABLE IF NOT EXISTS gone (\"a\" text);\n",
            Some("CREATE TABLE left (a);\nDROP INDEX idx_orders_active;\n"),
        ),
        ("fails", "", "CREATE INDEX by_date ON orders(last_updated);\n", Some("DROP INDEX by_date;\n")),
    ]);
    assert_eq!(codes(&system, "check"), [""; 0]);
    assert_screen("lint-plan", &system, "plan", &[]);
    system.cutover("plan", &["--deny-warnings", "--out", "saved.json"]).expect_code(65);
    assert!(!system.file("saved.json").exists() && !system.root().join(".cutover").exists());
}

#[test]
fn a_down_script_is_tried_behind_the_steps_before_it_and_must_lead_back_exactly() {
    let system = scripts(&[
        (
            "one",
            "",
            "CREATE TABLE a (x);\nINSERT INTO tags VALUES (7);\n",
            Some("DROP TABLE a;\nDELETE FROM tags WHERE id = 7;\n"),
        ),
        ("two", "", "CREATE INDEX i ON a(x);\nALTER TABLE a ADD y;\n", Some("DROP INDEX i;\n")),
        ("three", "", "CREATE INDEX j ON a(y);\n", Some("DROP INDEX j;\nDROP INDEX j;\n")),
        ("four", "", "INSERT INTO tags VALUES (8);\nPRAGMA user_version = 4;\n", Some("PRAGMA user_version = 3;\n")),
        (
            "five",
            "",
            "DROP VIEW open_orders;\n",
            Some("CREATE VIEW open_orders AS\n  SELECT id FROM orders WHERE archived = 0;\n"),
        ),
    ]);
    assert_eq!(codes(&system, "plan"), ["W410 1", "W410 2", "W410 1"]);
    assert_screen("lint-down", &system, "plan", &["--format", "text"]);
}

#[test]
fn what_other_steps_make_is_known_and_what_cannot_be_known_is_not_missed() {
    let system = scripts(&[("index", "", "CREATE INDEX by_kind ON orders(kind);\n", Some("DROP INDEX by_kind;\n"))]);
    let plan = std::fs::read_to_string(system.file("plan.toml")).unwrap();
    let step =
        |text: &str| plan.replace("layer = \"storage\"\n", &format!("layer = \"storage\"\n\n[[phase.step]]\n{text}"));
    assert_eq!(codes(&system, "plan"), ["W413 1"]);
    let columns = "id = \"kind\"\nuse = \"sqlite.columns\"\ntarget = \"app\"\nwith = { table = \"orders\", add = [\"kind TEXT\"] }\n";
    system.write("plan.toml", &step(columns));
    assert_eq!(codes(&system, "plan"), [""; 0]);
    let program = "id = \"program\"\nuse = \"command.run\"\nwith = { apply = [\"true\"], rollback = [\"true\"], writes = [\"app\"] }\n";
    system.write("plan.toml", &step(program));
    assert_eq!(codes(&system, "plan"), [""; 0]);
    system.cutover("apply", &[]).expect_code(100);
}

#[test]
fn what_is_allowed_or_done_is_not_warned_of() {
    let down = Some("CREATE TABLE gone (a TEXT);\n");
    let system = scripts(&[("drop", "# Nobody reads it.\nallow = [\"W401\"]\n", "DROP TABLE gone;\n", down)]);
    assert_eq!(codes(&system, "check"), [""; 0]);
    let same = system.cutover("plan", &["--format", "json"]).expect_code(0).stdout;
    let plan = std::fs::read_to_string(system.file("plan.toml")).unwrap();
    system.write("plan.toml", &plan.replace("allow = [\"W401\"]\n", ""));
    assert_eq!(codes(&system, "plan"), ["W401 1"]);
    let digest = |text: &str| serde_json::from_str::<Value>(text).unwrap()["digest"].clone();
    let without = system.cutover("plan", &["--format", "json"]).stdout;
    assert_eq!(digest(&same), digest(&without), "an `allow` is no change of the step");
    system.cutover("apply", &[]).expect_code(0);
    assert_eq!(codes(&system, "plan"), [""; 0]);
    assert_eq!(codes(&system, "check"), ["W401 1"]);
}

#[test]
fn a_script_that_never_ends_does_not_hold_up_a_plan() {
    let endless = "INSERT INTO tags WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0;\n";
    let system = scripts(&[("endless", "", endless, Some("DELETE FROM tags WHERE id = 1;\n"))]);
    assert_eq!(codes(&system, "plan"), [""; 0]);
}

#[test]
fn the_plans_of_this_repository_are_clean() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plans");
    let mut plans = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|e| e.path().join("plan.toml").exists())
    {
        let mut check = crate::system::cutover();
        cutover_tests::run(check.arg("check").arg(entry.path()).arg("--deny-warnings")).expect_code(0);
        plans += 1;
    }
    assert!(plans > 0);
}

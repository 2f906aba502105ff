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

const MAPPING: &str = "
[[table]]
name = 'orders'
old = 'orders'
new = 'sales'
key = [{ old = 'id', new = 'id' }]
[table.forth]
buyer = 'old.customer'
[table.back]
customer = 'new.buyer'
";

const NEW: &str = "CREATE TABLE sales (id INTEGER PRIMARY KEY AUTOINCREMENT, buyer TEXT);\n";

/// A plan through all stages of a mapping; a step of that text is put behind each step that is named.
fn staged(behind: &[(&str, String)]) -> System {
    let mut plan = "name = \"shop\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n".to_owned();
    let of_mapping = |kind: &str, more: &str| {
        format!("use = \"sqlite.{kind}\"\ntarget = \"app\"\nwith = {{ mapping = \"mapping.toml\"{more} }}\n")
    };
    for (id, text) in [
        ("wide", of_mapping("expand", ", up = \"new.sql\"")),
        ("fill", of_mapping("backfill", "")),
        ("same", of_mapping("parity", "")),
        ("readers", of_mapping("cutover", ", to = \"prefer-new\"")),
        ("writers", of_mapping("cutover", ", to = \"new-only\"")),
        ("copies", "use = \"target.snapshot\"\nwith = { targets = [\"app\"], into = \"copies\" }\n".to_owned()),
        ("narrow", of_mapping("contract", "")),
    ] {
        plan.push_str(&format!(
            "\n[[phase]]\nname = \"{id}\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"{id}\"\n{text}"
        ));
        let more = behind.iter().filter(|(name, _)| *name == id);
        more.for_each(|(_, text)| plan.push_str(&format!("\n[[phase.step]]\n{text}")));
    }
    let system = System::new(OLD, &plan);
    system.write("mapping.toml", MAPPING);
    system.write("new.sql", NEW);
    system
}

/// A script step of that name.
fn named(id: &str) -> String {
    format!(
        "id = \"{id}\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = {{ up = \"{id}.sql\", down = \"{id}.down.sql\" }}\n"
    )
}

#[test]
fn a_script_is_tried_on_what_each_stage_of_a_mapping_leaves() {
    let frozen = "id = \"freeze\"\nuse = \"sqlite.freeze\"\ntarget = \"app\"\n".to_owned();
    let thawed = "id = \"thaw\"\nuse = \"sqlite.thaw\"\ntarget = \"app\"\nwith = { freeze = \"freeze\" }\n".to_owned();
    let version =
        "id = \"version\"\nuse = \"sqlite.settings\"\ntarget = \"app\"\nwith = { set = { user_version = 7 } }\n";
    let system = staged(&[
        ("wide", frozen),
        ("wide", version.to_owned()),
        ("wide", named("index")),
        ("wide", thawed),
        ("readers", named("open")),
        ("writers", named("closed")),
        ("narrow", named("gone")),
    ]);
    for (name, up, down) in [
        // The new table is known, and what is wrong about it is seen; so is the number that was set.
        (
            "index",
            "CREATE INDEX by_buyer ON sales(buyer);\nPRAGMA user_version = 8;\nCREATE INDEX by_day ON sales(day);\n",
            "PRAGMA user_version = 7;\n",
        ),
        ("open", "INSERT INTO orders (id) VALUES (99);\n", "DELETE FROM orders WHERE id = 99;\n"),
        ("closed", "INSERT INTO orders (id) VALUES (98);\n", "DELETE FROM orders WHERE id = 98;\n"),
        ("gone", "UPDATE orders SET total = 1 WHERE id = 1;\n", "UPDATE orders SET total = 2 WHERE id = 1;\n"),
    ] {
        system.write(&format!("{name}.sql"), up);
        system.write(&format!("{name}.down.sql"), down);
    }
    let said = |system: &System| {
        let ran = system.cutover("plan", &["--format", "json"]).expect_code(0);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let warnings = document["warnings"].as_array().unwrap();
        let line = |w: &Value| {
            let text = |key: &str| w[key].as_str().unwrap_or("-").to_owned();
            format!("{} {}; {}", text("code"), text("message"), text("help"))
        };
        warnings.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    // What fails makes all behind it unsure: each is mended in its turn.
    let first = said(&system);
    assert!(
        first.starts_with("W413 step `index`: this fails on a copy of the structure: no such column: day"),
        "{first}"
    );
    system.write("index.sql", "CREATE INDEX by_buyer ON sales(buyer);\nPRAGMA user_version = 8;\n");
    system.write("index.down.sql", "DROP INDEX by_buyer;\nPRAGMA user_version = 7;\n");
    let second = said(&system);
    assert!(
        second.starts_with(
            "W413 step `closed`: this fails on a copy of the structure: table `orders` is closed to writes"
        ),
        "{second}"
    );
    system.write("closed.sql", "UPDATE sales SET buyer = 'x' WHERE id = 1;\n");
    system.write("closed.down.sql", "UPDATE sales SET buyer = 'y' WHERE id = 1;\n");
    let third = said(&system);
    assert!(third.starts_with("W413 step `narrow`: this fails on a copy of the structure: the old tables stay: view `open_orders` names `orders`; table `lines` refers to `orders`; drop or rewrite"), "{third}");
    system.ask("DROP VIEW open_orders; DROP TABLE lines;");
    let fourth = said(&system);
    assert!(
        fourth.starts_with("W413 step `gone`: this fails on a copy of the structure: no such table: orders"),
        "{fourth}"
    );
    system.write("gone.sql", "UPDATE sales SET buyer = 'x' WHERE id = 1;\n");
    system.write("gone.down.sql", "UPDATE sales SET buyer = 'y' WHERE id = 1;\n");
    assert_eq!(said(&system), "");
}

#[test]
fn a_mapping_that_cannot_be_expanded_is_said_before_anything_is_applied() {
    let system = staged(&[]);
    system.write("new.sql", "CREATE TABLE sales (id INTEGER PRIMARY KEY AUTOINCREMENT, customer TEXT);\n");
    system.ask("DROP VIEW open_orders; DROP TABLE lines;");
    assert_screen("lint-expand", &system, "plan", &[]);
    system.write("new.sql", NEW);
    system.write("mapping.toml", &MAPPING.replace("old.customer", "old.custumer"));
    let said = system.cutover("plan", &[]).expect_code(0).stdout;
    assert!(
        said.contains(
            "this fails on a copy of the structure: table `orders` of the mapping, on \"orders\": no such column"
        ),
        "{said}"
    );
}

#[test]
fn statistics_are_doubtful_before_a_cutover_and_nowhere_else() {
    for (behind, found) in [("wide", vec!["W407 1"]), ("readers", vec!["W407 1"]), ("writers", vec![])] {
        let system = staged(&[(behind, named("figures"))]);
        system.write("figures.sql", "ANALYZE;\n");
        system.write("figures.down.sql", "DROP TABLE sqlite_stat1;\n");
        assert_eq!(codes(&system, "check"), found, "behind {behind}");
        if behind == "wide" {
            assert_screen("lint-statistics", &system, "check", &[]);
        }
    }
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

//! Histories of other migration tools as plans: their folders, their tables, and what is refused.
//!
//! The tables of dbmate, diesel and refinery are as dbmate 2.36.0, diesel_cli 2.3.14 and refinery 0.10 made them for these
//! files; those of golang-migrate, goose and sqlx are as their sources create them.

use std::fs;
use std::path::PathBuf;

use cutover_tests::{Ran, Tree, run, sqlite3};
use serde_json::Value;
use tempfile::TempDir;

use crate::system::{cutover, on};

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n";
const EMAIL: &str = "ALTER TABLE users ADD COLUMN email TEXT;\n";
const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY);\nCREATE TRIGGER t AFTER INSERT ON orders BEGIN\n  DELETE FROM orders WHERE id < 0;\nEND;\n";
const NO_USERS: &str = "DROP TABLE users;\n";
const NO_EMAIL: &str = "ALTER TABLE users DROP COLUMN email;\n";
const NO_ORDERS: &str = "DROP TABLE orders;\n";

/// A folder of migrations and a database.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new(files: &[(&str, String)], database: &str) -> Self {
        let case = Self { folder: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            case.write(name, text);
        }
        fs::create_dir(case.path("data")).unwrap();
        sqlite3(case.path("data/app.db"), database);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a migration.
    fn write(&self, name: &str, text: &str) {
        let path = self.path("migrations").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn ask(&self, sql: &str) -> String {
        sqlite3(self.path("data/app.db"), sql).trim_end().to_owned()
    }

    fn import(&self, args: &[&str]) -> Ran {
        run(cutover().current_dir(self.folder.path()).args(["import", "migrations", "--out", "shop"]).args(args))
    }

    /// The same on the database.
    fn adopt(&self, args: &[&str]) -> Ran {
        self.import(&[&["--database", "data/app.db"], args].concat())
    }

    fn document(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.adopt(&[args, &["--format", "json"]].concat()).expect_code(0).stdout).unwrap()
    }

    fn cutover(&self, command: &str, args: &[&str]) -> Ran {
        run(&mut on(&self.path("shop"), &self.path("data"), command, args))
    }

    fn seen(&self, ran: &Ran) -> String {
        let text = format!("{}{}exit {:?}", ran.stdout, ran.stderr, ran.code);
        text.replace(&self.folder.path().display().to_string(), "DIR")
    }

    /// What it was refused with; nothing may be written by then.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32) -> String {
        let before = Tree::of(self.folder.path());
        let ran = self.adopt(args).expect_code(code);
        before.assert_same(&Tree::of(self.folder.path()), "after a refused import");
        assert!(ran.stderr.contains("\nhelp: "), "{}", ran.stderr);
        ran.stderr
    }
}

fn marked(up: &str, [forward, back]: [&str; 2], down: &str) -> String {
    format!("{forward}\n{up}\n{back}\n{down}")
}

fn pairs(names: [&str; 3]) -> Vec<(String, String)> {
    let scripts = [(USERS, NO_USERS), (EMAIL, NO_EMAIL), (ORDERS, NO_ORDERS)];
    let both = |(name, (up, down)): (&str, (&str, &str))| {
        [(name.replace('*', "up"), up.to_owned()), (name.replace('*', "down"), down.to_owned())]
    };
    names.into_iter().zip(scripts).flat_map(both).collect()
}

fn single(names: [&str; 3], marks: Option<[&str; 2]>) -> Vec<(String, String)> {
    let scripts = [(USERS, NO_USERS), (EMAIL, NO_EMAIL), (ORDERS, NO_ORDERS)];
    let one = |(name, (up, down)): (&str, (&str, &str))| {
        (name.to_owned(), marks.map_or_else(|| up.to_owned(), |marks| marked(up, marks, down)))
    };
    names.into_iter().zip(scripts).map(one).collect()
}

const DBMATE: &str = "CREATE TABLE IF NOT EXISTS \"schema_migrations\" (version varchar(128) primary key);
    INSERT INTO schema_migrations VALUES('20240101000001'),('20240102000002');";
const DIESEL: &str = "CREATE TABLE __diesel_schema_migrations (
       version VARCHAR(50) PRIMARY KEY NOT NULL,
       run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
    INSERT INTO __diesel_schema_migrations(version) VALUES('20240101000001'),('20240102000002');";
const GOLANG: &str = "CREATE TABLE schema_migrations (version uint64,dirty bool);
    CREATE UNIQUE INDEX version_unique ON schema_migrations (version); INSERT INTO schema_migrations VALUES (2, false);";
const GOOSE: &str = "CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
       is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')));
    INSERT INTO goose_db_version(version_id, is_applied) VALUES (0,1),(1,1),(2,1),(3,1),(3,0);";
const REFINERY: &str = "CREATE TABLE refinery_schema_history(version int4 PRIMARY KEY, name VARCHAR(255),
       applied_on VARCHAR(255), checksum VARCHAR(255));
    INSERT INTO refinery_schema_history VALUES(1,'users','2026-11-21T13:38:55.603162938Z','721083336407761491');
    INSERT INTO refinery_schema_history VALUES(2,'email','2026-11-21T13:38:55.603169808Z','12246468813749549543');";
const SQLX: &str = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
       installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL,
       execution_time BIGINT NOT NULL);
    INSERT INTO _sqlx_migrations(version, description, success, checksum, execution_time) VALUES
      (1, 'users', true, x'USERS', 9), (2, 'email', true, x'EMAIL', 9);";

/// The SHA-384 of both scripts, by a program that is not ours.
fn sqlx() -> String {
    let sum = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        fs::write(&file, text).unwrap();
        run(std::process::Command::new("sha384sum").arg(file)).expect_code(0).stdout[..96].to_owned()
    };
    SQLX.replace("USERS", &sum(USERS)).replace("EMAIL", &sum(EMAIL))
}

/// A tool, its files by name, and the SQL of its table.
type Sample = (&'static str, Vec<(String, String)>, String);

/// Every tool, its files, and the table of a database that has the first two of them.
fn tools() -> Vec<Sample> {
    let dated = ["20240101000001_users.sql", "20240102000002_email.sql", "20240103000003_orders.sql"];
    let folders = ["2024-01-01-000001_users/*.sql", "2024-01-02-000002_email/*.sql", "2024-01-03-000003_orders/*.sql"];
    let numbered = ["1_users.*.sql", "2_email.*.sql", "10_orders.*.sql"];
    let goose = ["-- +goose Up\n-- +goose StatementBegin", "-- +goose StatementEnd\n-- +goose Down"];
    vec![
        ("dbmate", single(dated, Some(["-- migrate:up", "-- migrate:down"])), DBMATE.to_owned()),
        ("diesel", pairs(folders), DIESEL.to_owned()),
        ("golang-migrate", pairs(numbered), GOLANG.to_owned()),
        ("goose", single(["00001_users.sql", "00002_email.sql", "00003_orders.sql"], Some(goose)), GOOSE.to_owned()),
        ("refinery", single(["V1__users.sql", "V2__email.sql", "V10__orders.sql"], None), REFINERY.to_owned()),
        ("sqlx", pairs(numbered), sqlx()),
        ("sqlx", single(["1_users.sql", "2_email.sql", "10_orders.sql"], None), sqlx()),
    ]
}

fn case((tool, files, table): &Sample) -> (String, Case) {
    let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    ((*tool).to_owned(), Case::new(&files, &format!("{USERS}{EMAIL}INSERT INTO users VALUES (1, 'a', 'b'); {table}")))
}

#[test]
fn every_tool_is_told_by_its_names_and_marks_and_what_it_applied_is_adopted() {
    for tool in tools() {
        let (name, case) = case(&tool);
        case.write("README.md", "not a migration");
        let said = case.document(&[]);
        assert_eq!(said["tool"], *name);
        assert_eq!(said["database"]["adopted"].as_array().unwrap().len(), 2, "{name}: {said}");
        assert_eq!(said["database"]["differences"], serde_json::json!([]), "{name}");
        assert_eq!(said["warnings"], serde_json::json!([]), "{name}");
        case.cutover("plan", &["--exit-code"]).expect_code(3);
        if !said["steps"][2]["one-way"].is_null() {
            let asked = case.cutover("apply", &[]).expect_code(103).stdout;
            assert!(asked.contains("asks for an approval: it cannot be undone"), "{name}: {asked}");
        }
        case.cutover("approve", &["--all", "--as", "ada", "--note", "a backup is there"]).expect_code(0);
        case.cutover("apply", &[]).expect_code(0);
        case.cutover("verify", &[]).expect_code(0);
        assert_eq!(case.ask("SELECT group_concat(name, ' ') FROM sqlite_master WHERE type = 'trigger'"), "t", "{name}");
        if said["steps"][2]["one-way"].is_null() {
            case.cutover("rollback", &["--yes"]).expect_code(0);
            assert_eq!(case.ask("SELECT count(*) FROM sqlite_master WHERE name = 'orders'"), "0", "{name}");
            // What the other tool applied goes back by the same script, as it would have undone it.
            case.cutover("rollback", &["--yes"]).expect_code(0);
            assert_eq!(case.ask("SELECT group_concat(name, ' ') FROM pragma_table_info('users')"), "id name", "{name}");
        } else {
            case.cutover("rollback", &["--yes"]).expect_code(100);
        }
    }
}

#[test]
fn an_import_is_the_same_plan_for_every_database_and_adopts_only_what_is_new() {
    let (_, case) = case(&tools()[0]);
    let first = case.document(&[]);
    let again = case.document(&[]);
    assert_eq!((&first["written"], &again["written"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(again["database"]["adopted"], serde_json::json!([]));
    // Another database, which has less of it.
    fs::create_dir(case.path("other")).unwrap();
    sqlite3(
        case.path("other/app.db"),
        format!("{USERS}{DBMATE} DELETE FROM schema_migrations WHERE version > '20240101000001'"),
    );
    let other = case.import(&["--database", "other/app.db", "--format", "json"]).expect_code(0).stdout;
    let other: Value = serde_json::from_str(&other).unwrap();
    assert_eq!(other["database"]["adopted"], serde_json::json!(["20240101000001_users"]));
    case.write("20240104000004_more.sql", "-- migrate:up\nCREATE TABLE more (a);\n-- migrate:down\nDROP TABLE more;\n");
    // The history grew: so does the plan. What was broken off is completed.
    fs::remove_file(case.path("shop/sql/20240102000002_email.up.sql")).unwrap();
    let grown = case.document(&[]);
    assert_eq!((&grown["written"], grown["steps"].as_array().unwrap().len()), (&Value::Bool(true), 4));
    assert_eq!(case.document(&[])["written"], Value::Bool(false));
    case.cutover("apply", &[]).expect_code(0);
    case.cutover("verify", &[]).expect_code(0);
    case.write("20240101000001_users.sql", "-- migrate:up\nCREATE TABLE users (id);\n");
    let refused = case.refused(&[], 2);
    assert!(refused.contains("does not hold this plan: `sql/20240101000001_users.up.sql` is another"), "{refused}");
    fs::remove_dir_all(case.path("shop")).unwrap();
    fs::create_dir(case.path("shop")).unwrap();
    fs::write(case.path("shop/notes"), "mine").unwrap();
    assert!(case.refused(&[], 2).contains("`plan.toml` is missing"));
}

#[test]
fn names_that_fit_two_tools_are_told_by_the_database_or_by_the_operator() {
    let tools = tools();
    let (_, case) = case(&tools[2]);
    let refused = case.import(&[]).expect_code(65).stderr;
    assert!(refused.contains("fit golang-migrate and sqlx"), "{refused}");
    assert!(refused.contains("`--from golang-migrate` or `--from sqlx`"), "{refused}");
    case.import(&["--from", "golang"]).expect_code(2);
    assert!(case.import(&["--from", "sqlx"]).expect_code(0).stdout.contains("3 migrations of sqlx"));
    for name in ["x.sql", "notes.txt"] {
        let nothing = Case::new(&[(name, String::new())], "");
        let refused = nothing.import(&[]).expect_code(65).stderr;
        assert!(refused.contains("nothing in `migrations` is named like a migration"), "{refused}");
    }
    let mixed = Case::new(&[("V1__a.sql", USERS.to_owned()), ("1_a.sql", USERS.to_owned())], "");
    assert!(mixed.import(&[]).expect_code(65).stderr.contains("fit refinery and sqlx"));
}

#[test]
fn a_history_that_is_broken_off_edited_or_of_other_files_is_refused_and_nothing_is_written() {
    let tools = tools();
    let at = |tool: usize, change: &str| {
        let (_, case) = case(&tools[tool]);
        case.ask(change);
        case
    };
    for (tool, change, says) in [
        (2, "UPDATE schema_migrations SET dirty = true", "version 2 is marked dirty"),
        (5, "UPDATE _sqlx_migrations SET success = false WHERE version = 2", "version 2 is marked as failed"),
        (5, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2", "`2_email.up.sql` is not as it was"),
        (4, "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1", "`V1__users.sql` is not as it was"),
        (
            0,
            "INSERT INTO schema_migrations VALUES ('20231231')",
            "has applied version 20231231, and the folder has no such",
        ),
        (0, "INSERT INTO schema_migrations VALUES ('later')", "holds the version `later`"),
        (
            0,
            "DELETE FROM schema_migrations WHERE version = '20240101000001'",
            "`20240101000001_users.sql` is not applied",
        ),
        (2, "UPDATE schema_migrations SET version = 5", "has applied version 5, and the folder has no such migration"),
    ] {
        let refused = at(tool, change).refused(&[], 100);
        assert!(refused.contains(says), "{refused}");
    }
    let (_, mut case) = case(&tools[0]);
    case.write("20240105000005_attach.sql", "-- migrate:up\nATTACH 'x.db' AS x;\n");
    assert!(case.refused(&[], 65).contains("`ATTACH 'x.db' AS x` cannot be in a step"));
    case = Case::new(&[("1_a.sql", USERS.to_owned()), ("01_b.sql", EMAIL.to_owned())], "");
    assert!(case.refused(&[], 65).contains("`01_b.sql` and `1_a.sql` are of one version, 1"));
    case = Case::new(&[("1_a.down.sql", NO_USERS.to_owned())], "");
    assert!(case.refused(&["--from", "sqlx"], 65).contains("`1_a.down.sql` has no file that it would undo"));
    case = Case::new(
        &[("1_a.sql", marked(USERS, ["-- +goose Up", "-- +goose Down"], NO_USERS)), ("2_b.go", String::new())],
        "",
    );
    assert!(case.refused(&[], 65).contains("`2_b.go` is a program: "));
}

#[test]
fn what_an_import_says() {
    let goose = |up: &str, down: &str| marked(up, ["-- +goose Up", "-- +goose Down"], down);
    let rebuild = "PRAGMA foreign_keys = OFF;\nBEGIN;\nCREATE TABLE n (id INTEGER PRIMARY KEY, name TEXT);\nINSERT INTO n SELECT id, name FROM users;\nDROP TABLE users;\nALTER TABLE n RENAME TO users;\nCOMMIT;\n";
    let files = [
        ("00001_users.sql", goose(USERS, NO_USERS)),
        ("00002_email.sql", goose(EMAIL, "-- SQLite could not drop a column then.\n")),
        ("00003_rebuild.sql", goose(rebuild, "SELECT 1;\n")),
        ("00004_tags.sql", goose("CREATE TABLE tags (a);\nCREATE INDEX i ON tags(a);\n", "DROP INDEX i;\n")),
        ("00005_later.sql", "-- +goose Up\n-- nothing yet\n".to_owned()),
    ];
    let case = Case::new(&files, &format!("{USERS}{EMAIL}CREATE INDEX by_hand ON users(name); {GOOSE}"));
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("import-goose", case.seen(&case.adopt(&[])));
        insta::assert_snapshot!("import-goose-plan", fs::read_to_string(case.path("shop/plan.toml")).unwrap());
        insta::assert_snapshot!("import-goose-status", case.seen(&case.cutover("status", &[])));
    });
    assert!(fs::read_to_string(case.path("shop/sql/00003_rebuild.up.sql")).unwrap().contains("/* BEGIN */;"));
    let without = Case::new(&[("V1__users.sql", USERS.to_owned())], "");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("import-without-a-database", without.seen(&without.import(&[])));
        insta::assert_snapshot!("import-without-a-table", without.seen(&without.adopt(&[])));
    });
}

#[test]
fn a_mark_that_asks_for_no_transaction_is_said_not_to_hold() {
    let up = "-- +goose NO TRANSACTION\n-- +goose Up";
    let case = Case::new(&[("1_a.sql", marked(USERS, [up, "-- +goose Down"], NO_USERS))], "");
    let said = case.import(&[]).expect_code(0).stdout;
    assert!(said.contains("in a transaction: `-- +goose NO TRANSACTION` in `1_a` does not hold"), "{said}");
    assert_eq!(case.document(&[])["steps"][0]["no-transaction"], "-- +goose NO TRANSACTION");
}

#[test]
fn the_help_names_the_tools_that_an_import_is_from() {
    let help = run(cutover().args(["import", "--help"])).expect_code(0).stdout;
    for (tool, ..) in tools() {
        assert!(help.contains(tool), "{tool}: {help}");
    }
}

#[test]
fn an_import_that_is_killed_is_completed_by_the_same_command() {
    let tools = tools();
    let mut killed = 0;
    for point in ["sqlite.commit", "sqlite.committed", "journal-append", "journal-appended"] {
        for passed in 0..4 {
            let (_, case) = case(&tools[0]);
            let mut command = cutover();
            command.current_dir(case.folder.path()).env("FAILPOINTS", format!("{point}={passed}*off->return"));
            let ran = run(command.args(["import", "migrations", "--out", "shop", "--database", "data/app.db"]));
            killed += usize::from(ran.code.is_none());
            let again = case.document(&[]);
            assert_eq!(again["database"]["table"], Value::Bool(true));
            let applied =
                "SELECT group_concat(step, ' ') FROM (SELECT step FROM cutover_ledger WHERE success ORDER BY 1)";
            assert_eq!(case.ask(applied), "20240101000001_users 20240102000002_email", "{point} {passed}");
            let status = case.cutover("status", &[]).expect_code(0).stdout;
            assert!(status.contains("2 of 3 steps done"), "{point} {passed}: {status}");
            case.cutover("apply", &[]).expect_code(0);
            case.cutover("verify", &[]).expect_code(0);
        }
    }
    assert!(killed >= 8, "only {killed} of the imports were killed");
}

//! `sqlite.script`: one transaction, nothing that leaves it, and a way back.

use cutover_core::{Applied, RestoreOptions, Reversal, Verdict};
use cutover_tests::{Conformance, Fixture, sqlite3};
use pollster::block_on;

use crate::support::World;

const HEAD: &str = r#"
name = "p"
[vars]
owner = "it's me"
least = 2
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "one"
layer = "storage"
"#;

fn plan(with: &str) -> String {
    format!("{HEAD}[[phase.step]]\nid = \"it\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = {with}\n")
}

fn restorable(with: &str) -> String {
    plan(with).replace(
        "[[phase.step]]",
        "[[phase.step]]\nid = \"before\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"app\"] }\n[[phase.step]]",
    )
}

const UP: &str = "CREATE TABLE tags(id INTEGER PRIMARY KEY, name TEXT, owner TEXT);
INSERT INTO tags(name, owner) SELECT body, :owner FROM notes WHERE id >= :least;
SELECT count(*) FROM tags;
CREATE TRIGGER keep BEFORE DELETE ON notes BEGIN INSERT INTO tags(name) VALUES (old.body); SELECT 1; END;";
const DOWN: &str = "DROP TRIGGER keep; DROP TABLE tags;";
const NOTES: &str =
    "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes VALUES (1, 'a'), (2, 'b'), (3, 'c')";

#[test]
fn scripts_keep_the_contract() {
    Conformance::new(plan(r#"{ up = "sql/up.sql", down = "sql/down.sql" }"#))
        .file("sql/up.sql", UP)
        .file("sql/down.sql", DOWN)
        .root(|root| {
            sqlite3(root.join("app.db"), NOTES);
        })
        .sabotage(|root| {
            sqlite3(root.join("app.db"), "DROP TRIGGER keep");
        })
        .foreign(
            |root| {
                sqlite3(root.join("app.db"), "INSERT INTO notes VALUES (4, 'd')");
            },
            |root| assert_eq!(sqlite3(root.join("app.db"), "SELECT count(*) FROM notes"), "4\n"),
        )
        .check();
}

#[test]
fn exports_keep_the_contract() {
    let plan = format!(
        "{HEAD}[[phase.step]]\nid = \"it\"\nuse = \"sqlite.export\"\ntarget = \"app\"\nwith = {{ into = \"out/app.sql\" }}\n"
    );
    Conformance::new(plan)
        .root(|root| {
            sqlite3(root.join("app.db"), NOTES);
        })
        .sabotage(|root| std::fs::write(root.join("out/app.sql"), "-- gone").unwrap())
        .no_foreign("it only reads the target")
        .leaves("out")
        .check();
}

#[test]
fn variables_are_bound_as_values_and_a_failing_statement_undoes_the_script() {
    let world = World::new(NOTES);
    let fixture =
        Fixture::new(plan(r#"{ up = "up.sql", down = "down.sql" }"#)).file("up.sql", UP).file("down.sql", DOWN);
    let bench = fixture.open(world.folder.path());
    let Applied::Changed(receipt) = bench.apply("it").unwrap() else { panic!("not applied") };
    assert_eq!(receipt.rows, Some(2));
    assert_eq!(world.sql("SELECT name, owner FROM tags"), "b|it's me\nc|it's me\n");

    let broken = "CREATE TABLE other(a);\nINSERT INTO other VALUES (1);\nCREATE INDEX i\n ON notes(archived, last_updated DESC);";
    let bench =
        Fixture::new(plan(r#"{ up = "x.sql", down = "x.sql" }"#)).file("x.sql", broken).open(world.folder.path());
    sqlite3(world.db(), "DELETE FROM cutover_ledger");
    let error = bench.apply("it").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`x.sql` line 3, `CREATE INDEX i ON notes(archived, last_updated DESC)`: no such column: archived"
    );
    assert_eq!(world.sql("SELECT count(*) FROM sqlite_master WHERE name = 'other'"), "0\n");
}

#[test]
fn a_statement_that_leaves_the_transaction_is_refused_with_its_line_and_reason() {
    let fixture =
        Fixture::new(plan(r#"{ up = "up.sql" }"#)).file("up.sql", "CREATE TABLE t(a);\n\nATTACH 'x.db' AS x;");
    let errors = fixture.try_compile().unwrap_err();
    let text = errors.to_string();
    assert!(text.contains("`up.sql` line 3: `ATTACH 'x.db' AS x` is refused: it reaches another database"), "{text}");
    let help = errors.diagnostics[0].help.as_deref().unwrap_or_default();
    assert!(help.contains("declare the other file as a target of its own (`[targets.NAME]`)"), "{help}");
}

#[test]
fn an_empty_script_is_refused_with_what_to_write_instead() {
    let told = |field: &str| {
        let files = plan(r#"{ up = "up.sql", down = "down.sql" }"#);
        let empty = |name: &str| if name == field { "-- later\n" } else { "CREATE TABLE t(a);" };
        let fixture = Fixture::new(files).file("up.sql", empty("up")).file("down.sql", empty("down"));
        let mut errors = fixture.try_compile().unwrap_err().diagnostics;
        let first = errors.remove(0);
        (first.message, first.help.unwrap_or_default())
    };
    let (message, help) = told("down");
    assert_eq!(message, "`down.sql` holds no statement");
    for way in ["write the statements that undo", "leave `down` out", "`one-way = true`", "`irreversible`"] {
        assert!(help.contains(way), "{way}: {help}");
    }
    let (message, help) = told("up");
    assert_eq!(message, "`up.sql` holds no statement");
    assert!(help.starts_with("write the statements that the step runs"), "{help}");
}

#[test]
fn restoring_a_script_without_a_way_down_takes_back_its_rows_and_counts_only_those_of_others() {
    let world = World::new(NOTES);
    let fixture = Fixture::new(restorable(r#"{ up = "up.sql" }"#))
        .file("up.sql", "INSERT INTO notes(body) VALUES ('ours'); UPDATE notes SET body = 'ours' WHERE id = 1;");
    let bench = fixture.open(world.folder.path());
    assert_eq!(bench.step("it").step.reversal(), Reversal::Restore("app".to_owned()));
    let target = bench.target("app");
    let cx = bench.cx("it");
    let manifest = block_on(target.snapshot(&cx, &world.folder.path().join("pre"))).unwrap();
    bench.apply("it").unwrap();
    assert_eq!(bench.verify("it").unwrap(), Verdict::Holds);
    assert!(bench.rollback("it", None).is_err());
    let options = RestoreOptions {
        aside: world.folder.path().join("aside"),
        accept_loss: false,
        undone: [("it".to_owned(), None)].into(),
    };
    world.sql("INSERT INTO notes VALUES (9, 'theirs')");
    let error = block_on(target.restore(&cx, &manifest, &options)).unwrap_err();
    assert!(
        error.to_string().contains("would lose rows that others wrote since the snapshot: 1 of `notes`"),
        "{error}"
    );
    world.sql("DELETE FROM notes WHERE id = 9");
    block_on(target.restore(&cx, &manifest, &options)).unwrap();
    assert_eq!(world.sql("SELECT group_concat(body) FROM notes"), "a,b,c\n");
    bench.rollback("it", None).unwrap();
    assert!(matches!(bench.apply("it").unwrap(), Applied::Changed(_)));
}

#[test]
fn a_script_that_leaves_a_temporary_object_is_refused_and_one_that_drops_it_is_not() {
    for (up, fails) in [
        ("CREATE TEMP TABLE notes AS SELECT * FROM main.notes;", true),
        ("CREATE TABLE temp.\"x\"(a);", true),
        ("CREATE TEMP TABLE x AS SELECT 1; DROP TABLE x;", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        sqlite3(dir.path().join("app.db"), NOTES);
        let fixture = Fixture::new(plan(r#"{ up = "up.sql", down = "down.sql" }"#))
            .file("up.sql", up)
            .file("down.sql", "SELECT 1;");
        let bench = fixture.open(dir.path());
        let applied = block_on(bench.step("it").step.apply(&bench.cx("it")));
        match applied {
            Err(error) => assert!(fails && error.to_string().contains("leaves temporary objects: table"), "{error}"),
            Ok(_) => assert!(!fails, "{up}"),
        }
    }
}

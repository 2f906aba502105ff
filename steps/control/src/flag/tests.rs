//! A flag changes nothing but itself, and is put back as it was.

use std::fs;
use std::path::Path;

use cutover_core::{Applied, Registry, Standing, StepDescriptor, TargetDescriptor};
use cutover_steps_files::DirTarget;
use cutover_steps_sqlite::SqliteTarget;
use cutover_tests::{Fixture, sqlite3};

use super::FlagSet;

fn registry() -> Registry {
    let of = ["cutover-steps-control", "0.1.0"];
    let targets = [TargetDescriptor::of::<SqliteTarget>(of[0], of[1]), TargetDescriptor::of::<DirTarget>(of[0], of[1])];
    Registry::of([StepDescriptor::of::<FlagSet>(of[0], of[1])], targets).unwrap()
}

fn plan(more: &str, with: &str) -> String {
    format!(
        "name = \"p\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n[[phase]]\nname = \"x\"\nlayer = \"engine\"\n\
         [[phase.step]]\nid = \"it\"\nuse = \"flag.set\"\n{more}\nwith = {{ {with} }}\n"
    )
}

const ROW: &str = "flag = \"review\", table = \"flags\"";

fn ask(root: &Path, sql: &str) -> String {
    sqlite3(root.join("app.db"), sql).trim().to_owned()
}

fn database(root: &Path) {
    let sql = "CREATE TABLE flags (name TEXT PRIMARY KEY, enabled INTEGER, said TEXT); \
               INSERT INTO flags VALUES ('review', 0, 'off'), ('plugins', 0, 'off');";
    ask(root, sql);
}

#[test]
fn what_somebody_else_set_since_stays() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    database(root);
    let bench = Fixture::with_registry(plan("target = \"app\"", &format!("{ROW}, value = 2")), &registry()).open(root);
    let Applied::Changed(receipt) = bench.apply("it").unwrap() else { panic!("nothing changed") };
    ask(root, "UPDATE flags SET enabled = 7 WHERE name = 'review'");
    bench.rollback("it", Some(&receipt)).unwrap();
    assert_eq!(ask(root, "SELECT enabled FROM flags WHERE name = 'review'"), "7");
}

#[test]
fn a_flag_without_a_row_or_with_two_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    database(root);
    let asked = |with: &str| Fixture::with_registry(plan("target = \"app\"", with), &registry()).open(root);
    let none = asked("flag = \"no\", table = \"flags\"");
    assert_eq!(none.inspect("it").unwrap(), Standing::Pending, "a step before may make it");
    assert!(
        none.apply("it").unwrap_err().to_string().contains("there is no `enabled` in `flags` where `name` is \"no\"")
    );
    drop(none);
    let two = asked("flag = \"off\", table = \"flags\", name-column = \"said\"");
    let Standing::Conflict(why) = two.inspect("it").unwrap() else { panic!("no conflict") };
    assert!(why.contains("2 rows of"), "{why}");
}

#[test]
fn a_flag_that_the_file_spells_otherwise_is_not_set_twice() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    database(root);
    fs::write(root.join("app.json"), "{ \"features\": { \"selfReview\": false } }").unwrap();
    let with = "flag = \"features.self_review\", file = \"app.json\"";
    let bench = Fixture::with_registry(plan("", with), &registry()).open(root);
    let Standing::Conflict(why) = bench.inspect("it").unwrap() else { panic!("no conflict") };
    assert!(why.contains("`selfReview` is there"), "{why}");
}

#[test]
fn mistakes_in_a_plan_are_told() {
    let told = |more: &str, with: &str| {
        Fixture::with_registry(plan(more, with), &registry()).try_compile().unwrap_err().to_string()
    };
    assert!(told("", "flag = \"a\"").contains("where the flag is is not said"));
    assert!(told("", "flag = \"a\", file = \"a.json\", table = \"t\"").contains("are both given"));
    assert!(told("", "flag = \"a\", table = \"t\"").contains("needs a `target` of kind `sqlite`"));
    assert!(told("", "flag = \"a\", file = \"a.ini\"").contains("the format of `a.ini` is not known"));
    assert!(told("", "flag = \"a..b\", file = \"a.json\"").contains("no path of a key"));
    assert!(told("", "flag = \"a\", value = [1], file = \"a.json\"").contains("a flag is `true`"));
}

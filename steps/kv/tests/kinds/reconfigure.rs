//! The step keeps the contract, changes nothing but the options, and puts the file back byte for byte.

use std::fs;
use std::path::Path;

use cutover_core::{Applied, Standing};
use cutover_tests::{Conformance, Fixture};

const SET: &str = "{ NumCompactors = 2, NumLevelZeroTables = 3, NumMemtables = 2, ValueLogFileSize = 268435456 }";
const CONFIG: &str = "{\n    \"name\" : \"phl\",\n    \"storage\": { \"badger\": { \"NumCompactors\": 4, \"BlockSize\": 4096 }, \"z\": 1.50 }\n}";

fn plan(file: &str, at: &str, set: &str) -> String {
    format!(
        "name = \"p\"\n[[phase]]\nname = \"x\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"it\"\nuse = \"kv.reconfigure\"\n\
         with = {{ file = \"{file}\", {at} set = {set} }}\n"
    )
}

fn write(root: &Path, text: &str) {
    fs::write(root.join("c.json"), text).unwrap();
}

pub(super) fn contract() -> Conformance {
    Conformance::new(plan("c.json", "at = \"storage.badger\",", SET))
        .root(|root| write(root, CONFIG))
        .sabotage(|root| write(root, &CONFIG.replace('4', "8")))
        .foreign(
            |root| fs::write(root.join("other.json"), "{}").unwrap(),
            |root| assert_eq!(fs::read_to_string(root.join("other.json")).unwrap(), "{}"),
        )
}

#[test]
fn nothing_but_the_options_changes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, CONFIG);
    let text = plan("c.json", "at = \"storage.badger\",", SET);
    let bench = Fixture::new(text).open(root);
    let Applied::Changed(receipt) = bench.apply("it").unwrap() else { panic!("nothing changed") };
    assert_eq!(
        fs::read_to_string(root.join("c.json")).unwrap(),
        "{\n    \"name\": \"phl\",\n    \"storage\": {\n        \"badger\": {\n            \"NumCompactors\": 2,\n            \
         \"BlockSize\": 4096,\n            \"NumLevelZeroTables\": 3,\n            \"NumMemtables\": 2,\n            \
         \"ValueLogFileSize\": 268435456\n        },\n        \"z\": 1.50\n    }\n}\n"
    );
    bench.rollback("it", Some(&receipt)).unwrap();
    assert_eq!(fs::read_to_string(root.join("c.json")).unwrap(), CONFIG);
}

#[test]
fn an_option_that_the_file_spells_otherwise_is_not_set_twice() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("c.toml"), "[badger]\nnum_compactors = 4\n").unwrap();
    let bench = Fixture::new(plan("c.toml", "at = \"badger\",", SET)).open(root);
    let Standing::Conflict(why) = bench.inspect("it").unwrap() else { panic!("no conflict") };
    assert!(why.contains("`num_compactors` is there, and is the same as `badger.NumCompactors`"), "{why}");
    assert!(bench.apply("it").is_err());
}

#[test]
fn mistakes_in_a_plan_are_told() {
    let told =
        |file: &str, at: &str, set: &str| Fixture::new(plan(file, at, set)).try_compile().unwrap_err().to_string();
    assert!(told("c.json", "", "{}").contains("no option is named"));
    assert!(told("c.json", "", "{ NumCompactors = 1 }").contains("`NumCompactors` cannot be 1"));
    assert!(told("c.json", "", "{ NumCompactor = 2 }").contains("Badger has no option `NumCompactor`"));
    assert!(told("c.json", "", "{ NumCompactors = 2, num_compactors = 2 }").contains("are one option"));
    assert!(
        told("c.json", "", "{ NumLevelZeroTables = 15, NumLevelZeroTablesStall = 10 }").contains("would stall at 10")
    );
    assert!(told("c.json", "at = \"a..b\",", SET).contains("no path of a key"));
    assert!(told("c.ini", "", SET).contains("the format of `c.ini` is not known"));
    assert!(told("../c.json", "", SET).contains("is not inside the folder"));
}

use std::collections::BTreeMap;
use std::fs;

use cutover_core::plan::{CompileInput, FolderFiles, compile};
use tempfile::TempDir;

use super::*;

fn checkout() -> CutoverSource {
    CutoverSource::built_from().unwrap()
}

#[test]
fn a_step_crate_bears_its_own_name_everywhere() {
    let dir = TempDir::new().unwrap();
    let files = step_crate("zoo-keeper", dir.path(), &checkout()).unwrap();
    let mut all = String::new();
    for file in files.iter().filter(|file| !file.ends_with("Cargo.lock")) {
        all.push_str(&fs::read_to_string(dir.path().join(file)).unwrap());
    }
    for left in ["acme", CHECKOUT] {
        assert!(!all.contains(left), "`{left}` is left in the generated files");
    }
    for word in ["use zoo_keeper as _;", "\"zoo-keeper.touch\"", "name = \"zoo-keeper\""] {
        assert!(all.contains(word), "`{word}` is missing");
    }
    let manifest: toml::Table = fs::read_to_string(dir.path().join("Cargo.toml")).unwrap().parse().unwrap();
    let core = manifest["dependencies"]["cutover-core"]["path"].as_str().unwrap();
    assert!(Path::new(core).join("Cargo.toml").is_file(), "{core}");
}

#[test]
fn every_template_is_written_and_every_template_file_is_used() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/new/template");
    let mut on_disk = Vec::new();
    let mut folders = vec![folder];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                on_disk.push(fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut used: Vec<_> = STEP_CRATE.iter().chain(PLAN).map(|(_, text)| (*text).to_owned()).collect();
    on_disk.sort();
    used.sort();
    assert_eq!(on_disk, used);
}

#[test]
fn a_new_plan_compiles() {
    let dir = TempDir::new().unwrap();
    plan("notes", dir.path(), "{}").unwrap();
    let text = fs::read_to_string(dir.path().join("plan.toml")).unwrap();
    let plan = compile(CompileInput {
        file: "plan.toml",
        text: &text,
        files: &FolderFiles::new(dir.path().to_owned()),
        registry: &crate::registry().unwrap(),
        vars: &BTreeMap::new(),
        env: &|_| None,
    });
    assert_eq!(plan.unwrap_or_else(|e| panic!("{e}")).name, "notes");
}

#[test]
fn nothing_is_written_into_a_folder_that_holds_something() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("mine"), "mine").unwrap();
    let refused = step_crate("zoo", dir.path(), &checkout()).unwrap_err();
    assert!(refused.to_string().ends_with("is not empty"), "{refused}");
    assert!(plan("zoo", &dir.path().join("mine"), "{}").unwrap_err().to_string().ends_with("is not a folder"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn names_that_cargo_or_rust_would_stumble_over_are_refused() {
    let dir = TempDir::new().unwrap();
    for (bad, why) in [
        ("", "it is empty"),
        ("Zoo", "it begins with `Z`"),
        ("9zoo", "it begins with `9`"),
        ("../zoo", "it begins with `.`"),
        ("zoo keeper", "it has a ` `"),
        ("zöo", "it has a `ö`"),
        ("match", "it is a word of Rust"),
        ("core", "it is a word of Rust"),
        ("cutover_core", "depends on one of that name"),
        (&"z".repeat(65), "longer than 64"),
    ] {
        let refused = step_crate(bad, &dir.path().join("new"), &checkout()).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_folder_that_is_no_checkout_is_refused_with_what_it_lacks() {
    let dir = TempDir::new().unwrap();
    let refused = CutoverSource::at(dir.path()).unwrap_err();
    assert!(refused.to_string().contains("it has no `core/Cargo.toml`"), "{refused}");
    assert!(refused.help().contains("--cutover DIR"));
}

/// The blocks of code in `text` that stand under a file's name in bold, put together by file in their order.
fn files_shown(text: &str) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut rest = text;
    while let Some(at) = rest.find("\n**") {
        rest = &rest[at + 3..];
        let Some((name, after)) = rest.split_once("**\n\n```") else { continue };
        if name.contains(['\n', ' ']) {
            continue;
        }
        let (_, after) = after.split_once('\n').unwrap();
        let (block, after) = after.split_once("```\n").unwrap();
        let file = files.entry(name.to_owned()).or_default();
        if !file.is_empty() {
            file.push('\n');
        }
        file.push_str(block);
        rest = after;
    }
    files
}

#[test]
fn contributing_shows_exactly_the_code_that_is_generated() {
    let page = fs::read_to_string(checkout().folder().join("CONTRIBUTING.md")).unwrap();
    let shown = files_shown(&page);
    let not_code = ["README.md", ".gitignore"];
    let generated: BTreeMap<_, _> = STEP_CRATE
        .iter()
        .filter(|(path, _)| !not_code.contains(path))
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    for (path, text) in &generated {
        assert_eq!(
            shown.get(path),
            Some(text),
            "{path} in CONTRIBUTING.md is not what `cutover new step-crate` writes"
        );
    }
    assert_eq!(shown.len(), generated.len(), "{:?}", shown.keys());
}

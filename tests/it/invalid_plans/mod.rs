//! Plans with mistakes, one file each, and what a person is told about them.
//!
//! To add a case, put `NAME.toml` here, run the test with `INSTA_UPDATE=always`, and read `snapshots/NAME.snap` as
//! its author would: does it say what is wrong, where, and what to do next?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::Registry;
use cutover_core::plan::{CODES, CompileErrors, CompileInput, FolderFiles, compile};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("it/invalid_plans")
}

/// Names of the files with that ending, sorted.
fn names(folder: &Path, ending: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files.filter_map(|file| file.strip_suffix(ending).map(str::to_owned)).collect()
}

fn errors(name: &str, registry: &Registry) -> CompileErrors {
    let file = format!("{name}.toml");
    let text = fs::read_to_string(folder().join(&file)).unwrap();
    let input = CompileInput {
        file: &file,
        text: &text,
        files: &FolderFiles::new(folder()),
        registry,
        vars: &BTreeMap::new(),
        env: &|_| None,
    };
    compile(input).expect_err(name)
}

#[test]
fn every_invalid_plan_is_refused_with_its_diagnostics() {
    let registry = cutover_runner::registry().unwrap();
    let cases = names(&folder(), ".toml");
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for name in &cases {
            insta::assert_snapshot!(name.as_str(), cutover_runner::render(&errors(name, &registry), false));
        }
    });
    assert_eq!(names(&folder().join("snapshots"), ".snap"), cases, "each snapshot belongs to a plan");
}

#[test]
fn every_code_of_the_compiler_is_shown_by_an_invalid_plan() {
    let registry = cutover_runner::registry().unwrap();
    let plans = names(&folder(), ".toml");
    let shown: BTreeSet<&str> =
        plans.iter().flat_map(|name| errors(name, &registry).diagnostics).map(|d| d.code).collect();
    // A plan of 8 MiB and one of 200 mistakes are made by the tests of the compiler, not kept here; one that cannot be
    // read is in `looking`.
    let elsewhere = ["P102", "P104", "P105"];
    let missing: Vec<_> = CODES.iter().filter(|(c, _)| !shown.contains(c) && !elsewhere.contains(c)).collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

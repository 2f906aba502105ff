//! What is linked into the program: every step crate, every kind once, every example a plan that compiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cutover_core::plan::{CompileInput, PlanFileError, PlanFiles, compile};
use cutover_core::{Registry, RegistryError};

/// Every file that an example names, with something fitting in it.
#[derive(Debug)]
struct AnyFile;

impl PlanFiles for AnyFile {
    fn read(&self, path: &Path) -> Result<Arc<[u8]>, PlanFileError> {
        let text = match path.extension().and_then(|e| e.to_str()) {
            Some("json") => "[{\"id\": 1}]",
            Some("toml") => {
                "[[table]]\nname = 't'\nold = 'o'\nnew = 'n'\nkey = [{ old = 'id', new = 'id' }]\n\
                 [table.forth]\na = 'old.a'\n[table.back]\na = 'new.a'\n"
            }
            _ => "CREATE TABLE t (a);",
        };
        Ok(text.as_bytes().into())
    }
}

#[test]
fn every_crate_under_steps_is_linked_into_the_program() {
    let registry = cutover_runner::registry().unwrap();
    let linked: BTreeSet<&str> = registry.steps().map(|s| s.krate).chain(registry.targets().map(|t| t.krate)).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("steps");
    let mut crates = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        if !registers(&folder.join("src")) {
            continue;
        }
        assert!(linked.contains(format!("cutover-steps-{name}").as_str()), "steps/{name} is not named in builtin.rs");
        crates += 1;
    }
    assert!(crates >= 3, "only {crates} crates under steps/");
}

/// Whether a source file below `folder` registers a kind: a crate that is only begun has none yet.
fn registers(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => registers(&path),
            false if path.extension().is_none_or(|end| end != "rs") => false,
            false => fs::read_to_string(&path).unwrap().lines().any(|line| line.starts_with("register_")),
        }
    })
}

#[test]
fn an_empty_registry_is_an_error_and_so_is_a_kind_that_two_crates_register() {
    assert_eq!(Registry::of([], []).unwrap_err(), RegistryError::Empty);
    let script = *cutover_runner::registry().unwrap().step("sqlite.script").unwrap();
    let other = cutover_core::StepDescriptor { krate: "acme-steps", ..script };
    let message = Registry::of([script, other], []).unwrap_err().to_string();
    assert_eq!(message, "the kind `sqlite.script` is registered twice: by `acme-steps` and by `cutover-steps-sqlite`");
}

#[test]
fn every_example_compiles() {
    let registry = cutover_runner::registry().unwrap();
    for step in registry.steps() {
        let layer = step.layers[0];
        let mut targets = String::new();
        for name in ["main", "app", "tier1"] {
            targets.push_str(&format!("[targets.{name}]\nkind = \"sqlite\"\npath = \"{name}.db\"\n"));
        }
        targets.push_str("[targets.memory]\nkind = \"fjall\"\npath = \"memory\"\n");
        let text = format!(
            "name = \"example\"\n{targets}[[phase]]\nname = \"only\"\nlayer = \"{layer}\"\n[[phase.step]]\n{}\n\
             [[phase.step]]\nid = \"copies\"\nuse = \"target.snapshot\"\nwith = {{ targets = [\"main\"], into = \"b\" }}\n",
            step.example
        );
        let input = CompileInput {
            file: step.kind,
            text: &text,
            files: &AnyFile,
            registry: &registry,
            vars: &BTreeMap::new(),
            env: &|_| None,
        };
        let plan = compile(input).unwrap_or_else(|e| panic!("the example of {}: {e}\n{text}", step.kind));
        assert!(plan.phases[0].steps.iter().any(|s| s.kind == step.kind), "{text}");
    }
}

//! What a fuzzer feeds, one function a target: bytes in, a panic when a promise is broken. Built for tests alone.

use std::collections::BTreeMap;

use cutover_core::journal::{Entry, PlanState, Record};
use cutover_core::plan::{CompileInput, NoFiles, compile};
use jiff::Timestamp;

use crate::journal::Journal;

/// What every SQLite database begins with.
const DATABASE: &[u8] = b"SQLite format 3\0";

/// Any bytes as a plan: the compiler ends, each mistake lies inside the text, and every form of them can be written.
pub fn compile_plan(bytes: &[u8]) {
    let (Ok(text), Ok(registry)) = (std::str::from_utf8(bytes), crate::registry()) else { return };
    let input = CompileInput {
        file: "plan.toml",
        text,
        files: &NoFiles,
        registry: &registry,
        vars: &BTreeMap::new(),
        env: &|name| (name == "X").then(|| "secret".to_owned()),
    };
    let Err(errors) = compile(input) else { return };
    assert!(!errors.diagnostics.is_empty(), "refused without a reason");
    for span in errors.diagnostics.iter().filter_map(|d| d.span.clone()) {
        assert!(errors.source.get(span.clone()).is_some(), "{span:?} cuts a character or lies outside");
    }
    let rendered = [crate::render(&errors, false), crate::github(&errors), crate::sarif(&errors).to_string()];
    assert!(rendered.iter().all(|text| !text.is_empty()), "a form of the mistakes is empty");
}

/// Any bytes as a journal: a database file is opened by readers and then by writers; anything else is taken for the
/// bodies of records, a line each, and folded. What is read is what would be written, and nobody panics.
pub fn read_journal(bytes: &[u8]) {
    if bytes.starts_with(DATABASE) {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let Ok(state) = folder.as_ref().map(tempfile::TempDir::path) else { return };
        if std::fs::write(Journal::path_in(state), bytes).is_err() {
            return;
        }
        for open in [|state| Journal::open_read(state), |state| Journal::open_write(state).map(Some)] {
            if let Ok(Some(journal)) = open(state)
                && let Ok(found) = journal.state("cortex-2.0")
            {
                found.unwinding_order();
            }
        }
        return;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut state = PlanState::default();
    for (line, seq) in text.lines().zip(1..) {
        let Ok(record) = serde_json::from_str::<Record>(line) else { continue };
        let again = serde_json::to_string(&record).ok().and_then(|text| serde_json::from_str::<Record>(&text).ok());
        assert_eq!(again.as_ref(), Some(&record), "written and read, it is another one");
        let (run, plan) = (String::from("r"), String::from("p"));
        // An illegal one changes nothing.
        let _ = state.push(&Entry { seq, at: Timestamp::UNIX_EPOCH, run, epoch: 1, plan, record });
    }
    for step in state.unwinding_order() {
        assert!(state.state_of(&step).may_have_effects(), "`{step}` would be undone and never was done");
    }
}

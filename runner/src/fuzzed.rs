//! What a fuzzer feeds, one function a target: bytes in, a panic when a promise is broken. Built for tests alone.

use std::collections::BTreeMap;

use cutover_core::plan::{CompileInput, NoFiles, compile};

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

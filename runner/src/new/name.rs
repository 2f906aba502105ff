//! Which names a crate and a plan may have.

use super::NewError;

/// Words of Rust that no crate can be named by (cargo refuses them, or the crate could not be used).
const RUST_WORDS: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum extern \
    false final fn for gen if impl in let loop macro match mod move mut override priv proc-macro \
    proc_macro pub ref return self static std struct super test trait true try type typeof unsafe \
    unsized use virtual where while yield";

/// Crates that a step crate depends on: two crates of one name in one graph are trouble.
const TAKEN: &[&str] = &["cutover-core", "cutover-runner", "cutover-tests", "schemars", "serde"];

/// The longest name that crates.io takes.
const LONGEST: usize = 64;

/// Whether a crate may be named so.
pub(super) fn check_crate(name: &str) -> Result<(), NewError> {
    let why = if let Some(why) = misspelt(name) {
        why
    } else if RUST_WORDS.split(' ').any(|word| word == name) {
        "it is a word of Rust".to_owned()
    } else if TAKEN.contains(&name.replace('_', "-").as_str()) {
        "the crate itself depends on one of that name".to_owned()
    } else {
        return Ok(());
    };
    Err(NewError::Name { name: name.to_owned(), what: "a crate", why })
}

/// Whether a plan may be named so.
pub(super) fn check_plan(name: &str) -> Result<(), NewError> {
    match misspelt(name) {
        Some(why) => Err(NewError::Name { name: name.to_owned(), what: "a plan", why }),
        None => Ok(()),
    }
}

fn misspelt(name: &str) -> Option<String> {
    let Some(first) = name.chars().next() else { return Some("it is empty".to_owned()) };
    if !first.is_ascii_lowercase() {
        return Some(format!("it begins with `{first}`"));
    }
    if let Some(wrong) = name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))) {
        return Some(format!("it has a `{wrong}`"));
    }
    (name.len() > LONGEST).then(|| format!("it is longer than {LONGEST} characters"))
}

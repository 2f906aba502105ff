//! The brains that are refused: which file, what is wrong with it, what to do, and nothing changed.

use super::brain::Brain;

/// Applies, expects `code` and every one of `words` in what is said, and no file changed.
#[track_caller]
fn refused(brain: &Brain, code: i32, words: &[&str]) {
    let before = brain.files();
    let ran = brain.cutover("apply", &[]).expect_code(code);
    let said = ran.stdout + &ran.stderr;
    for word in words {
        assert!(said.contains(word), "`{word}` is not said:\n{said}");
    }
    before.assert_same(&brain.files(), "after a refusal");
}

#[test]
fn a_schema_that_the_plan_does_not_know_is_refused() {
    refused(&Brain::of("c"), 100, &["conversations.db", "known-tier1", "tier1_conversations", "--bind tier1=PATH"]);
    refused(&Brain::of("d"), 100, &["conversations.db", "known-tier1", "patterns_fts", "--bind tier1=PATH"]);
}

#[test]
fn an_encrypted_tier_is_refused() {
    refused(&Brain::of("a").encrypted(), 66, &["conversations.db", "encrypted", "decrypt it first"]);
}

#[test]
fn a_corrupt_tier_is_refused() {
    refused(&Brain::of("a").corrupt(), 66, &["conversations.db", "is corrupt", "put a good copy back"]);
}

#[test]
fn a_read_only_tier_is_refused() {
    refused(&Brain::of("a").read_only(), 66, &["conversations.db", "read-only", "make it writable"]);
}

#[test]
fn a_table_of_another_tool_with_the_name_of_the_ledger_is_refused() {
    let brain = Brain::of("a");
    brain.write(1, "CREATE TABLE migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)");
    refused(&brain, 100, &["`migrations`", "is not a ledger of Cutover", "ledger = "]);
}

//! Any bytes as a journal. The function is the runner's, so that a plain test can feed it the corpus.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cutover_runner::fuzzed::read_journal(bytes));

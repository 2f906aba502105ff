//! Any bytes as a manifest of a Badger directory. The function is the crate's, so that a plain test can feed it the corpus.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cutover_steps_kv::fuzzed::read_manifest(bytes));

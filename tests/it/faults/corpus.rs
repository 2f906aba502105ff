//! The corpus of the fuzz targets, and thousands of changes to it, without a fuzzer: what was found stays found.

use std::fs;
use std::path::{Path, PathBuf};

use super::choice::Choice;
use super::failure::Failure;
use super::tally::Tally;

/// Changed inputs for each file of a corpus.
const CHANGES: usize = 40;

/// Pieces that mean something to TOML, SQL, paths and protobuf.
const PIECES: &[&[u8]] = &[
    b"[",
    b"]]",
    b"{",
    b"\"",
    b"'''",
    b"=",
    b".",
    b"\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"${vars.x}",
    b"${env.X}",
    b"../",
    b"--",
    b";",
    b"1e999",
    b"nan",
    b"0x",
    b"9999999999999999999",
    b"\x0a\x01",
    b"\x80\x80\x80\x80\x08",
    b"\0\0\0\0\0\0\0",
    b"[[phase]]\n",
    b"needs = [\"s\"]\n",
    "\u{202e}é🗄".as_bytes(),
];

fn changed(bytes: &[u8], name: &str, choice: &Choice) -> Vec<u8> {
    let draw = |what: &str, limit: usize| choice.draw(&format!("{name}/{what}"), limit.max(1));
    let mut bytes = bytes.to_vec();
    for turn in 0..=draw("turns", 4) {
        let at = draw(&format!("at{turn}"), bytes.len() + 1);
        let end = (at + draw(&format!("cut{turn}"), 12)).min(bytes.len());
        let piece = PIECES[draw(&format!("piece{turn}"), PIECES.len())];
        match draw(&format!("how{turn}"), 3) {
            0 => drop(bytes.splice(at..end, piece.iter().copied())),
            1 => drop(bytes.drain(at..end)),
            _ => {
                let copy = bytes[at..].to_vec();
                bytes.extend(copy);
            }
        }
    }
    bytes
}

#[test]
fn no_input_of_the_corpus_and_no_change_of_one_breaks_the_plan_compiler() {
    let mut files = corpus("compile_plan");
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../plans/cortex-2.0/plan.toml"));
    assert!(files.len() > 30, "only {} inputs", files.len());
    feed("corpus", &files, cutover_runner::fuzzed::compile_plan, "the corpus of compile_plan, and changes of it");
}

#[test]
fn no_input_of_the_corpus_and_no_change_of_one_breaks_the_journal_reader() {
    let files = corpus("read_journal");
    assert!(files.len() > 3, "only {} inputs", files.len());
    feed("journal", &files, cutover_runner::fuzzed::read_journal, "the corpus of read_journal, and changes of it");
}

#[test]
fn no_input_of_the_corpus_and_no_change_of_one_breaks_the_backup_reader() {
    let files = corpus("read_backup");
    assert!(files.len() > 3, "only {} inputs", files.len());
    feed("backup", &files, cutover_steps_kv::fuzzed::read_backup, "the corpus of read_backup, and changes of it");
}

#[test]
fn no_input_of_the_corpus_and_no_change_of_one_breaks_the_reader_of_a_badger_table() {
    let files = corpus("read_table");
    assert!(files.len() > 3, "only {} inputs", files.len());
    feed("table", &files, cutover_steps_kv::fuzzed::read_table, "the corpus of read_table, and changes of it");
}

#[test]
fn no_input_of_the_corpus_and_no_change_of_one_breaks_the_reader_of_a_badger_manifest() {
    let files = corpus("read_manifest");
    assert!(files.len() > 3, "only {} inputs", files.len());
    feed("manifest", &files, cutover_steps_kv::fuzzed::read_manifest, "the corpus of read_manifest, and changes of it");
}

#[test]
fn no_input_of_the_corpus_and_no_change_of_one_breaks_the_reader_of_a_badger_log() {
    let files = corpus("read_log");
    assert!(files.len() > 3, "only {} inputs", files.len());
    feed("log", &files, cutover_steps_kv::fuzzed::read_log, "the corpus of read_log, and changes of it");
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn feed(part: &str, files: &[PathBuf], target: fn(&[u8]), what: &str) {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    for file in files {
        let bytes = fs::read(file).unwrap();
        for n in 0..=CHANGES {
            let name = format!("{part}/{}/{n}", file.file_stem().unwrap().to_string_lossy());
            if !choice.allows(&name) {
                continue;
            }
            let input = if n == 0 { bytes.clone() } else { changed(&bytes, &name, &choice) };
            tally.faults += 1;
            tally.ways_out += 1;
            if let Err(cause) = std::panic::catch_unwind(|| target(&input)) {
                let why = cause.downcast_ref::<String>().cloned().unwrap_or_default();
                let trail = String::from_utf8_lossy(&input).into_owned();
                tally.failures.push(Failure { name, why, trail });
            }
        }
    }
    tally.end("J", what, &choice);
}

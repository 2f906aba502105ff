//! A byte that is another one, and a file that ends early: an error, or nothing was lost.

use std::fs;

use cutover_tests::copy_folder;

use super::fixtures::{expected, folder, options};
use super::*;

const FIXTURES: [&str; 4] = ["v3-plain", "v4-snappy", "v4-zstd-encrypted", "v4-crashed"];

/// What comes of a directory: its records, or the error.
fn read(folder: &Path, options: &BadgerOptions) -> Result<Vec<Record>, KvError> {
    BadgerDir::open(folder, options)?.scan(0)?.collect()
}

/// Nothing was lost; of a log that was never closed, no more than the last transactions.
#[track_caller]
fn assert_whole(records: &[Record], expected: &[Record], log: bool, what: &str) {
    let last = records.iter().map(|r| r.version).max().unwrap_or(0);
    let until: Vec<_> = expected.iter().filter(|r| !log || r.version <= last).cloned().collect();
    assert!(records == until, "{what}: {} records instead of {}", records.len(), until.len());
}

/// Changes each file of each fixture in many places, one at a time.
fn each(change: impl Fn(&[u8], usize) -> Option<Vec<u8>>, places: usize) {
    let mut errors = 0;
    for name in FIXTURES {
        let scratch = tempfile::tempdir().unwrap();
        let copy = scratch.path().join(name);
        copy_folder(&folder(name), &copy);
        fs::remove_file(copy.join("records.jsonl")).unwrap();
        let (options, expected) = (options(name), expected(name));
        let mut files: Vec<_> = fs::read_dir(&copy).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|file| !file.ends_with("LOCK")) {
            let whole = fs::read(file).unwrap();
            let stride = (whole.len() / places).max(1);
            for at in (0..whole.len()).step_by(stride) {
                let Some(changed) = change(&whole, at) else { continue };
                fs::write(file, changed).unwrap();
                let log = file.extension().is_some_and(|e| e == "mem");
                match read(&copy, &options) {
                    Ok(records) => assert_whole(&records, &expected, log, &format!("{} at {at}", file.display())),
                    Err(error) => {
                        assert!(error.path.starts_with(&copy), "{error}");
                        errors += 1;
                    }
                }
            }
            fs::write(file, whole).unwrap();
        }
        assert_same(&read(&copy, &options).unwrap(), &expected);
    }
    assert!(errors > places, "only {errors} errors");
}

#[test]
fn a_changed_byte_is_an_error_or_takes_nothing_away() {
    let flip = |bit: u8| {
        move |whole: &[u8], at: usize| {
            let mut changed = whole.to_vec();
            changed[at] ^= bit;
            Some(changed)
        }
    };
    each(flip(0x01), 60);
    each(flip(0x80), 40);
}

#[test]
fn a_file_that_ends_early_is_an_error_or_loses_what_was_never_finished() {
    each(|whole, at| Some(whole[..at].to_vec()), 60);
}

#[test]
fn what_damage_is_said_to_be_names_the_file_and_the_byte() {
    let scratch = tempfile::tempdir().unwrap();
    let copy = scratch.path().join("db");
    copy_folder(&folder("v3-plain"), &copy);
    let table = copy.join("000001.sst");
    let mut bytes = fs::read(&table).unwrap();
    bytes[100] ^= 1;
    fs::write(&table, &bytes).unwrap();
    let error = read(&copy, &BadgerOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` at byte 0: the checksum of a block does not match", table.display()));
    fs::remove_file(&table).unwrap();
    let error = read(&copy, &BadgerOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}`: there is no such file", table.display()));
}

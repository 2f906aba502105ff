//! Directories of Badger 3 and 4 (fixtures/README.md).

use std::path::PathBuf;

use super::*;
use crate::Version;
use crate::badger::Compression;

pub(super) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/badger/tests/fixtures").join(name)
}

pub(super) fn expected(name: &str) -> Vec<Record> {
    theirs(BadgerRecord::read(&std::fs::read_to_string(folder(name).join("records.jsonl")).unwrap()))
}

/// The fixtures, and how they are opened.
pub(super) fn options(name: &str) -> BadgerOptions {
    match name {
        "v4-zstd-encrypted" => BadgerOptions { key: key(24), replay: false },
        "v4-crashed" => BadgerOptions { key: key(32), replay: true },
        _ => BadgerOptions::default(),
    }
}

#[test]
fn directories_of_badger_3_and_4_give_what_badger_finds() {
    for (name, compression) in [
        ("v3-plain", Some(Compression::None)),
        ("v4-snappy", Some(Compression::Snappy)),
        ("v4-zstd-encrypted", Some(Compression::Zstd)),
        ("v4-crashed", None),
    ] {
        let directory = BadgerDir::open(&folder(name), &options(name)).unwrap();
        assert_eq!(directory.version(), Version::V3);
        assert_eq!(directory.tables().map(|(_, how)| how).collect::<Vec<_>>(), Vec::from_iter(compression), "{name}");
        let expected = expected(name);
        assert_eq!(expected.len(), 140);
        assert_same(&all(&directory), &expected);
        assert_eq!(directory.remarks(), Vec::<String>::new());
    }
    let closed = BadgerOptions { replay: false, ..options("v4-crashed") };
    let refused = BadgerDir::open(&folder("v4-crashed"), &closed).unwrap_err();
    assert_eq!(refused.kind.to_string(), "the database was not closed: `LOCK` is left by process 12345");
}

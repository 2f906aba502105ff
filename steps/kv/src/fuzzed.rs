//! What a fuzzer feeds, one function a target: bytes in, a panic when a promise is broken. Built for tests alone.

use std::io::BufReader;
use std::path::Path;

pub use crate::badger::fuzzed::{read_log, read_manifest, read_table};

use crate::backup::{BackupReader, BackupWriter, Limits};
use crate::error::KvError;
use crate::record::Record;

/// Any bytes as a backup: the reader ends, says where what is wrong lies, reads the same whatever its buffer is, and what
/// it read can be written and read again.
pub fn read_backup(bytes: &[u8]) {
    let (records, wrong) = read(bytes, 1 << 16);
    let (again, wrong_again) = read(bytes, 7);
    assert_eq!(records, again, "the records depend on the buffer");
    let told = |wrong: &Option<KvError>| wrong.as_ref().map(ToString::to_string);
    assert_eq!(told(&wrong), told(&wrong_again), "the error depends on the buffer");
    if let Some(error) = wrong {
        assert!(
            error.offset.is_some_and(|at| at <= bytes.len() as u64),
            "{error} lies outside of {} bytes",
            bytes.len()
        );
    }

    let mut sorted = records;
    sorted.sort_by(Record::order);
    sorted.dedup_by(|a, b| a.order(b).is_eq());
    let mut writer = BackupWriter::new(Vec::new(), Path::new("written"));
    sorted.iter().for_each(|record| writer.push(record).unwrap_or_else(|error| panic!("{error}")));
    let (written, sidecar) = writer.finish(0).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(sidecar.bytes, written.len() as u64);
    assert_eq!(read(&written, 1 << 16).0, sorted, "written and read, they are other ones");
}

fn read(bytes: &[u8], buffer: usize) -> (Vec<Record>, Option<KvError>) {
    let limits = Limits { frame: 1 << 20, record: 1 << 20 };
    let reader = BackupReader::new(BufReader::with_capacity(buffer, bytes), Path::new("fed")).with_limits(limits);
    let mut records = Vec::new();
    for found in reader {
        match found {
            Ok(record) => records.push(record),
            Err(error) => return (records, Some(error)),
        }
    }
    (records, None)
}

//! Backups written and read, beside prost as another opinion on the messages; what is damaged is told with its byte.

use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;

use proptest::prelude::*;
use prost::Message;

use super::file::beside_each_other;
use super::*;
use crate::error::{KvError, KvErrorKind};
use crate::record::Meta;
use crate::store::{Part, Records};

/// `KVList`, as `badgerpb4.proto` has it.
#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    kv: Vec<Kv>,
    #[prost(uint64, tag = "10")]
    alloc_ref: u64,
}

/// `KV`, as `badgerpb4.proto` has it, and a field of a Badger that is to come.
#[derive(Clone, PartialEq, Message)]
struct Kv {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    user_meta: Vec<u8>,
    #[prost(uint64, tag = "4")]
    version: u64,
    #[prost(uint64, tag = "5")]
    expires_at: u64,
    #[prost(bytes = "vec", tag = "6")]
    meta: Vec<u8>,
    #[prost(uint32, tag = "10")]
    stream_id: u32,
    #[prost(bool, tag = "11")]
    stream_done: bool,
    #[prost(fixed64, tag = "20")]
    later: u64,
}

impl From<&Record> for Kv {
    fn from(record: &Record) -> Self {
        Self {
            key: record.key.clone(),
            value: record.value.clone(),
            user_meta: record.user_meta.into_iter().collect(),
            version: record.version,
            expires_at: record.expires_at,
            meta: vec![record.meta.bits()],
            ..Self::default()
        }
    }
}

fn record(key: &str, version: u64, value: &str) -> Record {
    Record { key: key.into(), version, value: value.into(), user_meta: Some(1), ..Record::default() }
}

/// Sorted records, each once.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let key = prop::collection::vec(prop::sample::select(vec![0u8, b'a', 0xFF]), 1..4);
    let version = prop_oneof![0u64..300, Just(u64::MAX)];
    let expiry = prop::sample::select(vec![0, 1, 1_900_000_000, u64::MAX]);
    let fields = (key, version, prop::collection::vec(any::<u8>(), 0..200), any::<Option<u8>>(), any::<u8>(), expiry);
    let record = fields.prop_map(|(key, version, value, user_meta, meta, expires_at)| Record {
        key,
        version,
        value,
        user_meta,
        meta: Meta::of(meta),
        expires_at,
    });
    prop::collection::vec(record, 0..40).prop_map(|mut records| {
        records.sort_by(Record::order);
        records.dedup_by(|a, b| a.order(b).is_eq());
        records
    })
}

fn written(records: &[Record], frame: usize) -> (Vec<u8>, Sidecar) {
    let mut writer = BackupWriter::new(Vec::new(), Path::new("b.bak")).with_frames_of(frame);
    records.iter().for_each(|record| writer.push(record).unwrap());
    writer.finish(0).unwrap()
}

fn read(bytes: &[u8], buffer: usize) -> Result<Vec<Record>> {
    BackupReader::new(BufReader::with_capacity(buffer, bytes), Path::new("b.bak")).collect()
}

fn frames(mut bytes: &[u8]) -> Vec<List> {
    let mut lists = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (message, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
        lists.push(List::decode(message).unwrap());
        bytes = rest;
    }
    lists
}

fn framed(list: &[u8]) -> Vec<u8> {
    [&(list.len() as u64).to_le_bytes()[..], list].concat()
}

fn told(bytes: &[u8]) -> String {
    read(bytes, 64).unwrap_err().to_string()
}

proptest! {
    #[test]
    fn what_is_written_is_what_prost_reads_and_what_is_read(records in records(), frame in 1usize..2000) {
        let (bytes, sidecar) = written(&records, frame);
        let lists = frames(&bytes);
        let theirs: Vec<Kv> = lists.iter().flat_map(|list| list.kv.clone()).collect();
        prop_assert_eq!(theirs, records.iter().map(Kv::from).collect::<Vec<_>>());
        prop_assert_eq!(&read(&bytes, 16).unwrap(), &records);

        let keys: Vec<Vec<&[u8]>> =
            lists.iter().map(|list| list.kv.iter().map(|kv| kv.key.as_slice()).collect()).collect();
        prop_assert!(keys.windows(2).all(|pair| pair[0].last() < pair[1].first()), "a key's versions are divided");
        let whole = |list: &List| list.encoded_len() <= frame || list.kv.iter().all(|kv| kv.key == list.kv[0].key);
        prop_assert!(lists.iter().all(whole), "a frame is larger than it has to be");
        prop_assert_eq!((sidecar.bytes, sidecar.frames), (bytes.len() as u64, lists.len() as u64));
        prop_assert_eq!(sidecar.records, records.len() as u64);
    }

    #[test]
    fn what_badger_adds_is_passed_over(records in records(), buffer in 1usize..300, per in 1usize..9) {
        let mut bytes = framed(b"");
        for some in records.chunks(per) {
            let mut kv: Vec<Kv> = some.iter().map(|r| Kv { stream_id: 7, later: 3, ..Kv::from(r) }).collect();
            kv.iter_mut().for_each(|kv| kv.meta[0] |= 0xC2);
            kv.push(Kv { stream_done: true, stream_id: 7, ..Kv::default() });
            bytes.extend(framed(&List { kv, alloc_ref: u64::MAX }.encode_to_vec()));
        }
        prop_assert_eq!(read(&bytes, buffer).unwrap(), records);
    }

    #[test]
    fn a_file_cut_short_is_truncated_or_ends_with_a_frame(records in records(), cut in any::<prop::sample::Index>()) {
        let (bytes, sidecar) = written(&records, 300);
        let cut = cut.index(bytes.len() + 1);
        match read(&bytes[..cut], 32) {
            Ok(found) => prop_assert!(records.starts_with(&found) && sidecar.records >= found.len() as u64),
            Err(error) => {
                prop_assert!(matches!(error.kind, KvErrorKind::Truncated(_)), "{}", error);
                prop_assert!(error.offset.unwrap() <= cut as u64);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), buffer in 1usize..40) {
        let framed = framed(&bytes);
        for bytes in [&bytes, &framed] {
            if let Err(error) = read(bytes, buffer) {
                prop_assert!(error.offset.is_some_and(|at| at <= bytes.len() as u64));
            }
        }
    }
}

#[test]
fn a_record_has_the_bytes_that_badger_gives_it() {
    let record = Record { meta: Meta::of(Meta::DELETE), ..record("k/00000", 0x91, "") };
    let (bytes, _) = written(&[record], 4096);
    assert_eq!(bytes, b"\x14\0\0\0\0\0\0\0\x0a\x12\x0a\x07k/00000\x1a\x01\x01\x20\x91\x01\x32\x01\x01");
}

#[test]
fn what_is_damaged_is_told_with_its_byte() {
    let kv = |message: &[u8]| framed(&[&[0x0a, message.len() as u8][..], message].concat());
    let cases: [(&[u8], &str); 14] = [
        (b"\x01\0\0", "`b.bak` at byte 0: ends inside the length of a frame, 3 bytes of 8"),
        (b"SQLite format 3\0", "`b.bak` at byte 0: a frame of 7358993341780611411 bytes, where at most"),
        (&framed(b"\x0a\x03ab"), "`b.bak` at byte 9: a length of 3 bytes in a frame that has 2 left"),
        (&framed(b"\x0a\x80"), "`b.bak` at byte 9: a number that goes beyond its frame"),
        (&framed(b"\x08\x01"), "`b.bak` at byte 8: a record that is no message"),
        (&framed(b"\x0b"), "`b.bak` at byte 8: a field of wire type 3, which Badger never writes"),
        (&framed(b"\x02\x01"), "`b.bak` at byte 8: a field without a number"),
        (&framed(&[&[0x50][..], &[0xFF; 11]].concat()), "`b.bak` at byte 9: a number of more than 64 bits"),
        (&framed(b"\x49\x01"), "`b.bak` at byte 8: a field that goes beyond its frame"),
        (&kv(b"\x0a\x01k\x12\x09v"), "`b.bak` at byte 14: a field of 9 bytes in a record that has 1 left"),
        (&kv(b"\x0a\x01k\x08\x09"), "`b.bak` at byte 13: field 1 of a record is of another type"),
        (&kv(b"\x0a\x01k\x1a\x02ab"), "`b.bak` at byte 13: 2 bytes of user meta, where Badger has one"),
        (&kv(b"\x20\x01"), "`b.bak` at byte 10: a record without a key"),
        (
            &[&200u64.to_le_bytes()[..], b"\x0a\xc5\x01\x0a\x01k"].concat(),
            "`b.bak` at byte 11: a record of 197 bytes, of which 3 are",
        ),
    ];
    for (bytes, expected) in cases {
        let found = told(bytes);
        assert!(found.starts_with(expected), "{found}\nnot: {expected}");
    }
}

#[test]
fn records_above_a_limit_are_refused_before_they_take_memory() {
    let (bytes, _) = written(&[record("a", 1, &"v".repeat(100))], 4096);
    let limited = |limits| -> Result<Vec<Record>> {
        BackupReader::new(bytes.as_slice(), Path::new("b.bak")).with_limits(limits).collect()
    };
    let text = |limits| limited(limits).unwrap_err().to_string();
    let (frame, record) = (bytes.len() as u64, 50);
    assert_eq!(text(Limits { frame, record }), "`b.bak` at byte 10: a record of 113 bytes, where at most 50 are taken");
    assert!(text(Limits { frame: 99, record }).starts_with("`b.bak` at byte 0: a frame of 115 bytes"));
    // A length alone: nothing of what it announces is there.
    let announced = [&(1u64 << 30).to_le_bytes()[..], b"\x0a\x80\x80\x80\x80\x03"].concat();
    let mut reader = BackupReader::new(announced.as_slice(), Path::new("b.bak"));
    assert!(matches!(reader.next(), Some(Err(KvError { kind: KvErrorKind::Truncated(_), .. }))));
    assert!(reader.next().is_none(), "it goes on after an error");
}

#[test]
fn records_out_of_order_are_no_backup() {
    let refused = |records: &[Record]| {
        let mut writer = BackupWriter::new(Vec::new(), Path::new("b.bak"));
        records.iter().find_map(|record| writer.push(record).err()).map(|error| error.to_string())
    };
    let text = "`b.bak`: version 2 of `a` comes out of order";
    for before in [record("b", 1, ""), record("a", 1, ""), record("a", 2, ""), record("a\0", 1, "")] {
        assert_eq!(refused(&[before, record("a", 2, "")]).as_deref(), Some(text));
    }
    assert_eq!(refused(&[record("a", 2, ""), record("a", 1, ""), record("a\0", 9, "")]), None);
}

#[test]
fn a_file_that_lost_a_frame_or_a_bit_is_not_what_its_manifest_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phl-memory-backup.bak");
    let records = vec![record("a", 3, "x"), record("a", 1, "y"), record("b", 2, "z")];
    let sidecar = write_backup(&path, 0, records.iter().cloned().map(Ok)).unwrap();
    assert_eq!(Sidecar::read(&path).unwrap(), Some(sidecar.clone()));
    assert_eq!((sidecar.keys, sidecar.records, sidecar.max_version), (2, 3, 3));
    sidecar.check(&path).unwrap();
    let source = BackupFile::new(&path);
    let since = |since| source.records(since).unwrap().collect::<Result<Vec<_>>>().unwrap();
    assert_eq!(since(0), records);
    assert_eq!(since(2), [records[0].clone(), records[2].clone()]);

    let whole = fs::read(&path).unwrap();
    fs::write(&path, b"").unwrap();
    assert_eq!(since(0), [], "an empty file reads as an empty backup");
    let text = |sidecar: &Sidecar| sidecar.check(&path).unwrap_err().to_string();
    assert!(text(&sidecar).ends_with(&format!("at byte 0: 0 bytes, where its manifest says {}", whole.len())));
    let mut bent = whole;
    *bent.last_mut().unwrap() ^= 4;
    fs::write(&path, bent).unwrap();
    assert!(text(&sidecar).contains("its BLAKE3 is "), "{}", text(&sidecar));

    fs::write(Sidecar::path_of(&path), "{\"version\": 2}").unwrap();
    let refused = Sidecar::read(&path).unwrap_err().to_string();
    assert!(refused.contains("a manifest of version 2, and this build knows versions up to 1"), "{refused}");
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// Three parts of several small frames each.
fn in_parts() -> [Vec<Record>; 3] {
    ["a", "b", "c"].map(|part| (0..32).map(|n| record(&format!("{part}{n:02}"), 7 - n % 7, &"v".repeat(300))).collect())
}

fn parts_of<const N: usize>(parts: [Vec<Record>; N]) -> Vec<Part<'static>> {
    parts.map(|part| Box::new(move || Ok(Box::new(part.into_iter().map(Ok)) as Records<'_>)) as Part<'_>).into()
}

#[test]
fn parts_that_are_read_at_the_same_time_are_one_backup() {
    let path = Path::new("b.bak");
    let mut writer = BackupWriter::new(Vec::new(), path);
    in_parts().concat().iter().for_each(|record| writer.push(record).unwrap());
    let (_, one) = writer.finish(0).unwrap();
    let mut told = Vec::new();
    let (bytes, several) =
        beside_each_other((Vec::new(), 1_000), path, 0, parts_of(in_parts()), &mut |n| told.push(n)).unwrap();
    let numbers = |of: &Sidecar| (of.keys, of.records, of.deletes, of.max_version);
    assert_eq!((numbers(&several), told), (numbers(&one), vec![32, 64, 96]));
    assert_eq!((several.bytes, &several.blake3), (bytes.len() as u64, &blake3::hash(&bytes).to_hex().to_string()));
    let mut reader = BackupReader::new(bytes.as_slice(), path);
    assert!(reader.by_ref().collect::<Result<Vec<_>>>().unwrap() == in_parts().concat(), "other records");
    assert!(several.frames > 30 && reader.tally().frames == several.frames, "{} frames", several.frames);
}

#[test]
fn what_goes_wrong_in_a_part_leaves_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone.bak");
    let [a, b, c] = in_parts();
    let wrong = write_backup_parts(&gone, 0, parts_of([a.clone(), c, b])).unwrap_err().to_string();
    assert!(wrong.contains("version 7 of `b00` comes out of order"), "{wrong}");
    let mut parts = parts_of(in_parts());
    parts.insert(1, Box::new(|| Err(KvError::of(Path::new("it"), KvErrorKind::Missing("no such part".to_owned())))));
    let wrong = write_backup_parts(&gone, 0, parts).unwrap_err().to_string();
    assert!(wrong.contains("no such part") && !gone.exists(), "{wrong}");
    assert_eq!(write_backup_parts(&gone, 0, parts_of([a])).unwrap().records, 32);
    assert_eq!(write_backup_parts(&gone, 0, Vec::new()).unwrap().records, 0);
}

/// The same bytes for ever.
struct Again<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Read for Again<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = (&self.bytes[self.at..]).read(buffer)?;
        self.at = (self.at + n) % self.bytes.len();
        Ok(n)
    }
}

#[test]
fn a_frame_of_a_hundred_megabytes_takes_the_memory_of_a_record() {
    let message = List { kv: vec![Kv::from(&record("k", 1, &"v".repeat(600_000)))], alloc_ref: 0 }.encode_to_vec();
    let times = 170;
    let length = ((message.len() * times) as u64).to_le_bytes();
    let length = length.as_slice();
    let input = length.chain(Again { bytes: &message, at: 0 });
    let mut reader = BackupReader::new(BufReader::with_capacity(1 << 16, input), Path::new("b.bak"));
    let mut count = 0;
    while count < times {
        assert_eq!(reader.next().unwrap().unwrap().value.len(), 600_000);
        assert!(reader.scratch() <= 1 << 20, "{} bytes are kept", reader.scratch());
        count += 1;
    }
    assert_eq!((reader.offset(), reader.tally().frames), ((8 + message.len() * times) as u64, 1));
}

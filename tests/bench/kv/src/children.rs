//! What is measured, each in a process of its own.

use std::path::Path;

use cutover_steps_kv::backup::{BackupFile, BackupReader, write_backup, write_backup_parts};
use cutover_steps_kv::copy::{Copy, Flow};
use cutover_steps_kv::store::{FjallStore, SledStore, VersionedStore};
use cutover_steps_kv::{BadgerDir, BadgerOptions, Record, RecordSource, Result as KvResult};

use crate::Result;

/// Does one thing.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", file, records] => make(Path::new(file), records.parse()?),
        ["parse", file] => end(count(BackupReader::open(Path::new(file))?)?),
        ["import", engine, file, folder] => import(&*open(engine, folder)?, Path::new(file), Path::new(folder)),
        ["export", engine, folder, file] => {
            write_backup_parts(Path::new(file), 0, open(engine, folder)?.parts(0)?)?;
            Ok(())
        }
        ["read", folder] => end(count(BadgerDir::open(Path::new(folder), &BadgerOptions::default())?.records(0)?)?),
        other => Err(format!("no child does {other:?}").into()),
    }
}

fn open(engine: &str, folder: &str) -> Result<Box<dyn VersionedStore>> {
    let folder = Path::new(folder);
    Ok(match engine {
        "fjall" => Box::new(FjallStore::open_or_create(folder)?),
        _ => Box::new(SledStore::open_or_create(folder)?),
    })
}

/// As `kv.copy` does.
fn import(store: &dyn VersionedStore, file: &Path, folder: &Path) -> Result<()> {
    let scratch = folder.with_extension("sort");
    let copy = Copy { name: "bench/import", identity: "the backup", since: 0, scratch: &scratch };
    copy.run(&BackupFile::new(file), store, &mut |_| Flow::On)?;
    store.rest()?;
    std::fs::remove_dir(scratch)?;
    Ok(())
}

fn count(records: impl Iterator<Item = KvResult<Record>>) -> Result<(u64, usize)> {
    let (mut count, mut bytes) = (0, 0);
    for record in records {
        let record = record?;
        count += 1;
        bytes += record.key.len() + record.value.len();
    }
    Ok((count, bytes))
}

fn end((count, bytes): (u64, usize)) -> Result<()> {
    println!("{count} records, {bytes} bytes of keys and values");
    Ok(())
}

/// Keys of 22 bytes in order, values of 100 to 200 that nothing compresses, 100 to a version.
fn make(file: &Path, records: u64) -> Result<()> {
    let mut state = 7_u64;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let made = (0..records).map(|n| {
        let length = 100 + (draw() % 101) as usize;
        let mut value: Vec<u8> =
            std::iter::repeat_with(|| draw().to_le_bytes()).take(length.div_ceil(8)).flatten().collect();
        value.truncate(length);
        let key = format!("made/{n:017}").into_bytes();
        Ok(Record { key, version: 1 + n / 100, value, user_meta: Some(n as u8), ..Record::default() })
    });
    write_backup(file, 0, made)?;
    Ok(())
}

//! The store of the program, of either engine, and Badger's backups of it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use cutover_steps_kv::Record;
use cutover_steps_kv::backup::{BackupReader, BackupWriter};
use cutover_steps_kv::store::{Batch, FjallStore, SledStore, VersionedStore};

use super::{Failure, text};

/// A store that is open.
pub(super) type Store = Arc<dyn VersionedStore>;

const RECORDS_AT_ONCE: usize = 2_000;

pub(super) fn open(engine: &str, dir: &Path) -> Result<Store, Failure> {
    match engine {
        "fjall" => Ok(Arc::new(FjallStore::open_or_create(dir).map_err(text)?)),
        "sled" => Ok(Arc::new(SledStore::open_or_create(dir).map_err(text)?)),
        other => Err(format!("no engine is called `{other}`")),
    }
}

/// Every record from the version `since` on, as Badger's backup.
pub(super) fn backup(store: &dyn VersionedStore, since: u64, to: impl Write) -> Result<(), Failure> {
    let mut writer = BackupWriter::new(std::io::BufWriter::with_capacity(1 << 20, to), Path::new("the backup"));
    for record in store.versions(b"", since).map_err(text)? {
        writer.push(&record.map_err(text)?).map_err(text)?;
    }
    writer.finish(since).map(drop).map_err(text)
}

/// Takes every record of a backup.
pub(super) fn load(store: &dyn VersionedStore, from: impl Read) -> Result<(), Failure> {
    let mut batch = Batch::default();
    for record in BackupReader::new(std::io::BufReader::new(from), Path::new("the backup")) {
        batch.put(record.map_err(text)?);
        if batch.len() == RECORDS_AT_ONCE {
            store.write(std::mem::take(&mut batch)).map_err(text)?;
        }
    }
    store.write(batch.durable()).map_err(text)
}

/// That each record of the backup `file` is in the one that is read: what Badger drops of its own accord is not asked for.
pub(super) fn contains(file: &Path, whole: impl Read) -> Result<(), Failure> {
    let mut there: BTreeMap<Vec<u8>, Vec<Record>> = BTreeMap::new();
    for record in BackupReader::new(std::io::BufReader::new(whole), Path::new("the whole backup")) {
        let record = record.map_err(text)?;
        there.entry(record.key.clone()).or_default().push(record);
    }
    let mut records = 0_u64;
    for record in BackupReader::open(file).map_err(text)? {
        let record = record.map_err(text)?;
        let versions = there.get(&record.key).map(Vec::as_slice).unwrap_or_default();
        let dropped = |later: &Record| later.version > record.version && later.meta.is_delete();
        if !versions.iter().any(|found| found.same(&record) || dropped(found)) {
            return Err(format!("version {} of `{}` is not there", record.version, record.key.escape_ascii()));
        }
        records += 1;
    }
    writeln!(std::io::stdout(), "all {records} records are there").map_err(text)
}

//! The store over an ordered engine: records by their encoding, the index of what expires, the store's own notes.
//!
//! Owns what a batch becomes in the one tree, and that a layout newer than ours is refused. Knows no engine.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::disk;
use serde_json::Value;

use super::highest::Highest;
use super::newest::{Newest, Written};
use super::{Batch, Change, Engine, FORMAT, FORMAT_VERSION, Loaded, MAX_VERSION, Part, Records, VersionedStore, parts};
use crate::encoding::{
    NOTE, after, data_key, data_prefix, expiry_key, expiry_until, note_key, read_data_key, read_expiry_key, read_value,
    value,
};
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;

/// Beyond so many changes a batch is no program's, which reads what it wrote.
const FEW: usize = 16;

/// A store in an engine `E`.
#[derive(Debug)]
pub struct Keyed<E: Engine> {
    path: PathBuf,
    pub(super) engine: E,
    pub(super) highest: Highest,
    pub(super) newest: Newest,
}

impl<E: Engine> Keyed<E> {
    /// Opens the store in a folder that has one.
    pub fn open(path: &Path) -> Result<Self> {
        if !E::is_there(path) {
            return Err(KvError::of(path, KvErrorKind::Missing(format!("no {} database is there", E::NAME))));
        }
        let (engine, highest, newest) = (E::open(path)?, Highest::default(), Newest::default());
        let store = Self { path: path.to_owned(), engine, highest, newest };
        store.check_format()?;
        store.find_highest()?;
        Ok(store)
    }

    /// Opens the store in a folder, and makes it where none is.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        if E::is_there(path) {
            return Self::open(path);
        }
        // Under another name, until it says which layout it has: whoever is killed leaves no half of a store.
        let partial = disk::partial_name(path).map_err(|error| KvError::of(path, error))?;
        clear(&partial)?;
        let engine = E::open(&partial)?;
        let format = (note_key(FORMAT), Some(FORMAT_VERSION.to_string().into_bytes()));
        engine.write(vec![format], true)?;
        drop(engine);
        disk::rename(&partial, path).map_err(|error| KvError::of(path, error))?;
        disk::sync_parent(path).map_err(|error| KvError::of(path, error))?;
        Self::open(path)
    }

    /// Bytes on disk.
    pub fn size(&self) -> Result<u64> {
        self.engine.size()
    }

    #[cfg(test)]
    pub(super) fn engine_write(&self, note: &str, value: &str) {
        self.engine.write(vec![(note_key(note), Some(value.as_bytes().to_vec()))], true).unwrap();
    }

    #[cfg(test)]
    pub(super) fn engine_note(&self, note: &str) -> Option<String> {
        let found = self.engine.get(&note_key(note)).unwrap();
        found.map(|bytes| String::from_utf8(bytes.as_ref().to_vec()).unwrap())
    }

    fn check_format(&self) -> Result<()> {
        let found = self.note(FORMAT)?;
        match found.as_ref().and_then(Value::as_u64) {
            Some(FORMAT_VERSION) => Ok(()),
            Some(newer) if newer > FORMAT_VERSION => Err(self.wrong(KvErrorKind::Unsupported(format!(
                "its layout is version {newer}, and this build knows versions up to {FORMAT_VERSION}"
            )))),
            _ => Err(self.wrong(KvErrorKind::Unsupported(format!(
                "a {} database that no cutover made: nothing in it says which layout it has",
                E::NAME
            )))),
        }
    }

    pub(super) fn note(&self, name: &str) -> Result<Option<Value>> {
        let found = self.engine.get(&note_key(name))?;
        found.map(|bytes| self.read_note(name, bytes.as_ref())).transpose()
    }

    fn read_note(&self, name: &str, bytes: &[u8]) -> Result<Value> {
        serde_json::from_slice(bytes)
            .map_err(|error| self.wrong(KvErrorKind::Malformed(format!("its entry `{name}` is no JSON: {error}"))))
    }

    fn since<'s>(
        &'s self,
        found: impl Iterator<Item = Result<(E::Bytes, E::Bytes)>> + Send + 's,
        since: u64,
    ) -> Records<'s> {
        Box::new(found.filter_map(move |found| {
            let record = found.and_then(|(key, value)| self.record(key.as_ref(), value.as_ref()));
            let wanted = record.as_ref().map_or(true, |record| record.version >= since);
            wanted.then_some(record)
        }))
    }

    /// All from the version `since` on, in up to two to the power of `depth` parts.
    pub(super) fn parts_of(&self, since: u64, depth: u32) -> Result<Vec<Part<'_>>> {
        let view = Arc::new(self.engine.view());
        let ranges = parts::cut(&self.engine, data_prefix(b""), depth)?.into_iter();
        let part = |range| -> Part<'_> {
            let view = Arc::clone(&view);
            Box::new(move || Ok(self.since(self.engine.range_of(&view, range), since)))
        };
        Ok(ranges.map(part).collect())
    }

    fn record(&self, key: &[u8], bytes: &[u8]) -> Result<Record> {
        let record = read_data_key(key).and_then(|(user_key, version)| read_value(user_key, version, bytes));
        record.ok_or_else(|| self.no_record(key))
    }

    pub(super) fn no_record(&self, key: &[u8]) -> KvError {
        let key = String::from_utf8_lossy(key);
        self.wrong(KvErrorKind::Malformed(format!("what is kept under `{}` is no record", key.escape_debug())))
    }

    pub(super) fn wrong(&self, kind: KvErrorKind) -> KvError {
        KvError::of(&self.path, kind)
    }
}

impl<E: Engine> Drop for Keyed<E> {
    fn drop(&mut self) {
        // What cannot be noted is found the next time.
        let _ = self.settle();
    }
}

/// Removes a folder that may be there.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    match disk::remove_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KvError::of(folder, error)),
        _ => Ok(()),
    }
}

impl<E: Engine> VersionedStore for Keyed<E> {
    fn path(&self) -> &Path {
        &self.path
    }

    fn newest(&self, key: &[u8], at: u64) -> Result<Option<Record>> {
        if let Some(version) = self.newest.find(key)
            && version <= at
        {
            let stored = data_key(key, version);
            if let Some(value) = self.engine.get(&stored)? {
                let record = read_value(key.to_vec(), version, value.as_ref());
                return record.map(Some).ok_or_else(|| self.no_record(&stored));
            }
        }
        let mark = self.newest.mark();
        // Versions descend, so the first one from here on is the newest up to `at`; version 0 is the last of a key.
        let mut end = data_key(key, 0);
        end.push(0);
        let first = self.engine.range(data_key(key, at)..end).next();
        let found = first.map(|found| found.and_then(|(key, value)| self.record(key.as_ref(), value.as_ref())));
        let found = found.transpose()?;
        if let Some(record) = &found
            && at >= self.highest.get()
        {
            self.newest.learn(key, record.version, mark);
        }
        Ok(found)
    }

    fn versions(&self, prefix: &[u8], since: u64) -> Result<Records<'_>> {
        Ok(self.since(self.engine.range(data_prefix(prefix)), since))
    }

    fn parts(&self, since: u64) -> Result<Vec<Part<'_>>> {
        self.parts_of(since, parts::depth(self.engine.size()?))
    }

    fn expired(&self, now: u64) -> Result<Records<'_>> {
        // The index may still name a second that a record no longer has: only what the record says counts.
        let found = self.engine.range(expiry_until(now)).filter_map(move |found| {
            let look = || {
                let (index, _) = found?;
                let Some((key, version, at)) = read_expiry_key(index.as_ref()) else {
                    return Err(self.wrong(KvErrorKind::Malformed("its index of what expires is damaged".to_owned())));
                };
                let stored = data_key(&key, version);
                let Some(value) = self.engine.get(&stored)? else { return Ok(None) };
                let record = self.record(&stored, value.as_ref())?;
                Ok((record.expires_at == at).then_some(record))
            };
            look().transpose()
        });
        Ok(Box::new(found))
    }

    fn notes(&self) -> Result<BTreeMap<String, Value>> {
        let mut notes = BTreeMap::new();
        for found in self.engine.range(vec![NOTE]..after(&[NOTE])) {
            let (key, value) = found?;
            let name = String::from_utf8_lossy(&key.as_ref()[1..]).into_owned();
            let value = self.read_note(&name, value.as_ref())?;
            notes.insert(name, value);
        }
        if let Some(note) = notes.get_mut(MAX_VERSION) {
            *note = self.highest.get().into();
        }
        Ok(notes)
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let mut highest = 0;
        let few = batch.changes.len() <= FEW;
        let (mut removes, mut written) = (false, Vec::new());
        let mut entries = Vec::with_capacity(batch.changes.len() + batch.notes.len() + 1);
        for change in batch.changes {
            let (record, change) = match change {
                Change::Put(record) => {
                    highest = highest.max(record.version);
                    if record.expires_at != 0 {
                        let index = expiry_key(record.expires_at, &record.key, record.version);
                        entries.push((index, Some(Vec::new())));
                    }
                    entries.push((data_key(&record.key, record.version), Some(value(&record))));
                    let change = Written::Put(record.version);
                    (record, change)
                }
                Change::Remove(record) => {
                    removes = true;
                    if record.expires_at != 0 {
                        entries.push((expiry_key(record.expires_at, &record.key, record.version), None));
                    }
                    entries.push((data_key(&record.key, record.version), None));
                    (record, Written::Removed)
                }
            };
            if few {
                written.push((record.key, change));
            }
        }
        for (name, value) in batch.notes {
            debug_assert!(![FORMAT, MAX_VERSION].contains(&name.as_str()), "`{name}` is the store's own");
            entries.push((note_key(&name), value.map(|value| value.to_string().into_bytes())));
        }
        // A version that is removed is in no record any more.
        let done = self.write_noted(entries, highest, removes || batch.durable, batch.durable);
        match few && done.is_ok() {
            true => self.newest.written(&written, || self.highest.get()),
            false => self.newest.forget_all(),
        }
        done
    }

    fn load(&self, loaded: &mut dyn Iterator<Item = Loaded>) -> Result<bool> {
        self.ingest(loaded)
    }

    fn flush(&self) -> Result<()> {
        self.settle()?;
        self.engine.flush()
    }

    fn rest(&self) -> Result<()> {
        self.flush()?;
        self.engine.rest();
        Ok(())
    }

    fn max_version(&self) -> Result<u64> {
        Ok(self.highest.get())
    }
}

//! The store as it should be, in memory: what the others are compared with.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use super::{Batch, Change, MAX_VERSION, Records, VersionedStore};
use crate::error::Result;
use crate::record::Record;

/// A key, and the newest version of it first.
type Place = (Vec<u8>, Reverse<u64>);

#[derive(Debug, Default)]
pub(super) struct Model {
    records: Mutex<BTreeMap<Place, Record>>,
    notes: Mutex<BTreeMap<String, Value>>,
}

impl Model {
    fn select(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
        self.records.lock().unwrap().values().filter(|record| wanted(record)).cloned().collect()
    }
}

fn boxed(records: Vec<Record>) -> Result<Records<'static>> {
    Ok(Box::new(records.into_iter().map(Ok)))
}

impl VersionedStore for Model {
    fn path(&self) -> &Path {
        Path::new("")
    }

    fn newest(&self, key: &[u8], at: u64) -> Result<Option<Record>> {
        Ok(self.select(|record| record.key == key && record.version <= at).into_iter().next())
    }

    fn versions(&self, prefix: &[u8], since: u64) -> Result<Records<'_>> {
        boxed(self.select(|record| record.key.starts_with(prefix) && record.version >= since))
    }

    fn expired(&self, now: u64) -> Result<Records<'_>> {
        let mut found = self.select(|record| record.has_expired(now));
        found.sort_by_key(|record| record.expires_at);
        boxed(found)
    }

    fn notes(&self) -> Result<BTreeMap<String, Value>> {
        Ok(self.notes.lock().unwrap().clone())
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let mut records = self.records.lock().unwrap();
        let mut notes = self.notes.lock().unwrap();
        let mut highest = notes.get(MAX_VERSION).and_then(Value::as_u64).unwrap_or(0);
        for change in batch.changes {
            match change {
                Change::Put(record) => {
                    highest = highest.max(record.version);
                    records.insert((record.key.clone(), Reverse(record.version)), record);
                }
                Change::Remove(record) => drop(records.remove(&(record.key, Reverse(record.version)))),
            }
        }
        for (name, value) in batch.notes {
            match value {
                Some(value) => drop(notes.insert(name, value)),
                None => drop(notes.remove(&name)),
            }
        }
        if highest > 0 {
            notes.insert(MAX_VERSION.to_owned(), highest.into());
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

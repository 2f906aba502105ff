//! What the program writes while it lives: a thought in each transaction, layer by layer; now and then it replaces an
//! older one or forgets one. What was committed it writes down.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use cutover_steps_kv::store::{Batch, VersionedStore};
use cutover_steps_kv::{Meta, Record};
use serde::{Deserialize, Serialize};

use super::{Failure, text};
use crate::memory::LAYERS;

/// What a transaction wrote: a line of the log, after the commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Which transaction.
    pub n: u64,
    /// Keys and values.
    pub put: Vec<(String, String)>,
    /// Keys.
    pub delete: Vec<String>,
}

impl Entry {
    pub(super) fn of(n: u64) -> Self {
        let mut put = vec![(key(n), value(n, n))];
        if n % 10 == 9 {
            put.push((key(n - 5), value(n - 5, n)));
        }
        Self { n, put, delete: if n % 50 == 49 { vec![key(n - 40)] } else { Vec::new() } }
    }

    /// The lines of a log.
    pub fn read(log: &Path) -> Result<Vec<Self>, Failure> {
        let file = File::open(log).map_err(text)?;
        BufReader::new(file).lines().map(|line| serde_json::from_str(&line.map_err(text)?).map_err(text)).collect()
    }

    /// Commits it.
    pub(super) fn commit(&self, store: &dyn VersionedStore) -> Result<(), Failure> {
        let version = store.max_version().map_err(text)? + 1;
        let record = |key: &str| Record { key: key.into(), version, user_meta: Some(0), ..Record::default() };
        let mut batch = Batch::default();
        self.delete.iter().for_each(|key| batch.put(Record { meta: Meta::of(Meta::DELETE), ..record(key) }));
        self.put.iter().for_each(|(key, value)| batch.put(Record { value: value.as_str().into(), ..record(key) }));
        store.write(batch).map_err(text)
    }
}

/// Where it is written down.
#[derive(Debug)]
pub(super) struct Log {
    file: Option<File>,
    /// The transaction that comes next.
    pub(super) next: u64,
}

impl Log {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self { file: None, next: 0 }) };
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(text)?;
        let next = Entry::read(path)?.last().map_or(0, |last| last.n + 1);
        Ok(Self { file: Some(file), next })
    }

    pub(super) fn write(&mut self, entry: &Entry) -> Result<(), Failure> {
        self.next = entry.n + 1;
        let Some(file) = &mut self.file else { return Ok(()) };
        let line = serde_json::to_string(entry).map_err(text)?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(text)
    }
}

pub(super) fn key(n: u64) -> String {
    format!("{}:live_{n:09}", LAYERS[(n % 5) as usize])
}

pub(super) fn value(n: u64, at: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!(r#"{{"raw":{at},"timestamp":{now},"type":"{}"}}"#, LAYERS[(n % 5) as usize])
}

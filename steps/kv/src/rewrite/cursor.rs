//! How far a rewriting has come, as the store keeps it, and the files of what was there before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cutover_core::disk;
use serde::{Deserialize, Serialize};

use crate::copy::Sum;
use crate::error::{KvError, KvErrorKind, Result};
use crate::store::VersionedStore;

/// How far a rewriting has come. It is written with the batch that it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Cursor {
    /// What is made of the records, in a digest: another rewriting does not go on with this one.
    pub(crate) identity: String,
    /// The second that expiry is judged by, in every try.
    pub(crate) now: u64,
    /// The last key that was looked at, in hexadecimal; none before the first.
    pub(crate) key: Option<String>,
    /// The version of it.
    pub(crate) version: u64,
    /// Files of what was there before.
    pub(crate) batches: u64,
    /// Records that were rewritten.
    pub(crate) changed: u64,
    /// Records that were looked at and are as they were.
    pub(crate) unchanged: u64,
    /// Records that nothing can be made of, by why.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Bytes of the list of them.
    pub(crate) listed: u64,
    /// Over what was written.
    pub(crate) sum: Sum,
    /// Whether that was all.
    pub(crate) done: bool,
}

impl Cursor {
    pub(crate) fn at_the_beginning(identity: &str, now: u64) -> Self {
        Self {
            identity: identity.to_owned(),
            now,
            key: None,
            version: 0,
            batches: 0,
            changed: 0,
            unchanged: 0,
            refused: BTreeMap::new(),
            listed: 0,
            sum: Sum::default(),
            done: false,
        }
    }

    /// How far the rewriting of this name has come in the store; none where it never began.
    pub(crate) fn of(name: &str, store: &dyn VersionedStore) -> Result<Option<Self>> {
        let found = store.notes()?.remove(&Self::note(name)).map(serde_json::from_value).transpose();
        found.map_err(|error| {
            let text = format!("the cursor of the rewriting `{name}` cannot be read: {error}");
            KvError::of(store.path(), KvErrorKind::Malformed(text))
        })
    }

    /// The note that a store keeps it under.
    pub(crate) fn note(name: &str) -> String {
        format!("rewrite:{name}")
    }

    /// Records that nothing can be made of.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// What was there before, batch by batch.
    pub(super) fn files(&self, kept: &Path) -> Vec<PathBuf> {
        (0..self.batches).map(|n| batch_file(kept, n)).collect()
    }

    /// The place that it stands on.
    pub(super) fn place(&self, store: &dyn VersionedStore) -> Result<Option<(Vec<u8>, u64)>> {
        let Some(key) = &self.key else { return Ok(None) };
        let pairs = key.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let key = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<u8>>>();
        let wrong =
            || KvError::of(store.path(), KvErrorKind::Malformed("a cursor's key is not hexadecimal".to_owned()));
        Ok(Some((key.ok_or_else(wrong)?, self.version)))
    }
}

/// The backup of what the batch `n` replaces.
pub(super) fn batch_file(kept: &Path, n: u64) -> PathBuf {
    kept.join(format!("{n:08}.bak"))
}

/// Removes the folder of what was there before, and all in it.
pub(crate) fn forget(kept: &Path) -> Result<()> {
    match disk::remove_all(kept) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(KvError::of(kept, error)),
        _ => Ok(()),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

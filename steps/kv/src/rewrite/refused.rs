//! The list of records that nothing can be made of: a line of JSON for each, with why.
//!
//! Owns that the list and the cursor agree: what a batch adds is durable before the batch is written, and what a killed
//! try added behind its last batch is cut off first.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use cutover_core::disk;
use serde_json::json;

use crate::error::{KvError, Result};
use crate::record::Record;

/// Why nothing can be made of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// One of few words, counted and shown.
    pub(crate) why: &'static str,
    /// The words of whoever says so. They may hold what is in the record: for the list alone.
    pub(crate) text: String,
}

/// Longer explanations are cut.
const LONGEST: usize = 400;

impl Refusal {
    /// The line of a record.
    pub(crate) fn line(&self, record: &Record) -> String {
        let text: String = self.text.chars().take(LONGEST).collect();
        let key = record.key.escape_ascii().to_string();
        format!("{}\n", json!({ "key": key, "version": record.version, "why": self.why, "text": text }))
    }

    /// Writes a whole list.
    pub(crate) fn list(list: &Path, lines: &str) -> Result<()> {
        if let Some(folder) = list.parent() {
            disk::private_dir(folder).map_err(|error| KvError::of(folder, error))?;
        }
        extend(list, 0, lines)
    }
}

/// Makes the list what it was when it had `before` bytes, with `lines` behind it.
pub(super) fn extend(list: &Path, before: u64, lines: &str) -> Result<()> {
    let failed = |error| KvError::of(list, error);
    if before == 0 && lines.is_empty() {
        return match fs::remove_file(list) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        };
    }
    let mut file = disk::open_or_create(list).map_err(failed)?;
    file.set_len(before).map_err(failed)?;
    file.seek(SeekFrom::Start(before)).map_err(failed)?;
    file.write_all(lines.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    disk::sync_parent(list).map_err(|error| KvError::of(list, error))
}

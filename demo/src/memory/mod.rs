//! The memory of a thought engine: five layers of thoughts in a Badger database, as years of a program left them.
//!
//! `history` says what was written and in which order, `values` what a thought of a layer looks like; both follow from a
//! seed alone. `program` is what lives on it, and `counted` says what became of all that.

mod counted;
mod history;
pub mod program;
mod random;
#[cfg(test)]
mod tests;
mod thoughts;
mod values;

use std::path::Path;

use cutover_steps_kv::backup::{BackupReader, BackupWriter};
use cutover_steps_kv::{Record, Result};

pub use counted::Counted;
pub use thoughts::{SEED, records};

/// The layers, each the first part of its keys: `layer:key`.
pub const LAYERS: [&str; 5] = ["sensory", "emotion", "logic", "dream", "eternal"];

/// Records as Badger's own backup has them: what its `Load` takes.
pub fn backup(records: &[Record]) -> Result<Vec<u8>> {
    let mut writer = BackupWriter::new(Vec::new(), Path::new("the generated memory"));
    records.iter().try_for_each(|record| writer.push(record))?;
    Ok(writer.finish(0)?.0)
}

/// What such a backup holds, in its own order.
pub fn read(backup: &[u8]) -> Result<Vec<Record>> {
    BackupReader::new(backup, Path::new("the backup")).collect()
}

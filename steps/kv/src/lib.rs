//! Versioned key-value data: Badger's backups and directories read and written, kept in sled or fjall and taken back.
//!
//! Owns the record that all of them share, the stores, and the steps that move records between them. The records are
//! Badger's: versions of keys with deletes, expiry and two bytes of meta. What their values mean is the application's.

pub mod backup;
mod badger;
pub mod copy;
mod encoding;
mod error;
#[cfg(any(test, feature = "fuzzed"))]
pub mod fuzzed;
mod gc;
mod holder;
mod record;
mod rewrite;
mod source;
mod steps;
pub mod store;
mod target;

pub use badger::{BadgerDir, BadgerOptions, Compression, Key, Scan, Tally, Version};
pub use error::{KvError, KvErrorKind, Result};
pub use record::{Meta, Record};
pub use source::{Order, RecordSource};
pub use steps::{
    Back, BackupConfig, CopyConfig, GcConfig, KvBackup, KvCopy, KvGc, KvReconfigure, KvRenamePrefix, KvTransform,
    KvVerify, PrefixProgram, ReconfigureConfig, RenamePrefixConfig, TransformConfig, VerifyConfig, Versions,
};
pub use target::badger::{BadgerConfig, BadgerTarget};
pub use target::{FjallTarget, KvConfig, KvTarget, SledTarget};

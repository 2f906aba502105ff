//! The step kinds of this crate, and what they read and write.

mod backup;
mod copy;
mod from;
mod gc;
mod into;
mod reconfigure;
mod rename;
mod rewriting;
mod transform;
mod verify;

pub use backup::{BackupConfig, KvBackup};
pub use copy::{Back, CopyConfig, KvCopy};
pub use gc::{GcConfig, KvGc};
pub use reconfigure::{KvReconfigure, ReconfigureConfig};
pub use rename::{KvRenamePrefix, RenamePrefixConfig};
pub use transform::{KvTransform, PrefixProgram, TransformConfig, Versions};
pub use verify::{KvVerify, VerifyConfig};

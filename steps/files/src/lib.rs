//! Steps over plain files: a folder as a target, configuration mapped from one version to the next, files set aside.
//!
//! Owns the target kind `dir` and the step kinds `config.map` and `file.archive`. Plain files have no transactions:
//! every step here journals its intent with before-images, then writes each file in one move.

mod archive;
mod base;
mod config_map;
mod dir;
mod globs;
mod images;
#[cfg(test)]
mod testing;

pub use archive::{ArchiveConfig, FileArchive};
pub use config_map::{ConfigMap, DroppedKey, MapConfig, MovedKey};
pub use dir::{DirConfig, DirTarget};

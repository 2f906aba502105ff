//! Before-images: what a file was before a step wrote it, kept by content in the step's scratch folder.
//!
//! A receipt refers to an image by its hash; the bytes lie in `before/<blake3>`, durable before the step's intent is.

use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk::{io_error, private_dir, write_once};
use cutover_core::{StepError, blake3_hex};
use serde::{Deserialize, Serialize};

/// A file's content and mode at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// BLAKE3, hex.
    pub(crate) blake3: String,
    /// Permission bits.
    pub(crate) mode: u32,
}

impl Image {
    /// The image of these bytes. Nothing is kept yet.
    pub(crate) fn of(bytes: &[u8], mode: u32) -> Self {
        Self { blake3: blake3_hex(bytes), mode }
    }

    pub(crate) fn place(&self, scratch: &Path) -> PathBuf {
        scratch.join("before").join(&self.blake3)
    }

    /// Makes the bytes of this image durable in `scratch`.
    pub(crate) fn keep(&self, scratch: &Path, bytes: &[u8]) -> Result<(), StepError> {
        let place = self.place(scratch);
        if let Some(folder) = place.parent() {
            private_dir(folder)?;
        }
        write_once(&place, bytes)
    }

    /// The kept bytes, proven to be those that were kept.
    pub(crate) fn load(&self, scratch: &Path) -> Result<Vec<u8>, StepError> {
        let place = self.place(scratch);
        let bytes = fs::read(&place).map_err(|e| io_error("cannot read the kept file", &place, e))?;
        if blake3_hex(&bytes) == self.blake3 {
            return Ok(bytes);
        }
        Err(StepError::failed(format!("the kept file `{}` was changed", place.display()))
            .with_help("nothing was written; put the file back from a backup of your own, then resolve the step"))
    }
}

//! Where the sources of Cutover lie, which a generated crate depends on by path.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::NewError;

/// A checkout of Cutover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CutoverSource(PathBuf);

impl CutoverSource {
    /// The checkout in `folder`.
    pub(crate) fn at(folder: &Path) -> Result<Self, NewError> {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let parts = ["core/Cargo.toml", "runner/Cargo.toml", "tests/Cargo.toml"];
        match parts.into_iter().find(|part| !folder.join(part).is_file()) {
            Some(missing) => Err(NewError::NoCheckout { folder, missing }),
            None => Ok(Self(folder)),
        }
    }

    /// The checkout that this program was built from, if it is still there.
    pub(crate) fn built_from() -> Result<Self, NewError> {
        let runner = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self::at(runner.parent().unwrap_or(runner))
    }

    /// Its folder, absolute.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// The text of its `Cargo.lock`, if it has one.
    pub(super) fn lock(&self) -> Result<Option<String>, NewError> {
        let path = self.0.join("Cargo.lock");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(NewError::Io { path, source }),
        }
    }
}

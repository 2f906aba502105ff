//! What stands beside a backup, since the format itself cannot tell whether a file is whole.
//!
//! Owns the document `BACKUP.manifest.json` and the comparison of a file with it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cutover_core::disk;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::writer::hex;
use crate::error::{KvError, KvErrorKind, Result};

/// What a backup holds and how to know that it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sidecar {
    /// Version of this document: [`Sidecar::VERSION`].
    pub version: u32,
    /// Bytes of the backup.
    pub bytes: u64,
    /// BLAKE3, hex.
    pub blake3: String,
    /// SHA-256, hex: for those who have no BLAKE3.
    pub sha256: String,
    /// Records of this version and later ones are in it; 0 is all.
    pub since: u64,
    /// The highest version in it.
    pub max_version: u64,
    /// Frames.
    pub frames: u64,
    /// Keys.
    pub keys: u64,
    /// Records, each version of each key.
    pub records: u64,
    /// Records that delete their key.
    pub deletes: u64,
    /// The step that wrote it, by plan and id, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
}

impl Sidecar {
    /// The version of the document that this build writes.
    pub const VERSION: u32 = 1;

    /// Where the document of a backup stands.
    pub fn path_of(backup: &Path) -> PathBuf {
        let mut name = backup.file_name().unwrap_or_default().to_owned();
        name.push(".manifest.json");
        backup.with_file_name(name)
    }

    /// The document of a backup; none where nobody wrote one, as beside Badger's own.
    pub fn read(backup: &Path) -> Result<Option<Self>> {
        let path = Self::path_of(backup);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KvError::of(&path, error)),
        };
        let malformed = |error: serde_json::Error| {
            KvError::of(&path, KvErrorKind::Malformed(format!("not the manifest of a backup: {error}")))
        };
        let document: serde_json::Value = serde_json::from_slice(&text).map_err(malformed)?;
        if let Some(newer) = document["version"].as_u64().filter(|version| *version > Self::VERSION.into()) {
            let text = format!("a manifest of version {newer}, and this build knows versions up to {}", Self::VERSION);
            return Err(KvError::of(&path, KvErrorKind::Unsupported(text)));
        }
        serde_json::from_value(document).map(Some).map_err(malformed)
    }

    /// Writes the document beside the backup.
    pub(crate) fn write(&self, backup: &Path) -> Result<()> {
        let path = Self::path_of(backup);
        let text = serde_json::to_string_pretty(self).map_err(|error| KvError::of(&path, io::Error::from(error)))?;
        let text = format!("{text}\n");
        disk::write_atomic(&path, text.as_bytes(), disk::PRIVATE_FILE).map_err(|error| KvError::of(&path, error))
    }

    /// Whether the backup is, byte for byte, the one that this document is about.
    pub fn check(&self, backup: &Path) -> Result<()> {
        let mut file = File::open(backup).map_err(|error| KvError::of(backup, error))?;
        let found = file.metadata().map_err(|error| KvError::of(backup, error))?.len();
        if found < self.bytes {
            let text = format!("{found} bytes, where its manifest says {}", self.bytes);
            return Err(KvError::at(backup, found, KvErrorKind::Truncated(text)));
        }
        let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).map_err(|error| KvError::of(backup, error))? {
                0 => break,
                n => {
                    blake3.update(&buffer[..n]);
                    sha256.update(&buffer[..n]);
                }
            }
        }
        for (name, found, said) in [
            ("BLAKE3", blake3.finalize().to_hex().to_string(), &self.blake3),
            ("SHA-256", hex(&sha256.finalize()), &self.sha256),
        ] {
            if found != *said {
                let text = format!("its {name} is {found}, where its manifest says {said}");
                return Err(KvError::of(backup, KvErrorKind::Checksum(text)));
            }
        }
        Ok(())
    }
}

//! Where a step's records come from.
//!
//! Owns that backups are whole before a record of them is believed, and what identifies a source.

use cutover_core::{BuildContext, BuildError, StepContext, StepError, disk};

use super::into;
use crate::backup::{BackupFile, Sidecar};
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;
use crate::source::{Order, RecordSource};

/// A source, opened.
pub(super) struct From {
    source: Box<dyn RecordSource>,
    identity: String,
}

impl From {
    /// Opens the source of a step: reads backups once, to compare them with their manifests and to know them again.
    pub(super) fn of(cx: &StepContext, backups: &[String], from: Option<&str>) -> Result<Self, StepError> {
        match from {
            Some(name) => {
                let target = into::of(cx, name)?;
                let version = target.read(|store| store.map_or(Ok(0), |store| store.max_version()))?;
                let missing = || StepError::unavailable(format!("target `{name}` has no store to copy from"));
                let source = target.source()?.ok_or_else(missing)?;
                Ok(Self { source, identity: format!("{name}, versions up to {version}") })
            }
            None => {
                let (mut files, mut digests) = (Vec::new(), Vec::new());
                for name in backups {
                    let path = disk::inside(cx.root(), name, true)?;
                    if !path.is_file() {
                        return Err(KvError::of(&path, KvErrorKind::Missing("no such backup file".to_owned())).into());
                    }
                    digests.push(match Sidecar::read(&path)? {
                        Some(sidecar) => {
                            sidecar.check(&path)?;
                            sidecar.blake3
                        }
                        // Badger's own: nothing says whether it is whole but its frames.
                        None => disk::hash_file(&path)?.1,
                    });
                    files.push(BackupFile::new(&path));
                }
                Ok(Self { source: Box::new(Chain(files)), identity: digests.join("+") })
            }
        }
    }

    pub(super) fn source(&self) -> &dyn RecordSource {
        &*self.source
    }

    /// What the source is, in a word.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }
}

/// Refuses what names no source, or two, or a file outside of the root.
pub(super) fn known(
    cx: &BuildContext<'_>,
    backups: &[String],
    from: Option<&str>,
    into: &str,
) -> Result<(), BuildError> {
    match (from, backups) {
        (Some(from), []) if from == into => {
            return Err(BuildError::at("from", format!("`{from}` is on both sides")).with_help("name another target"));
        }
        (Some(from), []) => into::known(cx, from, "from")?,
        (None, [_, ..]) => {}
        (None, []) => {
            return Err(BuildError::at("backups", "no source is named")
                .with_help("name backup files (`backups`) or a target (`from`)"));
        }
        (Some(_), _) => {
            return Err(BuildError::at("from", "both `from` and `backups` are named").with_help("name one of them"));
        }
    }
    match backups.iter().find(|path| !cutover_core::plan::is_inside(path.as_ref())) {
        Some(path) => Err(BuildError::at("backups", format!("`{path}` leaves the root"))
            .with_help("name a file inside the root, without `..`")),
        None => Ok(()),
    }
}

/// Backups, the oldest first.
#[derive(Debug)]
struct Chain(Vec<BackupFile>);

impl RecordSource for Chain {
    fn records(&self, since: u64) -> Result<Box<dyn Iterator<Item = Result<Record>> + Send + '_>> {
        let files = self.0.iter().map(|file| file.records(since)).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(files.into_iter().flatten()))
    }

    fn order(&self) -> Order {
        Order::Unsorted
    }
}

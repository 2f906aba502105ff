//! Where a step's records come from.
//!
//! Owns that backups are whole before a record of them is believed, and what identifies a source.

use std::sync::OnceLock;

use cutover_core::{BuildContext, BuildError, StepContext, StepError, TargetKind, disk};

use super::into;
use crate::backup::{BackupFile, Sidecar};
use crate::copy::Sum;
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;
use crate::source::{Order, RecordSource};
use crate::target::badger::BadgerTarget;

/// A source, opened.
pub(super) struct From {
    source: Box<dyn RecordSource>,
    /// Where it costs a reading, it is found out when it is asked for.
    identity: OnceLock<String>,
    name: String,
}

impl From {
    /// Opens the source of a step: reads backups once, to compare them with their manifests and to know them again.
    pub(super) fn of(cx: &StepContext, backups: &[String], from: Option<&str>) -> Result<Self, StepError> {
        match from {
            Some(name) if cx.any_target(name)?.kind() == BadgerTarget::KIND => {
                let source = cx.target::<BadgerTarget>(name)?.open()?;
                Ok(Self { source: Box::new(source), identity: OnceLock::new(), name: name.to_owned() })
            }
            Some(name) => {
                let target = into::of(cx, name)?;
                let version = target.read(|store| store.map_or(Ok(0), |store| store.max_version()))?;
                let missing = || StepError::unavailable(format!("target `{name}` has no store to copy from"));
                let source = target.source()?.ok_or_else(missing)?;
                let identity = format!("{name}, versions up to {version}").into();
                Ok(Self { source, identity, name: name.to_owned() })
            }
            None if backups.is_empty() => {
                Err(StepError::unavailable("the step that makes the backup has made none yet"))
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
                Ok(Self {
                    source: Box::new(Chain(files)),
                    identity: digests.join("+").into(),
                    name: backups.join(", "),
                })
            }
        }
    }

    pub(super) fn source(&self) -> &dyn RecordSource {
        &*self.source
    }

    /// What the source is, in a word. Of a Badger directory that is what is in it: Badger writes to one that it only opens.
    pub(super) fn identity(&self) -> Result<&str> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity);
        }
        let (mut records, mut version, mut sum) = (0u64, 0, Sum::default());
        for record in self.source.records(0)? {
            let record = record?;
            records += 1;
            version = record.version.max(version);
            sum.add(&record);
        }
        let identity = format!("{}, {records} records, versions up to {version}, {sum}", self.name);
        Ok(self.identity.get_or_init(|| identity))
    }
}

/// The backups of a step: those that it names, or the one that another step made, which is none before that.
pub(super) async fn backups(
    cx: &StepContext,
    backups: &[String],
    backup_of: Option<&str>,
) -> Result<Vec<String>, StepError> {
    match backup_of {
        Some(step) => Ok(super::backup::made_by(cx, step).await?.into_iter().collect()),
        None => Ok(backups.to_vec()),
    }
}

/// The source, for people.
pub(super) fn named(backups: &[String], backup_of: Option<&str>, from: Option<&str>) -> String {
    match (from, backup_of) {
        (Some(from), _) => format!("target {from}"),
        (None, Some(step)) => format!("the backup of {step}"),
        (None, None) => backups.join(", "),
    }
}

/// Refuses what names no source, or two, or a file outside of the root.
pub(super) fn known(
    cx: &BuildContext<'_>,
    backups: &[String],
    backup_of: Option<&str>,
    from: Option<&str>,
    into: &str,
) -> Result<(), BuildError> {
    if let Some(step) = backup_of {
        if !backups.is_empty() || from.is_some() {
            return Err(BuildError::at("backup-of", "another source is named too").with_help("name one of them"));
        }
        if step == cx.id {
            return Err(
                BuildError::at("backup-of", "a step has no backup of itself").with_help("name a step `kv.backup`")
            );
        }
        return Ok(());
    }
    match (from, backups) {
        (Some(from), []) if from == into => {
            return Err(BuildError::at("from", format!("`{from}` is on both sides")).with_help("name another target"));
        }
        (Some(from), []) => readable(cx, from)?,
        (None, [_, ..]) => {}
        (None, []) => {
            return Err(BuildError::at("backups", "no source is named")
                .with_help("name backup files (`backups`), a step that makes one (`backup-of`) or a target (`from`)"));
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

/// Refuses the name of a target that records cannot be read from.
pub(super) fn readable(cx: &BuildContext<'_>, name: &str) -> Result<(), BuildError> {
    cx.known_target(name, None, "from")?;
    if cx.known_target(name, Some(BadgerTarget::KIND), "from").is_ok() || into::known(cx, name, "from").is_ok() {
        return Ok(());
    }
    Err(BuildError::at("from", format!("target `{name}` holds no key-value data"))
        .with_help("name a target of kind `badger`, `sled` or `fjall`"))
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

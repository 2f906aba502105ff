//! The file of a `kv.backup`.
//!
//! Owns when a file is this step's, how it is written, and that on the way back it is kept: what was written into a store
//! after a move is perhaps nowhere else.

use std::path::{Path, PathBuf};

use cutover_core::{Leftovers, StepContext, StepError, disk, fault};

use super::name::Stamped;
use super::{BackupConfig, Made, VERSION};
use crate::backup::{BackupFile, Sidecar, write_backup_of};
use crate::copy::{Cursor, sorted};
use crate::source::{Order, RecordSource};
use crate::steps::copy::{asked, free, remove_folders};
use crate::steps::from::From;
use crate::steps::into;
use crate::store::{Part, Records};

/// Memory for sorting.
const MEMORY: usize = 32 << 20;

/// What is there of the backup.
pub(super) enum Present {
    Nothing,
    /// This step's, by what its manifest says; relative to the root.
    Ours(String, Box<Sidecar>),
    /// Somebody else's.
    Foreign,
}

/// One use of the step.
pub(super) struct Job<'a> {
    pub(super) cx: &'a StepContext,
    pub(super) config: &'a BackupConfig,
    pub(super) stamped: Option<Stamped<'a>>,
}

impl Job<'_> {
    pub(super) fn in_the_way(&self) -> String {
        format!("`{}` is there already and is no backup of this step", self.config.into)
    }

    pub(super) fn path(&self, into: &str) -> Result<PathBuf, StepError> {
        disk::inside(self.cx.root(), into, false)
    }

    pub(super) fn present(&self) -> Result<Present, StepError> {
        let Some(stamped) = &self.stamped else {
            let into = &self.config.into;
            return match self.path(into)?.symlink_metadata() {
                Err(_) => Ok(Present::Nothing),
                Ok(_) => Ok(self.ours(into)?.map_or(Present::Foreign, |(into, found)| Present::Ours(into, found))),
            };
        };
        // Other files with such names are backups too, and in nobody's way.
        for (_, file) in stamped.all(self.cx).into_iter().rev() {
            if let Some((into, found)) = self.ours(&file.to_string_lossy())? {
                return Ok(Present::Ours(into, found));
            }
        }
        Ok(Present::Nothing)
    }

    fn ours(&self, into: &str) -> Result<Option<(String, Box<Sidecar>)>, StepError> {
        let sidecar = Sidecar::read(&self.path(into)?)?.filter(|found| found.made_by.as_ref() == Some(&self.name()));
        Ok(sidecar.map(|sidecar| (into.to_owned(), Box::new(sidecar))))
    }

    /// What the manifest says of who wrote it.
    fn name(&self) -> String {
        format!("{}/{}", self.cx.info().plan, self.cx.info().id)
    }

    /// What is to be made: what an earlier try was to make, unless another file has that name by now.
    pub(super) fn begin(&self, known: Option<Made>) -> Result<Made, StepError> {
        if let Some(known) = known
            && self.path(&known.into)?.symlink_metadata().is_err()
        {
            return Ok(known);
        }
        let into = self.stamped.map_or_else(|| self.config.into.clone(), |stamped| stamped.next(self.cx));
        let folders = self.path(&into)?.ancestors().skip(1).take_while(|folder| !folder.exists()).count();
        Ok(Made { version: VERSION, into, folders })
    }

    fn since(&self) -> Result<u64, StepError> {
        let (Some(step), Some(from)) = (&self.config.after, &self.config.from) else { return Ok(self.config.since) };
        let name = format!("{}/{step}", self.cx.info().plan);
        let cursor = into::of(self.cx, from)?.read(|store| store.map_or(Ok(None), |store| Cursor::of(&name, store)))?;
        let max = cursor.filter(|cursor| cursor.done).map(|cursor| cursor.max_version);
        max.map(|max| max.saturating_add(1)).ok_or_else(|| {
            StepError::conflict(format!("no copy of the step `{step}` is in `{from}`"))
                .with_help("name a step `kv.copy` that is applied, and copies into that target")
        })
    }

    pub(super) fn write(&self, into: &str) -> Result<Sidecar, StepError> {
        let (path, since) = (self.path(into)?, self.since()?);
        if let Some(above) = path.parent() {
            disk::private_dir(above)?;
        }
        let Some(argv) = &self.config.backup_command else {
            let from = From::of(self.cx, &[], self.config.from.as_deref())?;
            return self.write_from(&path, from.source(), since);
        };
        // Into the step's folder first, where what is half written is nobody's backup.
        let file = self.cx.scratch_dir().join("asked.bak");
        disk::private_dir(&self.cx.scratch_dir())?;
        let words = ("{since}", &*since.to_string());
        asked(self.cx, "backup-command", argv, words, self.config.timeout(), Some(&file))?;
        let written = self.write_from(&path, &BackupFile::new(&file), since);
        gone(&file)?;
        written
    }

    fn write_from(&self, path: &Path, source: &dyn RecordSource, since: u64) -> Result<Sidecar, StepError> {
        let name = self.name();
        let parts = match source.order() {
            Order::Sorted => source.parts(since)?,
            Order::Unsorted => {
                let sorted = sorted(source.records(since)?, MEMORY, &self.cx.scratch_dir().join("sort"))?;
                vec![Box::new(move || Ok(Box::new(sorted) as Records<'_>)) as Part<'_>]
            }
        };
        Ok(write_backup_of(path, since, Some(&name), parts, &mut |count| self.cx.progress(count, None, "records"))?)
    }

    /// Leaves the backup where it is if it is named by its moment, but no longer as this step's; or else gives it another
    /// name, and removes the folders that were made for it and are empty then.
    pub(super) fn keep(&self, made: &Made) -> Result<(), StepError> {
        let path = self.path(&made.into)?;
        gone(&disk::partial_name(&path)?)?;
        if self.stamped.is_some() {
            if let Present::Ours(into, mut found) = self.present()? {
                found.made_by = None;
                found.write(&self.path(&into)?)?;
                fault::point(fault::KV_BACKUP_KEPT);
                self.cx.note(&format!("the backup `{into}` is kept"));
            } else if path.symlink_metadata().is_err() {
                gone(&Sidecar::path_of(&path))?;
            }
            return remove_folders(&path, made.folders);
        }
        match self.present()? {
            Present::Foreign => return Ok(()),
            Present::Ours(_, found) => {
                let kept = free(&path, ".rolled-back");
                // The manifest is copied first: a backup without one could be half of one.
                found.write(&kept)?;
                disk::rename(&path, &kept).map_err(|error| disk::io_error("cannot rename", &path, error))?;
                disk::sync_parent(&path)?;
                fault::point(fault::KV_BACKUP_KEPT);
                let shown = kept.strip_prefix(self.cx.root()).unwrap_or(&kept);
                self.cx.note(&format!("the backup is kept as `{}`", shown.display()));
            }
            Present::Nothing => {}
        }
        gone(&Sidecar::path_of(&path))?;
        remove_folders(&path, made.folders)
    }

    /// Backups with such names that no step holds, where it is said how many stay: what steps hold counts among these.
    pub(super) fn leftovers(&self) -> Result<Leftovers, StepError> {
        let (Some(stamped), Some(keep)) = (&self.stamped, self.config.keep) else { return Ok(Leftovers::default()) };
        let (mut held, mut found) = (0, Vec::new());
        for (number, file) in stamped.all(self.cx) {
            let path = self.cx.root().join(&file);
            // What cannot be read is not taken for one that nobody holds.
            match Sidecar::read(&path) {
                Ok(sidecar) if sidecar.as_ref().is_none_or(|sidecar| sidecar.made_by.is_none()) => {
                    let manifest = sidecar.map(|_| (number, Sidecar::path_of(&path)));
                    found.push((number, path));
                    found.extend(manifest);
                }
                _ => held += 1,
            }
        }
        Ok(Leftovers { what: "an earlier backup", keep: Some(keep.saturating_sub(held)), found })
    }
}

fn gone(path: &Path) -> Result<(), StepError> {
    match disk::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk::io_error("cannot remove", path, error)),
        _ => Ok(()),
    }
}

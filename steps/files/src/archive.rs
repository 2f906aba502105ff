//! `file.archive`: sets files aside, and never deletes or overwrites one.
//!
//! Owns the step kind. Which files there are is the `dir` target's business; a file keeps its relative path inside the
//! archive.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk::{hash_file, inside, io_error, sync_parent};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepErrorKind, StepKind, Use, Verdict, async_trait, blake3_hex, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::dir::moving::move_file;
use crate::dir::walk::{Entry, Kind, walk};
use crate::dir::{DirConfig, DirTarget};
use crate::globs;

const VERSION: u32 = 1;

/// Sets files aside.
#[derive(Debug)]
pub struct FileArchive {
    config: ArchiveConfig,
    base: Base,
}

/// Which files, and where they go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ArchiveConfig {
    /// Patterns, relative to the step's `dir` target or else to the root; a matched folder means all in it.
    pub files: Vec<String>,
    /// Folder that receives them under their relative paths, relative to the same.
    pub into: String,
}

/// What apply made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Made {
    version: u32,
    /// As in the plan.
    into: String,
    moved: Vec<Moved>,
    /// Folders made for them, outermost first, relative to the base.
    folders: Vec<String>,
}

/// One file or link that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Moved {
    /// Where it was, relative to the base.
    path: String,
    /// BLAKE3 (hex) of its content, or of a link's destination.
    blake3: String,
    bytes: u64,
}

/// Where a file of a receipt is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only where it was.
    Home,
    /// Only in the archive.
    Archive,
    /// In both: a move across devices was cut short, or somebody made a new one.
    Both,
    /// Nowhere.
    Gone,
}

impl StepKind for FileArchive {
    const KIND: &'static str = "file.archive";
    const SUMMARY: &'static str = "set files aside in an archive folder, never deleting or overwriting one";
    const EXAMPLE: &'static str = r#"id = "archive-logs"
use = "file.archive"
with = { files = ["logs/*.jsonl"], into = "archive/pre-2.0" }
"#;
    type Config = ArchiveConfig;

    fn build(config: ArchiveConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        if config.files.is_empty() {
            return Err(BuildError::at("files", "no file is named").with_help("name at least one: [\"logs/*.jsonl\"]"));
        }
        globs::check("files", &config.files)?;
        let into = Path::new(&config.into);
        if !cutover_core::plan::is_inside(into) || into.file_name().is_none() {
            return Err(BuildError::at("into", format!("`{}` is no folder inside the folder", config.into))
                .with_help("name a folder of its own, without `..`: \"archive/pre-2.0\""));
        }
        Ok(Self { config, base: Base::of(cx)? })
    }
}

register_step!(FileArchive);

#[async_trait]
impl MigrationStep for FileArchive {
    fn describe(&self) -> Vec<Change> {
        let into = &self.config.into;
        let change =
            |p: &String| Change::new(Action::Remove, format!("files {p}")).with_detail(format!("set aside in {into}"));
        self.config.files.iter().map(change).collect()
    }

    fn uses(&self) -> Vec<Use> {
        self.base.uses()
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let (job, intent) = (self.job(cx)?, intent(cx)?);
        cx.blocking(move || {
            let fresh = match job.fresh() {
                Ok(fresh) => fresh,
                Err(e) if e.kind() == StepErrorKind::Conflict => return Ok(Standing::Conflict(in_full(&e))),
                Err(e) => return Err(e),
            };
            let done = job.done(intent.as_ref())?.len();
            Ok(match (fresh.len(), done) {
                (0, _) => Standing::Applied,
                (_, 0) => Standing::Pending,
                (left, done) => Standing::Partial(format!("{done} files are set aside, {left} are not")),
            })
        })
        .await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let (job, intent) = (self.job(cx)?, intent(cx)?);
        let made = cx
            .blocking(move || {
                let (fresh, done) = (job.fresh()?, job.done(intent.as_ref())?);
                let todo = fresh.len();
                let mut moved: Vec<_> = done.into_iter().chain(fresh).collect();
                moved.sort_by(|a, b| a.path.cmp(&b.path));
                moved.dedup();
                let mut folders = job.missing_folders(&moved)?;
                // Those of an interrupted try are there already, and are still ours.
                folders.extend(intent.into_iter().flat_map(|made| made.folders).filter(|_| !moved.is_empty()));
                folders.sort();
                folders.dedup();
                Ok((Made { version: VERSION, into: job.into.clone(), moved, folders }, todo, job))
            })
            .await?;
        let (made, todo, job) = made;
        if made.moved.is_empty() {
            return Ok(Applied::AlreadyApplied(Receipt::nothing()));
        }
        let receipt = Receipt::of(&made)?.with_bytes(made.moved.iter().map(|m| m.bytes).sum()).with_note(format!(
            "{} files set aside in {}",
            made.moved.len(),
            made.into
        ));
        if todo == 0 {
            let inner = cx.clone();
            cx.blocking(move || job.move_all(&inner, &made.moved).map(drop)).await?;
            return Ok(Applied::AlreadyApplied(receipt));
        }
        cx.intend(&receipt).await?;
        let inner = cx.clone();
        let (count, total) = (cx.blocking(move || Ok((job.move_all(&inner, &made.moved)?, made.moved.len()))).await)?;
        Ok(match count {
            Some(done) => Applied::Stopped(Checkpoint { at: format!("{done} of {total} files") }),
            None => Applied::Changed(receipt),
        })
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let recorded = cx.receipt_of(&cx.info().id).await?.filter(|r| !r.body.is_null());
        let made = match recorded {
            Some(receipt) => Some(receipt.read::<Made>()?),
            None => intent(cx)?,
        };
        let job = self.job(cx)?;
        cx.blocking(move || {
            let lines: Vec<_> = match made {
                // New files that match are not what this step was about.
                Some(made) => job.not_archived(&made)?,
                None => job.matching()?.into_iter().map(|e| format!("`{}` is not set aside", e.path)).collect(),
            };
            Ok(if lines.is_empty() { Verdict::Holds } else { Verdict::Broken(lines) })
        })
        .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let Some(made) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()? else {
            return Ok(());
        };
        let job = self.job(cx)?;
        cx.blocking(move || job.move_back(&made)).await
    }
}

impl FileArchive {
    fn job(&self, cx: &StepContext) -> Result<Job, StepError> {
        let covered = match self.base.target() {
            Some(name) => Some(cx.target::<DirTarget>(name)?.config().clone()),
            None => None,
        };
        Ok(Job {
            folder: self.base.folder(cx)?,
            files: self.config.files.clone(),
            into: self.config.into.trim_end_matches('/').to_owned(),
            covered,
            cx: cx.clone(),
        })
    }
}

/// The blocking side of the step.
#[derive(Debug)]
struct Job {
    folder: PathBuf,
    files: Vec<String>,
    into: String,
    covered: Option<DirConfig>,
    cx: StepContext,
}

impl Job {
    fn home(&self, path: &str) -> Result<PathBuf, StepError> {
        inside(&self.folder, path, false)
    }

    fn archived(&self, path: &str) -> Result<PathBuf, StepError> {
        inside(&self.folder, &format!("{}/{path}", self.into), false)
    }

    /// What is there to be set aside.
    fn matching(&self) -> Result<Vec<Entry>, StepError> {
        let config = DirConfig { include: self.files.clone(), exclude: Vec::new() };
        let mut found = walk(&self.cx, &self.folder, &config)?;
        found.retain(|e| !Path::new(&e.path).starts_with(&self.into));
        found.retain(|e| self.covered.as_ref().is_none_or(|config| config.covers(&e.path)));
        Ok(found)
    }

    /// What is there to be set aside, hashed; refused where something is in the way.
    fn fresh(&self) -> Result<Vec<Moved>, StepError> {
        let mut fresh = Vec::new();
        for entry in self.matching()? {
            if entry.kind == Kind::Special {
                return Err(StepError::conflict(format!(
                    "`{}` is no file but a socket, a pipe or a device",
                    entry.path
                ))
                .with_help("stop the program that made it, or leave it out of `files`"));
            }
            let home = self.home(&entry.path)?;
            let (bytes, blake3) = content(&home)?;
            let there = self.archived(&entry.path)?;
            // The same bytes there: a move across devices that a crash cut short.
            if there.symlink_metadata().is_ok() && content(&there)? != (bytes, blake3.clone()) {
                return Err(StepError::conflict(format!(
                    "`{0}` cannot be set aside: `{1}/{0}` is there already",
                    entry.path, self.into
                ))
                .with_help("choose another `into`, or move that file elsewhere; it is never overwritten"));
            }
            fresh.push(Moved { path: entry.path, blake3, bytes });
        }
        Ok(fresh)
    }

    /// What an interrupted try has set aside.
    fn done(&self, intent: Option<&Made>) -> Result<Vec<Moved>, StepError> {
        let mut done = Vec::new();
        for moved in intent.map(|made| made.moved.as_slice()).unwrap_or_default() {
            if self.place(moved)? == Place::Archive && content(&self.archived(&moved.path)?)?.1 == moved.blake3 {
                done.push(moved.clone());
            }
        }
        Ok(done)
    }

    fn place(&self, moved: &Moved) -> Result<Place, StepError> {
        let home = self.home(&moved.path)?.symlink_metadata().is_ok();
        let archived = self.archived(&moved.path)?.symlink_metadata().is_ok();
        Ok(match (home, archived) {
            (true, false) => Place::Home,
            (false, true) => Place::Archive,
            (true, true) => Place::Both,
            (false, false) => Place::Gone,
        })
    }

    /// Folders that the move will make, outermost first, relative to the base.
    fn missing_folders(&self, moved: &[Moved]) -> Result<Vec<String>, StepError> {
        let real = self.folder.canonicalize().map_err(|e| io_error("cannot open", &self.folder, e))?;
        let mut folders = Vec::new();
        for one in moved {
            let to = self.archived(&one.path)?;
            let missing = to.ancestors().skip(1).take_while(|f| !f.exists());
            folders.extend(missing.map(|f| f.strip_prefix(&real).unwrap_or(f).display().to_string()));
        }
        folders.sort();
        folders.dedup();
        Ok(folders)
    }

    /// Moves what is still at home. Returns how many are done when a stop was requested on the way.
    fn move_all(&self, cx: &StepContext, moved: &[Moved]) -> Result<Option<usize>, StepError> {
        for (i, one) in moved.iter().enumerate() {
            cx.progress(i as u64, Some(moved.len() as u64), "files");
            if cx.stop_requested() {
                return Ok(Some(i));
            }
            let (home, there) = (self.home(&one.path)?, self.archived(&one.path)?);
            match self.place(one)? {
                Place::Home => move_file(&home, &there)?,
                Place::Both if content(&there)?.1 == one.blake3 && content(&home)?.1 == one.blake3 => remove(&home)?,
                Place::Archive => {}
                Place::Both | Place::Gone => {
                    return Err(StepError::failed(format!("`{}` was changed by somebody else just now", one.path))
                        .with_help("stop the program that writes it, then run again"));
                }
            }
        }
        Ok(None)
    }

    fn not_archived(&self, made: &Made) -> Result<Vec<String>, StepError> {
        let mut lines = Vec::new();
        for one in &made.moved {
            let there = self.archived(&one.path)?;
            match there.symlink_metadata() {
                Err(_) => lines.push(format!("`{}/{}` is missing", self.into, one.path)),
                Ok(_) if content(&there)?.1 != one.blake3 => {
                    lines.push(format!("`{}/{}` was changed", self.into, one.path));
                }
                Ok(_) => {}
            }
        }
        Ok(lines)
    }

    /// Moves everything back, or nothing when something is in the way.
    fn move_back(&self, made: &Made) -> Result<(), StepError> {
        let mut work = BTreeMap::new();
        let mut refused = Vec::new();
        for one in &made.moved {
            let (home, there) = (self.home(&one.path)?, self.archived(&one.path)?);
            let place = self.place(one)?;
            let intact = |path: &Path| content(path).is_ok_and(|(_, hash)| hash == one.blake3);
            match place {
                Place::Home => {}
                Place::Archive if intact(&there) => drop(work.insert(&one.path, place)),
                Place::Both if intact(&home) && intact(&there) => drop(work.insert(&one.path, place)),
                Place::Archive => refused.push(format!("`{}/{}` was changed in the archive", self.into, one.path)),
                Place::Both => refused.push(format!("somebody made a new `{}`", one.path)),
                Place::Gone => refused.push(format!("`{}/{}` is gone", self.into, one.path)),
            }
        }
        if !refused.is_empty() {
            return Err(StepError::failed(format!("files cannot be moved back: {}", refused.join("; ")))
                .with_help("nothing was moved; move what is in the way elsewhere, then roll back again"));
        }
        for (path, place) in work.into_iter().rev() {
            let (home, there) = (self.home(path)?, self.archived(path)?);
            if place == Place::Both {
                remove(&there)?;
            } else {
                move_file(&there, &home)?;
            }
        }
        for folder in made.folders.iter().rev() {
            // Not empty, or gone: not ours to remove any more.
            let _ = fs::remove_dir(self.home(folder)?);
        }
        Ok(())
    }
}

/// Removes one of two files that were proven to be the same.
fn remove(path: &Path) -> Result<(), StepError> {
    fs::remove_file(path).map_err(|e| io_error("cannot remove", path, e))?;
    sync_parent(path)
}

/// Size and hash of a file, or of where a link leads.
fn content(path: &Path) -> Result<(u64, String), StepError> {
    let found = path.symlink_metadata().map_err(|e| io_error("cannot look at", path, e))?;
    if !found.is_symlink() {
        return hash_file(path);
    }
    let to = fs::read_link(path).map_err(|e| io_error("cannot read the link", path, e))?;
    Ok((0, blake3_hex(to.as_os_str().as_encoded_bytes())))
}

fn intent(cx: &StepContext) -> Result<Option<Made>, StepError> {
    cx.info().intent.as_ref().filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()
}

fn in_full(error: &StepError) -> String {
    match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;

//! `file.archive`: sets files aside, and never deletes or overwrites one.
//!
//! Owns the step kind. Which files there are is the `dir` target's business; a file keeps its relative path inside the
//! archive.

mod job;

use std::path::Path;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepErrorKind, StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::dir::DirTarget;
use crate::globs;
use job::Job;

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

impl StepKind for FileArchive {
    const KIND: &'static str = "file.archive";
    const SUMMARY: &'static str = "set files aside in an archive folder, never deleting or overwriting one";
    const EXAMPLE: &'static str = r#"id = "archive-logs"
use = "file.archive"
with = { files = ["logs/*.jsonl"], into = "archive/pre-2.0" }
"#;
    const FAULTS: Faults = Faults {
        apply: &[fault::ARCHIVE_INTENDED, fault::FILES_COPY_MADE, fault::FILES_COPY_NAMED, fault::ARCHIVE_MOVED],
        rollback: &[fault::FILES_COPY_MADE, fault::FILES_COPY_NAMED, fault::ARCHIVE_RETURNED, fault::ARCHIVE_EMPTIED],
    };
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
            return Ok(Applied::AlreadyApplied(Receipt::nothing().with_note("no file matches: nothing to set aside")));
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
        fault::point(fault::ARCHIVE_INTENDED);
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

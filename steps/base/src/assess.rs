//! `target.assess`: looks at every target before anything is changed, and writes down what it found.
//!
//! Owns the step kind: when it writes, how it knows its artifact again, how it takes it back. What is looked at is
//! `survey`'s, the artifact's format is `report`'s.

mod config;
mod survey;

use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk::{PRIVATE_FILE, inside, io_error, private_dir, remove_partial, sync_parent, write_atomic};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, blake3_hex, fault, fault::Faults, register_step,
};
use serde::{Deserialize, Serialize};

use crate::report::{self, Report};
pub use config::{AssessConfig, CountConfig};
use survey::survey;

/// Assesses targets and writes `migration-plan-<date>.json`.
#[derive(Debug)]
pub struct TargetAssess {
    config: AssessConfig,
}

/// What apply made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Made {
    version: u32,
    /// Relative to the root.
    path: String,
    blake3: String,
    /// Folders made for it, outermost first, relative to the root.
    folders: Vec<String>,
}

impl StepKind for TargetAssess {
    const KIND: &'static str = "target.assess";
    const SUMMARY: &'static str = "look at every target before anything changes and write migration-plan-<date>.json";
    const EXAMPLE: &'static str = r#"id = "assess"
use = "target.assess"
with = { targets = ["main"], free-space = 2 }
"#;
    const FAULTS: Faults = Faults {
        apply: &[fault::ASSESS_INTENDED, fault::DISK_PARTIAL, fault::ASSESS_WRITTEN],
        rollback: &[fault::ASSESS_REMOVED],
    };
    type Config = AssessConfig;

    fn build(config: AssessConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        config.check(cx)?;
        Ok(Self { config })
    }
}

register_step!(TargetAssess);

#[async_trait]
impl MigrationStep for TargetAssess {
    fn describe(&self) -> Vec<Change> {
        let mut changes: Vec<_> =
            self.config.targets.iter().map(|t| Change::new(Action::Check, format!("target {t}"))).collect();
        for (what, count) in &self.config.counts {
            changes
                .push(Change::new(Action::Check, format!("count {what}")).with_detail(format!("in {}", count.target)));
        }
        for (name, argv) in &self.config.versions {
            changes.push(Change::new(Action::Run, format!("version of {name}")).with_detail(argv.join(" ")));
        }
        let file = Path::new(&self.config.into).join("migration-plan-<date>.json");
        let file = file.strip_prefix(".").unwrap_or(&file).display().to_string();
        changes.push(Change::new(Action::Create, format!("file {file}")));
        changes
    }

    fn uses(&self) -> Vec<Use> {
        let counted = self.config.counts.values().map(|c| &c.target);
        let mut uses: Vec<_> = self.config.targets.iter().chain(counted).map(Use::read).collect();
        uses.sort();
        uses.dedup();
        uses
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let found = self.find(cx).await?;
        Ok(if found.is_empty() { Standing::Pending } else { Standing::Applied })
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        if let Some(receipt) = self.written(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let report = survey(&self.config, cx).await?;
        let (bytes, taken_at) = (report.to_bytes()?, report.taken_at);
        let (inner, into) = (cx.clone(), self.config.into.clone());
        let (made, path) = cx
            .blocking(move || {
                let folder = inside(inner.root(), &into, true)?;
                let mut folders: Vec<_> =
                    folder.ancestors().take_while(|f| !f.exists()).map(|f| relative(&inner, f)).collect();
                // Those of an interrupted try are there already, and are still ours.
                folders.extend(intent(&inner)?.into_iter().flat_map(|made| made.folders));
                folders.sort();
                folders.dedup();
                let path = report::free_name(&folder, taken_at);
                let (version, shown) = (report::VERSION, relative(&inner, &path));
                Ok((Made { version, path: shown, blake3: blake3_hex(&bytes), folders }, (path, bytes)))
            })
            .await?;
        let (path, bytes) = path;
        let receipt = Receipt::of(&made)?
            .with_bytes(bytes.len() as u64)
            .with_note(format!("wrote {}", made.path))
            .with_note(report.estimates.total.for_people());
        cx.intend(&receipt).await?;
        fault::point(fault::ASSESS_INTENDED);
        cx.blocking(move || {
            if let Some(folder) = path.parent() {
                private_dir(folder)?;
            }
            write_atomic(&path, &bytes, PRIVATE_FILE)
        })
        .await?;
        fault::point(fault::ASSESS_WRITTEN);
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let (inner, into) = (cx.clone(), self.config.into.clone());
        let all = cx.blocking(move || report::all_in(&inside(inner.root(), &into, true)?)).await?;
        let mut broken = Vec::new();
        for (path, report) in all {
            match report {
                Ok(report) if report.is_of(cx.info()) => return Ok(Verdict::Holds),
                Ok(_) => {}
                Err(e) => broken.push(format!("{}: {}", relative(cx, &path), e.chain())),
            }
        }
        if broken.is_empty() {
            broken.push(format!("no migration-plan-<date>.json of this step in `{}`", self.config.into));
        }
        Ok(Verdict::Broken(broken))
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let Some(made) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()? else {
            return Ok(());
        };
        let inner = cx.clone();
        cx.blocking(move || {
            let path = inside(inner.root(), &made.path, false)?;
            remove_partial(&path)?;
            match fs::read(&path) {
                Ok(bytes) if blake3_hex(&bytes) == made.blake3 => {
                    cutover_core::disk::remove_file(&path).map_err(|e| io_error("cannot remove", &path, e))?;
                    sync_parent(&path)?;
                    fault::point(fault::ASSESS_REMOVED);
                }
                Ok(_) => inner.note(&format!("`{}` was edited since and stays", made.path)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(io_error("cannot read", &path, e)),
            }
            for folder in made.folders.iter().rev() {
                // Not empty, or gone: not ours to remove any more.
                let _ = cutover_core::disk::remove_dir(&inside(inner.root(), folder, false)?);
            }
            Ok(())
        })
        .await
    }
}

impl TargetAssess {
    /// Artifacts that this step wrote, by path.
    async fn find(&self, cx: &StepContext) -> Result<Vec<(PathBuf, Report)>, StepError> {
        let (inner, into) = (cx.clone(), self.config.into.clone());
        cx.blocking(move || {
            let all = report::all_in(&inside(inner.root(), &into, true)?)?;
            Ok(all.into_iter().filter_map(|(p, r)| Some((p, r.ok()?))).filter(|(_, r)| r.is_of(inner.info())).collect())
        })
        .await
    }

    /// The receipt of an artifact that an interrupted try, or this very run, has written already.
    async fn written(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        if let Some(made) = intent(cx)?
            && let Some(intent) = cx.info().intent.clone()
        {
            let inner = cx.clone();
            let whole = cx
                .blocking(move || {
                    let path = inside(inner.root(), &made.path, false)?;
                    Ok(fs::read(path).is_ok_and(|bytes| blake3_hex(&bytes) == made.blake3))
                })
                .await?;
            if whole {
                return Ok(Some(intent));
            }
        }
        let found = self.find(cx).await?;
        let ours = found.into_iter().find(|(_, r)| r.run == cx.info().run);
        Ok(ours.map(|(path, _)| Receipt::nothing().with_note(format!("{} is there", relative(cx, &path)))))
    }
}

/// What an interrupted try was about to make.
fn intent(cx: &StepContext) -> Result<Option<Made>, StepError> {
    cx.info().intent.as_ref().filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()
}

/// `path` relative to the root, for receipts and people.
fn relative(cx: &StepContext, path: &Path) -> String {
    let root = cx.root().canonicalize().unwrap_or_else(|_| cx.root().to_owned());
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;

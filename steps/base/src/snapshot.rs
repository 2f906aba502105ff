//! `target.snapshot`: one consistent cut through several targets, kept in a folder of its own.
//!
//! Owns the step kind: when it writes, how it knows its set again, what it leaves on the way back. The cut itself is
//! `cut`'s.

mod cut;
mod place;
mod set;

use std::path::Path;

use cutover_core::disk::{PRIVATE_FILE, inside, io_error, sync_parent, write_atomic, write_once};
use cutover_core::room::room;
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Leftovers, MigrationStep, Receipt, SnapshotManifest, Standing,
    StepContext, StepError, StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use cut::cut;
use place::{INCOMPLETE, ROLLED_BACK, earlier_sets, make_place, occupied, remove_incomplete};
use set::MANIFEST;
pub use set::{SetMember, SnapshotSet};

/// Takes snapshots of targets in one consistent cut.
#[derive(Debug)]
pub struct TargetSnapshot {
    config: SnapshotConfig,
}

/// What is kept, and where.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SnapshotConfig {
    /// The targets, by name.
    pub targets: Vec<String>,
    /// Folder of the snapshots, relative to the root, for this step alone. An earlier complete set of it there is set
    /// aside, never overwritten; one of another step or plan is refused until that is rolled back.
    pub into: String,
}

/// What apply made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Made {
    version: u32,
    attempt: String,
    /// Relative to the root.
    into: String,
    /// What a runner restores from; empty in an intent.
    manifests: Vec<SnapshotManifest>,
}

impl StepKind for TargetSnapshot {
    const KIND: &'static str = "target.snapshot";
    const SUMMARY: &'static str = "copy several targets in one consistent cut, hashed and proven to open";
    const EXAMPLE: &'static str = r#"id = "snapshot"
use = "target.snapshot"
with = { targets = ["main"], into = "backups/pre-migration" }
"#;
    const FAULTS: Faults = Faults {
        apply: &[
            fault::SNAPSHOT_INTENDED,
            fault::DISK_PARTIAL,
            fault::SNAPSHOT_EMPTIED,
            fault::SNAPSHOT_PLACED,
            fault::SNAPSHOT_TAKEN,
            fault::SNAPSHOT_DESCRIBED,
            fault::SNAPSHOT_COMPLETE,
        ],
        rollback: &[fault::DISK_PARTIAL, fault::SNAPSHOT_MARKED],
    };
    type Config = SnapshotConfig;

    fn build(config: SnapshotConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        if config.targets.is_empty() {
            return Err(BuildError::at("targets", "no target is named").with_help("name at least one target"));
        }
        for (i, name) in config.targets.iter().enumerate() {
            cx.known_target(name, None, &format!("targets[{i}]"))?;
            if config.targets[..i].contains(name) {
                return Err(BuildError::at(format!("targets[{i}]"), format!("target `{name}` is named twice")));
            }
        }
        let into = Path::new(&config.into);
        if !cutover_core::plan::is_inside(into) || into.file_name().is_none() {
            return Err(BuildError::at("into", format!("`{}` is no folder inside the root", config.into))
                .with_help("name a folder of its own, relative to the root: \"backups/pre-migration\""));
        }
        Ok(Self { config })
    }
}

register_step!(TargetSnapshot);

#[async_trait]
impl MigrationStep for TargetSnapshot {
    fn describe(&self) -> Vec<Change> {
        let into = &self.config.into;
        let change =
            |t: &String| Change::new(Action::Create, format!("snapshot of {t}")).with_detail(format!("in {into}/{t}"));
        self.config.targets.iter().map(change).collect()
    }

    fn uses(&self) -> Vec<Use> {
        let mut uses: Vec<_> = self.config.targets.iter().map(Use::read).collect();
        uses.sort();
        uses
    }

    fn snapshots(&self) -> Vec<String> {
        self.config.targets.clone()
    }

    fn folders(&self) -> Vec<String> {
        vec![self.config.into.clone()]
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let (inner, into) = (cx.clone(), self.config.into.clone());
        cx.blocking(move || {
            let folder = inside(inner.root(), &into, true)?;
            Ok(match occupied(&inner, &folder) {
                Ok(Some(set)) if set.is_of(&inner) && !folder.join(ROLLED_BACK).exists() => Standing::Applied,
                Ok(_) if folder.join(INCOMPLETE).exists() => Standing::Partial(format!("`{into}` is incomplete")),
                Ok(_) => Standing::Pending,
                Err(e) => Standing::Conflict(match e.help() {
                    Some(help) => format!("{e}; {help}"),
                    None => e.to_string(),
                }),
            })
        })
        .await
    }

    async fn leftovers(&self, cx: &StepContext) -> Result<Leftovers, StepError> {
        let (inner, into) = (cx.clone(), self.config.into.clone());
        cx.blocking(move || {
            let found = earlier_sets(&inner, &inside(inner.root(), &into, true)?);
            Ok(Leftovers { what: "an earlier set of snapshots", keep: None, found })
        })
        .await
    }

    async fn recover(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        let (inner, into) = (cx.clone(), self.config.into.clone());
        cx.blocking(move || {
            let folder = inside(inner.root(), &into, true)?;
            let Some(set) = SnapshotSet::read(&folder)? else { return Ok(None) };
            if !set.is_of(&inner) || folder.join(ROLLED_BACK).exists() || !set.damage(&folder).is_empty() {
                return Ok(None);
            }
            let made =
                Made { version: SnapshotSet::VERSION, attempt: set.attempt.clone(), into, manifests: set.manifests() };
            Ok(Some(Receipt::of(&made)?.with_bytes(set.bytes())))
        })
        .await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let intended =
            cx.info().intent.as_ref().filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()?;
        let (inner, into) = (cx.clone(), self.config.into.clone());
        let found = cx
            .blocking(move || {
                let folder = inside(inner.root(), &into, true)?;
                // Only what this very try began: a complete set of an earlier run is old news.
                let ours = occupied(&inner, &folder)?.zip(intended).filter(|(set, made)| {
                    set.is_of(&inner)
                        && set.attempt == made.attempt
                        && !folder.join(ROLLED_BACK).exists()
                        && set.damage(&folder).is_empty()
                });
                Ok((ours, folder))
            })
            .await?;
        let (done, folder) = found;
        if let Some((set, mut made)) = done {
            made.manifests = set.manifests();
            return Ok(Applied::AlreadyApplied(Receipt::of(&made)?.with_bytes(set.bytes())));
        }
        let mut made = Made {
            version: SnapshotSet::VERSION,
            attempt: format!("{}@{}", cx.info().run, cx.now()),
            into: self.config.into.clone(),
            manifests: Vec::new(),
        };
        self.need_room(cx, &folder).await?;
        cx.intend(&Receipt::of(&made)?).await?;
        fault::point(fault::SNAPSHOT_INTENDED);
        let (inner, place) = (cx.clone(), folder.clone());
        let aside = cx.blocking(move || make_place(&inner, &place)).await?;
        fault::point(fault::SNAPSHOT_PLACED);
        let set = cut(cx, &self.config.targets, &folder, made.attempt.clone()).await?;
        made.manifests = set.manifests();
        let (bytes, document) = (set.bytes(), set.to_bytes()?);
        cx.blocking(move || {
            write_atomic(&folder.join(MANIFEST), &document, PRIVATE_FILE)?;
            fault::point(fault::SNAPSHOT_DESCRIBED);
            let marker = folder.join(INCOMPLETE);
            cutover_core::disk::remove_file(&marker).map_err(|e| io_error("cannot remove", &marker, e))?;
            sync_parent(&marker)
        })
        .await?;
        fault::point(fault::SNAPSHOT_COMPLETE);
        let mut receipt = Receipt::of(&made)?.with_bytes(bytes);
        if let Some(name) = aside {
            receipt = receipt.with_note(format!("an earlier set is kept as {name}"));
        }
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let (inner, config) = (cx.clone(), self.config.clone());
        cx.blocking(move || {
            let folder = inside(inner.root(), &config.into, true)?;
            let Some(set) = SnapshotSet::read(&folder)? else {
                return Ok(Verdict::Broken(vec![format!("`{}` holds no complete set", config.into)]));
            };
            if !set.is_of(&inner) {
                return Ok(Verdict::Broken(vec![format!("`{}` holds the set of {}", config.into, set.taken_by())]));
            }
            let mut lines: Vec<_> = config
                .targets
                .iter()
                .filter(|t| !set.snapshots.contains_key(*t))
                .map(|t| format!("{t}: not in the set"))
                .collect();
            lines.extend(set.damage(&folder));
            Ok(if lines.is_empty() { Verdict::Holds } else { Verdict::Broken(lines) })
        })
        .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let Some(made) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()? else {
            return Ok(());
        };
        let inner = cx.clone();
        cx.blocking(move || {
            let folder = inside(inner.root(), &made.into, true)?;
            match SnapshotSet::read(&folder)? {
                Some(set) if set.attempt == made.attempt => {
                    write_once(&folder.join(ROLLED_BACK), b"")?;
                    fault::point(fault::SNAPSHOT_MARKED);
                    inner.note(&format!("the snapshots in `{}` are kept: a rollback may need them", made.into));
                    Ok(())
                }
                Some(_) => Ok(()),
                None => remove_incomplete(&folder),
            }
        })
        .await
    }
}

impl TargetSnapshot {
    async fn need_room(&self, cx: &StepContext, folder: &Path) -> Result<(), StepError> {
        let mut needed = 0;
        for name in &self.config.targets {
            needed += cx.any_target(name)?.snapshot_bytes(cx, folder).await?;
        }
        let folder = folder.to_owned();
        let help = "free some space there, then run the same command again; nothing was copied";
        cx.blocking(move || room(&folder, needed, "the snapshots", help).map(drop)).await
    }
}

#[cfg(test)]
mod tests;

//! `target.snapshot`: one consistent cut through several targets, kept in a folder of its own.
//!
//! Owns the step kind and the set's manifest (`manifest.json`, format version 1). How a target is copied is the
//! target's business; this only proves that nothing moved between the first copy and the last.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk::{
    PRIVATE_FILE, hash_file, inside, io_error, private_dir, sync_parent, write_atomic, write_once,
};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, SnapshotManifest, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, blake3_hex, canonical_json, register_step,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::estimate;

const MANIFEST: &str = "manifest.json";

/// Present while a set is being taken; a crash leaves it.
const INCOMPLETE: &str = "incomplete";

/// Present in a set whose step was rolled back: kept, and never taken for the work of a later apply.
const ROLLED_BACK: &str = "rolled-back";

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
    /// Folder of the snapshots, relative to the root. An earlier complete set there is set aside, never overwritten.
    pub into: String,
}

/// The manifest of a set: every target's own manifest, and a digest of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotSet {
    /// Format version: [`SnapshotSet::VERSION`].
    pub version: u32,
    /// The plan that took it.
    pub plan: String,
    /// The step that took it.
    pub step: String,
    /// The run and the moment at which it was begun.
    pub attempt: String,
    /// When it was complete.
    pub taken_at: Timestamp,
    /// The snapshots, by target.
    pub snapshots: BTreeMap<String, SetMember>,
}

/// One target's part of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetMember {
    /// BLAKE3 (hex) of the manifest as canonical JSON.
    pub blake3: String,
    /// The target's own manifest.
    pub manifest: SnapshotManifest,
}

impl SnapshotSet {
    /// The format version that this build writes.
    pub const VERSION: u32 = 1;

    /// Reads the set in `folder`; none where no complete one is.
    pub fn read(folder: &Path) -> Result<Option<Self>, StepError> {
        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(io_error("cannot read", &path, e)),
        };
        let unreadable = |e: serde_json::Error| {
            StepError::conflict(format!("`{}` is no manifest of a snapshot set", path.display()))
                .with_help("set the folder aside, or choose another `into`")
                .caused_by(e)
        };
        let any: serde_json::Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
        match any.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > u64::from(Self::VERSION) => Err(StepError::conflict(format!(
                "`{}` has format version {version}; this build reads version {}",
                path.display(),
                Self::VERSION
            ))
            .with_help("use the build that wrote it, or set the folder aside")),
            _ => serde_json::from_value(any).map(Some).map_err(unreadable),
        }
    }

    /// What is not as it was when the set was taken; reads every byte. `folder` is where the set lies now.
    pub fn damage(&self, folder: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        for (target, member) in &self.snapshots {
            if member.blake3 != digest_of(&member.manifest) {
                lines.push(format!("{target}: its manifest was changed"));
            }
            for file in &member.manifest.files {
                let path = folder.join(target).join(&file.path);
                match hash_file(&path) {
                    Ok((bytes, hash)) if (bytes, &hash) == (file.bytes, &file.blake3) => {}
                    Ok((bytes, _)) => lines.push(format!(
                        "{target}: `{}` was changed ({bytes} bytes, {} when taken)",
                        file.path, file.bytes
                    )),
                    Err(e) => lines.push(format!("{target}: `{}`: {e}", file.path)),
                }
            }
        }
        lines
    }

    fn is_of(&self, cx: &StepContext) -> bool {
        let info = cx.info();
        (&self.plan, &self.step) == (&info.plan, &info.id)
    }

    fn manifests(&self) -> Vec<SnapshotManifest> {
        self.snapshots.values().map(|m| m.manifest.clone()).collect()
    }

    fn bytes(&self) -> u64 {
        self.snapshots.values().map(|m| m.manifest.bytes()).sum()
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StepError> {
        serde_json::to_vec_pretty(self)
            .map_err(|e| StepError::internal("a manifest could not be written as JSON").caused_by(e))
    }
}

fn digest_of(manifest: &SnapshotManifest) -> String {
    // Where a set lies may change: an earlier one is set aside.
    let mut value = json!(manifest);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("folder");
    }
    blake3_hex(canonical_json(&value).as_bytes())
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

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let (inner, into) = (cx.clone(), self.config.into.clone());
        cx.blocking(move || {
            let folder = inside(inner.root(), &into, true)?;
            Ok(match occupied(&folder) {
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

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let intended =
            cx.info().intent.as_ref().filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()?;
        let (inner, into) = (cx.clone(), self.config.into.clone());
        let found = cx
            .blocking(move || {
                let folder = inside(inner.root(), &into, true)?;
                // Only what this very try began: a complete set of an earlier run is old news.
                let ours = occupied(&folder)?.zip(intended).filter(|(set, made)| {
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
        self.need_room(cx).await?;
        cx.intend(&Receipt::of(&made)?).await?;
        let place = folder.clone();
        let aside = cx.blocking(move || make_place(&place)).await?;
        let set = self.take(cx, &folder, made.attempt.clone()).await?;
        made.manifests = set.manifests();
        let (bytes, document) = (set.bytes(), set.to_bytes()?);
        cx.blocking(move || {
            write_atomic(&folder.join(MANIFEST), &document, PRIVATE_FILE)?;
            let marker = folder.join(INCOMPLETE);
            fs::remove_file(&marker).map_err(|e| io_error("cannot remove", &marker, e))?;
            sync_parent(&marker)
        })
        .await?;
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
                    inner.note(&format!("the snapshots in `{}` are kept: a rollback may need them", made.into));
                }
                _ => {}
            }
            Ok(())
        })
        .await
    }
}

impl TargetSnapshot {
    async fn need_room(&self, cx: &StepContext) -> Result<(), StepError> {
        let mut bytes = 0;
        for name in &self.config.targets {
            bytes += cx.any_target(name)?.assess(cx).await?.bytes;
        }
        let inner = cx.clone();
        cx.blocking(move || estimate::room(inner.root(), bytes, "the snapshots").map(drop)).await
    }

    /// Takes all snapshots, and proves that nobody committed from before the first until after the last.
    async fn take(&self, cx: &StepContext, folder: &Path, attempt: String) -> Result<SnapshotSet, StepError> {
        let before = self.counters(cx).await?;
        let total = Some(self.config.targets.len() as u64);
        let mut snapshots = BTreeMap::new();
        for (i, name) in self.config.targets.iter().enumerate() {
            cx.progress(i as u64, total, "targets");
            let into = folder.join(name);
            let place = into.clone();
            cx.blocking(move || private_dir(&place).map(drop)).await?;
            let manifest = cx.any_target(name)?.snapshot(cx, &into).await?;
            snapshots.insert(name.clone(), SetMember { blake3: digest_of(&manifest), manifest });
        }
        let after = self.counters(cx).await?;
        let moved: Vec<_> = after
            .iter()
            .filter(|(name, count)| before.get(*name) != Some(count))
            .map(|(n, _)| format!("`{n}`"))
            .collect();
        if !moved.is_empty() {
            return Err(StepError::failed(format!(
                "{} changed while the snapshots were taken, so they are no consistent cut",
                moved.join(" and ")
            ))
            .with_help("stop the programs that write there (or freeze them by an earlier step), then run again"));
        }
        Ok(SnapshotSet {
            version: SnapshotSet::VERSION,
            plan: cx.info().plan.clone(),
            step: cx.info().id.clone(),
            attempt,
            taken_at: cx.now(),
            snapshots,
        })
    }

    async fn counters(&self, cx: &StepContext) -> Result<BTreeMap<String, u64>, StepError> {
        let mut counters = BTreeMap::new();
        for name in &self.config.targets {
            if let Some(count) = cx.any_target(name)?.change_counter(cx).await? {
                counters.insert(name.clone(), count);
            }
        }
        Ok(counters)
    }
}

/// The complete set in `folder`; none when it is absent, empty or an incomplete set; else a conflict.
fn occupied(folder: &Path) -> Result<Option<SnapshotSet>, StepError> {
    let entries = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) => return Err(io_error("cannot read", folder, e)),
    };
    let set = SnapshotSet::read(folder)?;
    if set.is_none() && entries && !folder.join(INCOMPLETE).exists() {
        return Err(StepError::conflict(format!("`{}` holds files that are no snapshots of ours", folder.display()))
            .with_help("choose another `into`, or move them elsewhere"));
    }
    Ok(set)
}

/// Makes `folder` empty but for the marker: a complete set is set aside, an incomplete one is replaced.
/// Returns the name that a complete one got.
fn make_place(folder: &Path) -> Result<Option<String>, StepError> {
    let mut aside = None;
    match occupied(folder)? {
        // Whole, whether or not the marker was still to go when a crash came.
        Some(set) => aside = Some(set_aside(folder, set)?),
        None if folder.exists() => {
            fs::remove_dir_all(folder).map_err(|e| io_error("cannot remove the incomplete set", folder, e))?;
        }
        None => {}
    }
    private_dir(folder)?;
    write_atomic(&folder.join(INCOMPLETE), b"", PRIVATE_FILE)?;
    Ok(aside)
}

/// Renames a complete set to `<into>-<taken_at>`, and corrects where its manifest says it lies.
fn set_aside(folder: &Path, mut set: SnapshotSet) -> Result<String, StepError> {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stamp = set.taken_at.strftime("%Y%m%dT%H%M%SZ");
    let place =
        |n: u32| folder.with_file_name(if n == 1 { format!("{name}-{stamp}") } else { format!("{name}-{stamp}-{n}") });
    let to: PathBuf = (1..).map(place).find(|p| p.symlink_metadata().is_err()).unwrap_or_else(|| place(1));
    fs::rename(folder, &to).map_err(|e| io_error("cannot set aside", folder, e))?;
    sync_parent(&to)?;
    for member in set.snapshots.values_mut() {
        if let Ok(rest) = member.manifest.folder.strip_prefix(folder) {
            member.manifest.folder = to.join(rest);
        }
    }
    write_atomic(&to.join(MANIFEST), &set.to_bytes()?, PRIVATE_FILE)?;
    Ok(to.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests;

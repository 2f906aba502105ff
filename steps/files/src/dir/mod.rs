//! The target kind `dir`: a folder, or the files of it that patterns name.
//!
//! Owns what a folder is as a target. Its content is its files and links; empty folders are not content. How files are
//! found is `walk`'s business, how they are kept and put back `snapshot`'s.

pub(crate) mod moving;
mod restore;
mod snapshot;
pub(crate) mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cutover_core::disk::{hash_file, inside};
use cutover_core::{
    Assessment, BuildError, Depth, Fingerprint, PartPrint, RestoreOptions, Restored, SnapshotManifest, StepContext,
    StepError, Target, TargetKind, TargetSpec, async_trait, blake3_hex, fault, fault::Faults, register_target,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::globs;
use walk::{Entry, Kind};

/// A folder as a target.
#[derive(Debug, Clone)]
pub struct DirTarget {
    name: String,
    path: PathBuf,
    config: DirConfig,
    /// Whether it was looked at and found.
    seen: Arc<AtomicBool>,
}

/// Which files of the folder belong to the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DirConfig {
    /// Patterns of the files that belong to it, relative to the folder; a matched folder means all in it. Empty: all.
    #[serde(default)]
    pub include: Vec<String>,
    /// Patterns of files that do not, although they are included.
    #[serde(default)]
    pub exclude: Vec<String>,
}

impl DirConfig {
    /// Whether the file of this relative path belongs to the target.
    pub fn covers(&self, path: &str) -> bool {
        let path = path.trim_start_matches("./");
        (self.include.is_empty() || globs::any_matches(&self.include, path))
            && !globs::any_matches(&self.exclude, path)
            && !walk::is_ours(path)
    }
}

impl TargetKind for DirTarget {
    const KIND: &'static str = "dir";
    const SUMMARY: &'static str = "a folder, or some of its files";
    const EXAMPLE: &'static str = r#"kind = "dir"
path = "."
with = { include = ["app.config.json", "logs/*.jsonl"], exclude = ["logs/today.jsonl"] }
"#;
    const FACTS: &'static [&'static str] = &["file:PATH"];
    const FAULTS: Faults = Faults {
        apply: &[fault::DIR_SNAPSHOT_FILE, fault::DIR_SNAPSHOT_INDEXED],
        rollback: &[
            fault::FILES_COPY_MADE,
            fault::FILES_COPY_NAMED,
            fault::DIR_RESTORE_MOVED,
            fault::DIR_RESTORE_ASIDE,
            fault::DISK_PARTIAL,
            fault::DIR_RESTORE_FILE,
        ],
    };
    type Config = DirConfig;

    fn claims(config: &DirConfig, spec: &TargetSpec) -> Vec<String> {
        let path = spec.path.trim_end_matches('/');
        let mut claims: Vec<_> = config
            .include
            .iter()
            .map(|pattern| globs::literal_prefix(pattern))
            .map(|prefix| match (path, prefix.as_str()) {
                (_, "") => path.to_owned(),
                ("." | "", _) => prefix,
                _ => format!("{path}/{prefix}"),
            })
            .collect();
        if claims.is_empty() {
            claims.push(path.to_owned());
        }
        claims.sort();
        claims.dedup();
        claims
    }

    fn build(config: DirConfig, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError> {
        globs::check("include", &config.include)?;
        globs::check("exclude", &config.exclude)?;
        Ok(Self { name: spec.name.clone(), path, config, seen: Arc::default() })
    }
}

register_target!(DirTarget);

#[async_trait]
impl Target for DirTarget {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        <Self as TargetKind>::KIND
    }

    fn path(&self) -> &Path {
        &self.path
    }

    async fn assess(&self, cx: &StepContext) -> Result<Assessment, StepError> {
        let entries = self.entries(cx).await?;
        let mut counts = BTreeMap::new();
        let mut problems = Vec::new();
        for entry in &entries {
            let folder = entry.path.rsplit_once('/').map_or(".", |(folder, _)| folder);
            *counts.entry(folder.to_owned()).or_insert(0) += 1;
            problems.extend(entry.problem(&self.path));
        }
        let links = entries.iter().filter(|e| matches!(e.kind, Kind::Link { .. })).count();
        let facts = [("files", entries.len()), ("links", links)];
        Ok(Assessment {
            kind: <Self as TargetKind>::KIND.to_owned(),
            version: "files".to_owned(),
            bytes: entries.iter().map(|e| e.bytes).sum(),
            counts,
            facts: facts.into_iter().map(|(name, n)| (name.to_owned(), n.to_string())).collect(),
            problems,
        })
    }

    async fn fingerprint(&self, cx: &StepContext, depth: Depth) -> Result<Fingerprint, StepError> {
        let entries = self.entries(cx).await?;
        let folder = self.path.clone();
        let inner = cx.clone();
        cx.blocking(move || {
            let schema = entries.iter().map(|e| (format!("file {}", e.path), blake3_hex(e.shape().as_bytes())));
            let schema = schema.collect();
            let content = match depth {
                Depth::Schema => None,
                Depth::Content => Some(content_of(&inner, &folder, &entries)?),
            };
            Ok(Fingerprint { kind: <Self as TargetKind>::KIND.to_owned(), schema, content })
        })
        .await
    }

    async fn snapshot(&self, cx: &StepContext, into: &Path) -> Result<SnapshotManifest, StepError> {
        let schema_digest = self.fingerprint(cx, Depth::Schema).await?.schema_digest();
        let mut entries = self.entries(cx).await?;
        if let Ok(below) = into.strip_prefix(&self.path) {
            let below = below.display().to_string();
            entries.retain(|e| !Path::new(&e.path).starts_with(&below));
        }
        let counts = BTreeMap::from([("files".to_owned(), entries.len() as u64)]);
        let (inner, folder, into) = (cx.clone(), self.path.clone(), into.to_owned());
        let place = into.clone();
        let files = cx.blocking(move || snapshot::take(&inner, &folder, &entries, &place)).await?;
        Ok(SnapshotManifest {
            version: SnapshotManifest::VERSION,
            target: self.name.clone(),
            kind: <Self as TargetKind>::KIND.to_owned(),
            taken_at: cx.now(),
            folder: into,
            files,
            schema_digest,
            counts,
        })
    }

    async fn restore(
        &self,
        cx: &StepContext,
        from: &SnapshotManifest,
        options: &RestoreOptions,
    ) -> Result<Restored, StepError> {
        let (inner, target) = (cx.clone(), self.clone());
        let (from, options) = (from.clone(), options.clone());
        cx.blocking(move || {
            let present = walk::walk(&inner, &target.path, &target.config)?;
            restore::restore(&inner, &target.path, &present, &from, &options)
        })
        .await
    }

    async fn changes_since(&self, cx: &StepContext, from: &SnapshotManifest) -> Result<serde_json::Value, StepError> {
        let (inner, target, from) = (cx.clone(), self.clone(), from.clone());
        cx.blocking(move || {
            let present = walk::walk(&inner, &target.path, &target.config)?;
            Ok(serde_json::json!(snapshot::changes_since(&target.path, &present, &from)?))
        })
        .await
    }

    async fn copy_to(&self, cx: &StepContext, path: &Path) -> Result<(), StepError> {
        let entries = self.entries(cx).await?;
        let (folder, path) = (self.path.clone(), path.to_owned());
        cx.blocking(move || snapshot::duplicate(&folder, &entries, &path)).await
    }

    async fn measure(&self, cx: &StepContext, query: &str) -> Result<f64, StepError> {
        let patterns = vec![query.to_owned()];
        globs::check("measure", &patterns)?;
        let entries = self.entries(cx).await?;
        Ok(entries.iter().filter(|e| globs::any_matches(&patterns, &e.path)).count() as f64)
    }

    async fn holds(&self, cx: &StepContext, fact: &str) -> Result<bool, StepError> {
        let Some(path) = fact.strip_prefix("file:").map(str::to_owned) else {
            return Err(StepError::failed(format!("a folder has no fact `{fact}`"))
                .with_help("the fact of a folder is `file:PATH`, relative to it"));
        };
        let folder = self.path.clone();
        cx.blocking(move || {
            if !folder.exists() {
                return Ok(false);
            }
            Ok(inside(&folder, &path, false)?.symlink_metadata().is_ok_and(|m| !m.is_dir()))
        })
        .await
    }

    async fn unmoved(&self, _cx: &StepContext) -> Result<(), StepError> {
        if !self.seen.load(Ordering::Relaxed) || self.path.is_dir() {
            return Ok(());
        }
        Err(StepError::unavailable(format!(
            "folder `{}` was deleted or moved away while it was in use",
            self.path.display()
        ))
        .with_help("put it back where it was, then run the same command again"))
    }

    async fn change_counter(&self, cx: &StepContext) -> Result<Option<u64>, StepError> {
        // Not a count, but it moves when a file does: names, sizes, times and inodes of all of them.
        let mut text = String::new();
        for entry in self.entries(cx).await? {
            text.push_str(&entry.path);
            text.push_str(&format!("\0{}\0{}\0", entry.shape(), entry.stamp));
        }
        let digest = blake3_hex(text.as_bytes());
        Ok(u64::from_str_radix(&digest[..16], 16).ok())
    }
}

impl DirTarget {
    /// Which files of the folder belong to it.
    pub fn config(&self) -> &DirConfig {
        &self.config
    }

    async fn entries(&self, cx: &StepContext) -> Result<Vec<Entry>, StepError> {
        let (inner, folder, config) = (cx.clone(), self.path.clone(), self.config.clone());
        let found = cx.blocking(move || walk::walk(&inner, &folder, &config)).await?;
        self.seen.store(true, Ordering::Relaxed);
        Ok(found)
    }
}

fn content_of(cx: &StepContext, folder: &Path, entries: &[Entry]) -> Result<BTreeMap<String, PartPrint>, StepError> {
    let mut content = BTreeMap::new();
    let total = entries.iter().map(|e| e.bytes).sum();
    let mut done = 0;
    for entry in entries {
        let (count, digest) = match &entry.kind {
            Kind::File => hash_file(&folder.join(&entry.path))?,
            Kind::Link { to } => (0, blake3_hex(to.as_bytes())),
            Kind::Special => (0, blake3_hex(b"")),
        };
        content.insert(entry.path.clone(), PartPrint { digest, count });
        done += entry.bytes;
        cx.progress(done, Some(total), "bytes");
    }
    Ok(content)
}

#[cfg(test)]
mod tests;

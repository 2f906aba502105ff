//! The target kind `badger`: a directory that Badger itself keeps, read and never written to.
//!
//! Owns what a plan says of such a directory, and that it is opened for each look and closed after it. Its files as a whole
//! are copied and put back by `files`; single records in it nobody changes but Badger.

mod files;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cutover_core::{
    Assessment, BuildError, Depth, Fingerprint, RestoreOptions, Restored, SnapshotManifest, StepContext, StepError,
    Target, TargetKind, TargetSpec, async_trait, blake3_hex, fault, fault::Faults, register_target,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{content, look, query};
use crate::badger::{BadgerDir, BadgerOptions, Key, Version};
use crate::copy::compare;
use crate::error::Result;

/// A Badger directory as a target.
#[derive(Debug, Clone)]
pub struct BadgerTarget {
    name: String,
    path: PathBuf,
    options: BadgerOptions,
}

/// How the directory is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BadgerConfig {
    /// The master key of an encrypted database: 16, 24 or 32 bytes as text, or as hexadecimal digits. A secret:
    /// `"${env.NAME}"`.
    #[serde(default)]
    pub key: Option<String>,
    /// Reads a database that was not closed too, with what only its logs hold.
    #[serde(default)]
    pub replay: bool,
}

impl BadgerConfig {
    /// What the reader is to do.
    pub fn options(&self) -> Result<BadgerOptions, BuildError> {
        let key = match self.key.as_deref() {
            None => None,
            Some(text) => Some(key_of(text).ok_or_else(|| {
                BuildError::at("key", "the key has neither 16, 24 or 32 bytes nor twice as many hexadecimal digits")
                    .with_help("give the master key that the program opens the database with")
            })?),
        };
        Ok(BadgerOptions { key, replay: self.replay })
    }
}

fn key_of(text: &str) -> Option<Key> {
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let hex = matches!(text.len(), 32 | 48 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // 32 bytes as text may be 16 bytes in digits: what is all digits was written as digits.
    let bytes = if hex { (0..text.len()).step_by(2).map(digits).collect::<Option<_>>()? } else { text.into() };
    Key::of(bytes)
}

impl BadgerTarget {
    /// The directory, open to be read; Badger cannot open it to write until that is dropped.
    pub fn open(&self) -> Result<BadgerDir> {
        BadgerDir::open(&self.path, &self.options)
    }

    async fn on<T: Send + 'static>(
        &self,
        cx: &StepContext,
        work: impl FnOnce(&Self, &StepContext) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let (target, inner) = (self.clone(), cx.clone());
        cx.blocking(move || work(&target, &inner)).await
    }

    fn look(&self, cx: &StepContext) -> Result<Assessment, StepError> {
        let directory = match self.open() {
            Err(error) => return Ok(self.unread(content::in_use(error)?)?),
            Ok(directory) => directory,
        };
        let found = content::found(directory.scan(0)?, cx)?;
        let (values, memories) = directory.logs();
        let mut how: Vec<_> =
            directory.tables().map(|(_, compression)| format!("{compression:?}").to_lowercase()).collect();
        let tables = how.len();
        how.sort();
        how.dedup();
        let mut facts = found.facts;
        let said = [
            ("compression", how.join(", ")),
            ("encrypted", if directory.is_encrypted() { "yes" } else { "no" }.to_owned()),
            ("memtable-logs", memories.to_string()),
            ("tables", tables.to_string()),
            ("value-logs", values.to_string()),
        ];
        facts.extend(said.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), text)));
        let problems = found.problems.into_iter().chain(directory.remarks()).collect();
        Ok(Assessment {
            kind: <Self as TargetKind>::KIND.to_owned(),
            version: version(directory.version()).to_owned(),
            bytes: look::bytes(&self.path)?,
            counts: found.counts,
            facts,
            problems,
        })
    }

    /// While its program runs, Badger lets nobody else read.
    fn unread(&self, found: content::Found) -> Result<Assessment> {
        Ok(Assessment {
            kind: <Self as TargetKind>::KIND.to_owned(),
            version: "in use".to_owned(),
            bytes: look::bytes(&self.path)?,
            counts: found.counts,
            facts: found.facts,
            problems: found.problems,
        })
    }

    fn print(&self, cx: &StepContext, depth: Depth) -> Result<Fingerprint, StepError> {
        let directory = self.open()?;
        let content = match depth {
            Depth::Schema => None,
            Depth::Content => Some(content::prints(directory.scan(0)?, cx)?),
        };
        let schema = BTreeMap::from([("format".to_owned(), blake3_hex(version(directory.version()).as_bytes()))]);
        Ok(Fingerprint { kind: <Self as TargetKind>::KIND.to_owned(), schema, content })
    }

    /// What is in it, in short: a step whose program wrote all of that keeps it in its receipt.
    fn left(&self, cx: &StepContext) -> Result<serde_json::Value, StepError> {
        Ok(json!({ "content": self.print(cx, Depth::Content)?.digest() }))
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::V2 => "Badger 2 (format 7)",
        Version::V3 => "Badger 3 or 4 (format 8)",
    }
}

register_target!(BadgerTarget);

impl TargetKind for BadgerTarget {
    const KIND: &'static str = "badger";
    const SUMMARY: &'static str = "a directory of Badger 2, 3 or 4, read and never written to";
    const EXAMPLE: &'static str = "kind = \"badger\"\npath = \"data/phl-memory\"\n";
    const FACTS: &'static [&'static str] = query::FACTS;
    const FAULTS: Faults = Faults {
        apply: &[fault::BADGER_SNAPSHOT_FILE, fault::BADGER_SNAPSHOT_MADE],
        rollback: &[fault::BADGER_RESTORE_ASIDE, fault::BADGER_RESTORE_PREPARED, fault::BADGER_RESTORED],
    };
    type Config = BadgerConfig;

    fn build(config: BadgerConfig, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError> {
        if path.file_name().is_none() || Path::new(&spec.path).file_name().is_none() {
            return Err(BuildError::at("path", format!("`{}` is the root, not a folder in it", spec.path))
                .with_help("a Badger directory has a folder of its own"));
        }
        Ok(Self { name: spec.name.clone(), path, options: config.options()? })
    }
}

#[async_trait]
impl Target for BadgerTarget {
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
        self.on(cx, Self::look).await
    }

    async fn fingerprint(&self, cx: &StepContext, depth: Depth) -> Result<Fingerprint, StepError> {
        self.on(cx, move |target, cx| target.print(cx, depth)).await
    }

    async fn counts(&self, cx: &StepContext) -> Result<BTreeMap<String, u64>, StepError> {
        self.on(cx, |target, cx| Ok(content::counted(target.open()?.scan(0)?, cx)?)).await
    }

    async fn bytes(&self, cx: &StepContext) -> Result<u64, StepError> {
        self.on(cx, |target, _| Ok(look::bytes(&target.path)?)).await
    }

    async fn snapshot(&self, cx: &StepContext, into: &Path) -> Result<SnapshotManifest, StepError> {
        let into = into.to_owned();
        self.on(cx, move |target, cx| files::take(target, cx, &into)).await
    }

    async fn restore(
        &self,
        cx: &StepContext,
        from: &SnapshotManifest,
        options: &RestoreOptions,
    ) -> Result<Restored, StepError> {
        let (from, options) = (from.clone(), options.clone());
        self.on(cx, move |target, cx| files::restore(target, cx, &from, &options)).await
    }

    async fn changes_since(&self, cx: &StepContext, _from: &SnapshotManifest) -> Result<serde_json::Value, StepError> {
        self.on(cx, Self::left).await
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    async fn copy_to(&self, cx: &StepContext, path: &Path) -> Result<(), StepError> {
        let path = path.to_owned();
        self.on(cx, move |target, _| {
            let _held = target.open()?;
            files::copy(&target.path, &path)
        })
        .await
    }

    async fn differing(&self, cx: &StepContext, original: &Path) -> Result<Vec<String>, StepError> {
        let original = Self { path: original.to_owned(), ..self.clone() };
        self.on(cx, move |target, _| {
            let (there, here) = (original.open()?, target.open()?);
            let found = compare(there.scan(0)?, here.scan(0)?)?;
            Ok(found.named.iter().map(|(how, key, version)| content::named(*how, key, *version)).collect())
        })
        .await
    }

    async fn measure(&self, cx: &StepContext, query: &str) -> Result<f64, StepError> {
        let query = query::Query::parse(query)?;
        self.on(cx, move |target, cx| Ok(query.answer_of(target.open()?.scan(0)?, query::now(cx))?)).await
    }

    async fn holds(&self, cx: &StepContext, fact: &str) -> Result<bool, StepError> {
        let fact = query::Fact::parse(fact)?;
        self.on(cx, move |target, cx| {
            if !target.path.exists() {
                return Ok(false);
            }
            Ok(fact.holds_of(target.open()?.scan(0)?, query::now(cx))?)
        })
        .await
    }

    async fn change_counter(&self, cx: &StepContext) -> Result<Option<u64>, StepError> {
        // Not a count, but it moves when a file does.
        self.on(cx, |target, _| Ok(Some(look::stamp(&target.path)?))).await
    }
}

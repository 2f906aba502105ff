//! `kv.rename-prefix`: the keys of one prefix get another.
//!
//! Owns that a key is never moved onto another. Every version goes along, with deletes, expiry and user meta: a reader as of
//! any version finds under the new key what it found under the old one.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, blake3_hex, canonical_json, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::rewriting::{self, Kind, Maker, Points};
use crate::record::Record;
use crate::rewrite::Made;
use crate::store::{Records, VersionedStore};

/// The longest key that Badger takes.
const LONGEST_KEY: usize = 65_000;

/// Renames keys.
#[derive(Debug, Clone)]
pub struct KvRenamePrefix {
    target: String,
    config: RenamePrefixConfig,
}

/// Which prefix becomes which.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RenamePrefixConfig {
    /// What the keys begin with now.
    pub from: String,
    /// What they begin with then. Neither may begin with the other, and no key that is there may be met.
    pub to: String,
}

const POINTS: Points = Points {
    intended: fault::KV_RENAME_INTENDED,
    kept: fault::KV_RENAME_KEPT,
    batch: fault::KV_RENAME_BATCH,
    done: fault::KV_RENAME_DONE,
    back: fault::KV_RENAME_BACK,
    forgotten: fault::KV_RENAME_FORGOTTEN,
};

register_step!(KvRenamePrefix);

impl StepKind for KvRenamePrefix {
    const KIND: &'static str = "kv.rename-prefix";
    const SUMMARY: &'static str = "give all keys of one prefix another, with every version, delete and expiry";
    const EXAMPLE: &'static str = r#"id = "half-done-patterns"
use = "kv.rename-prefix"
target = "memory"
with = { from = "patterns:", to = "found:patterns:" }
"#;
    const FAULTS: Faults = Faults {
        apply: &[POINTS.intended, POINTS.kept, POINTS.batch, POINTS.done],
        rollback: &[POINTS.back, POINTS.forgotten],
    };
    type Config = RenamePrefixConfig;

    fn build(config: RenamePrefixConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = rewriting::target(cx)?;
        let RenamePrefixConfig { from, to } = &config;
        if from.is_empty() {
            return Err(
                BuildError::at("from", "an empty prefix is all keys").with_help("name what the keys begin with")
            );
        }
        if from.starts_with(to.as_str()) || to.starts_with(from.as_str()) {
            return Err(BuildError::at("to", format!("`{from}` and `{to}` have keys in common")).with_help(
                "rename to a prefix of which neither begins with the other; from there on in a second step",
            ));
        }
        if to.starts_with("!badger!") {
            return Err(BuildError::at("to", "keys that begin with `!badger!` are Badger's own")
                .with_help("choose another prefix"));
        }
        Ok(Self { target, config })
    }
}

#[async_trait]
impl MigrationStep for KvRenamePrefix {
    fn describe(&self) -> Vec<Change> {
        let RenamePrefixConfig { from, to } = &self.config;
        let object = format!("keys of {} under `{from}`", self.target);
        vec![Change::new(Action::Alter, object).with_detail(format!("→ `{to}`, with every version"))]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        rewriting::inspect(self, cx).await
    }

    async fn recover(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        rewriting::recover(self, cx).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        rewriting::apply(self, cx).await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        rewriting::verify(self, cx).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        rewriting::rollback(self, cx, receipt).await
    }
}

impl Kind for KvRenamePrefix {
    const POINTS: Points = POINTS;

    fn target(&self) -> &str {
        &self.target
    }

    fn identity(&self) -> String {
        let what = serde_json::json!({ "from": self.config.from, "to": self.config.to });
        blake3_hex(canonical_json(&what).as_bytes())
    }

    fn records<'s>(&self, store: &'s dyn VersionedStore, _now: u64) -> crate::Result<Records<'s>> {
        store.versions(self.config.from.as_bytes(), 0)
    }

    fn maker(&self) -> Result<Maker, StepError> {
        let this = self.clone();
        Ok(Box::new(move |record| Made::Other(Record { key: this.key(&record.key), ..record.clone() })))
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        let rest = key.strip_prefix(self.config.from.as_bytes()).unwrap_or(key);
        [self.config.to.as_bytes(), rest].concat()
    }

    /// Both prefixes in step: their keys are in the same order behind them.
    fn hindrance(&self, store: &dyn VersionedStore) -> crate::Result<Option<String>> {
        let mut taken = store.versions(self.config.to.as_bytes(), 0)?.peekable();
        for record in store.versions(self.config.from.as_bytes(), 0)? {
            let old = record?.key;
            let new = self.key(&old);
            let shown = (old.escape_ascii(), new.escape_ascii());
            if new.len() > LONGEST_KEY {
                return Ok(Some(format!(
                    "`{}` would be a key of {} bytes, more than {LONGEST_KEY}",
                    shown.0,
                    new.len()
                )));
            }
            while taken.next_if(|found| found.as_ref().is_ok_and(|found| found.key < new)).is_some() {}
            match taken.peek() {
                Some(Ok(found)) if found.key == new => {
                    return Ok(Some(format!("`{}` cannot become `{}`: that key is there", shown.0, shown.1)));
                }
                Some(Err(_)) => {
                    taken.next().transpose()?;
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

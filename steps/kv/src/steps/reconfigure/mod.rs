//! `kv.reconfigure`: options of Badger in the configuration file of the program that opens it.
//!
//! Owns what Badger's options are called and may be. Writing the file, and putting it back byte for byte, is `config.map`'s.

mod options;

use std::collections::BTreeMap;

use cutover_core::{
    Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Standing, StepContext, StepError, StepKind, Use,
    Verdict, async_trait, fault::Faults, register_step,
};
use cutover_steps_files::ConfigMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Gives options of Badger other values.
#[derive(Debug)]
pub struct KvReconfigure {
    file: ConfigMap,
}

/// Which options, in which file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReconfigureConfig {
    /// The program's configuration, relative to the step's `dir` target or else to the root: `.json`, `.toml`, `.yaml` or
    /// `.yml`. The program reads it when it starts: it has to be started again.
    pub file: String,
    /// The table of the file that has the options, as a dotted path: `storage.badger`. None: the document itself.
    pub at: Option<String>,
    /// The options and their new values, named as the fields of `badger.Options` and spelled as the file spells them
    /// (`NumCompactors`, `num-compactors`, `num_compactors`, `numCompactors`). All other keys stay as they are.
    pub set: BTreeMap<String, Value>,
}

register_step!(KvReconfigure);

impl StepKind for KvReconfigure {
    const KIND: &'static str = "kv.reconfigure";
    const SUMMARY: &'static str = "give options of Badger in a program's configuration other values, each checked";
    const EXAMPLE: &'static str = r#"id = "badger-options"
use = "kv.reconfigure"
with = { file = "config.json", at = "badger", set = { NumCompactors = 2, NumLevelZeroTables = 3, NumMemtables = 2, ValueLogFileSize = 268435456 } }
"#;
    const FAULTS: Faults = <ConfigMap as StepKind>::FAULTS;
    type Config = ReconfigureConfig;

    fn build(config: ReconfigureConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        if config.set.is_empty() {
            return Err(BuildError::at("set", "no option is named").with_help("name one: { NumCompactors = 2 }"));
        }
        for (name, value) in &config.set {
            options::check(name, value)
                .map_err(|(why, help)| BuildError::at(format!("set.{name}"), why).with_help(help))?;
        }
        let mut seen = BTreeMap::new();
        for name in config.set.keys() {
            if let Some(other) = seen.insert(options::plain(name), name) {
                return Err(BuildError::at(format!("set.{name}"), format!("`{other}` and `{name}` are one option"))
                    .with_help("keep the one that is spelled as in the file"));
            }
        }
        if let Some(why) = options::together(&config.set) {
            return Err(BuildError::at("set", why).with_help("let the stall come after the tables of level 0"));
        }
        let at = |name: String| config.at.as_ref().map_or_else(|| name.clone(), |at| format!("{at}.{name}"));
        let set = config.set.into_iter().map(|(name, value)| (at(name), value)).collect();
        let file = ConfigMap::setting(&config.file, set, options::plain, cx).map_err(|error| {
            // The names are known to be good: what is left is the path before them.
            let field = if error.field.starts_with("set.") { "at".to_owned() } else { error.field.clone() };
            BuildError { field, ..error }
        })?;
        Ok(Self { file })
    }
}

#[async_trait]
impl MigrationStep for KvReconfigure {
    fn describe(&self) -> Vec<Change> {
        self.file.describe()
    }

    fn uses(&self) -> Vec<Use> {
        self.file.uses()
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        self.file.inspect(cx).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        self.file.apply(cx).await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        self.file.verify(cx).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        self.file.rollback(cx, receipt).await
    }
}

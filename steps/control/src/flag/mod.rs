//! `flag.set`: one feature flag given another value, in a configuration file or in a row of a table.
//!
//! Owns what a flag is called and may be. Writing it, and putting it back, is the work of those who own the stores: a file
//! is `config.map`'s, a row is the `sqlite` target's. One flag is one step, and so a rollback point of its own.

#[cfg(test)]
mod tests;

use cutover_core::fault::{self, Faults};
use cutover_core::{
    Applied, BuildContext, BuildError, Change, Finding, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, register_step,
};
use cutover_steps_files::ConfigMap;
use cutover_steps_sqlite::SqliteCell;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Switches a flag.
#[derive(Debug)]
pub struct FlagSet {
    /// The step of the store that has the flag.
    inner: Box<dyn MigrationStep>,
}

/// Which flag, and where it is: a `file`, or a `table` of the step's `sqlite` target.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlagConfig {
    /// The flag: in a file its key, a dotted path (`features.self_review`); in a table the name of its row.
    pub flag: String,
    /// What it is set to: `true`, `false`, a number or a text.
    #[serde(default = "on")]
    pub value: Value,
    /// The file that has it, relative to the step's `dir` target or else to the root: `.json`, `.toml`, `.yaml` or `.yml`.
    /// A key that is not there yet is added.
    pub file: Option<String>,
    /// The table that has it, in the step's `sqlite` target. Its row must be there when the step's turn comes.
    pub table: Option<String>,
    /// The column of the table with the flags' names.
    #[serde(default = "name")]
    pub name_column: String,
    /// The column of the table with their values; `true` and `false` are stored as 1 and 0.
    #[serde(default = "enabled")]
    pub value_column: String,
}

fn on() -> Value {
    Value::Bool(true)
}

fn name() -> String {
    "name".to_owned()
}

fn enabled() -> String {
    "enabled".to_owned()
}

register_step!(FlagSet);

impl StepKind for FlagSet {
    const KIND: &'static str = "flag.set";
    const SUMMARY: &'static str = "switch one feature flag, in a JSON, TOML or YAML file or in a table";
    const EXAMPLE: &'static str = r#"id = "self-review-on"
use = "flag.set"
with = { file = "app.json", flag = "features.self_review", value = true }
"#;
    const FAULTS: Faults = Faults {
        apply: &[
            fault::CONFIG_KEPT,
            fault::CONFIG_INTENDED,
            fault::DISK_PARTIAL,
            fault::CONFIG_WRITTEN,
            fault::SQLITE_CHANGE_BEGUN,
            fault::SQLITE_CHANGE_MADE,
            fault::SQLITE_CHANGE_RECORDED,
            fault::SQLITE_COMMIT,
            fault::SQLITE_COMMITTED,
        ],
        rollback: &[
            fault::CONFIG_PUT_BACK,
            fault::SQLITE_REVERSE_BEGUN,
            fault::SQLITE_REVERSE_MADE,
            fault::SQLITE_REVERSE_RECORDED,
            fault::SQLITE_COMMIT,
            fault::SQLITE_COMMITTED,
        ],
    };
    type Config = FlagConfig;

    fn build(config: FlagConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        if !matches!(config.value, Value::Bool(_) | Value::Number(_) | Value::String(_)) {
            return Err(BuildError::at("value", "a flag is `true`, `false`, a number or a text")
                .with_help("other values of a configuration are `config.map`'s"));
        }
        if config.flag.is_empty() {
            return Err(BuildError::at("flag", "no flag is named"));
        }
        let inner: Box<dyn MigrationStep> = match (&config.file, &config.table) {
            (Some(file), None) => {
                let set = vec![(config.flag.clone(), config.value.clone())];
                Box::new(ConfigMap::setting(file, set, plain, cx).map_err(|error| {
                    let field = if error.field.starts_with("set") { "flag".to_owned() } else { error.field.clone() };
                    BuildError { field, ..error }
                })?)
            }
            (None, Some(table)) => {
                let (key, value) = (Value::from(config.flag.as_str()), config.value.clone());
                Box::new(SqliteCell::setting(table, (&config.name_column, &key), (&config.value_column, &value), cx)?)
            }
            (Some(_), Some(_)) => {
                return Err(BuildError::at("table", "`file` and `table` are both given").with_help("keep one of them"));
            }
            (None, None) => {
                return Err(BuildError::at("", "where the flag is is not said")
                    .with_help("add `file = \"...\"`, or `table = \"...\"` with a `target` of kind `sqlite`"));
            }
        };
        Ok(Self { inner })
    }
}

/// What is left of a key where capitals, `-` and `_` do not count: `selfReview` and `self_review` are one flag.
fn plain(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[async_trait]
impl MigrationStep for FlagSet {
    fn describe(&self) -> Vec<Change> {
        self.inner.describe()
    }

    fn uses(&self) -> Vec<Use> {
        self.inner.uses()
    }

    fn transactional(&self) -> Option<&str> {
        self.inner.transactional()
    }

    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        self.inner.lint_on(cx).await
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        self.inner.inspect(cx).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        self.inner.apply(cx).await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        self.inner.verify(cx).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        self.inner.rollback(cx, receipt).await
    }
}

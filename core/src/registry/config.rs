//! A configuration on its way to its own type, and the error that says which field of it cannot be used. Knows the two
//! places that configurations come from (a plan file, a journal) and no kind's fields.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::StepError;
use crate::plan::Diagnostic;

/// Why a step or target cannot be made from its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct BuildError {
    /// Path to the offending field inside `with`: `add[2].name`. Empty: the whole table.
    pub field: String,
    /// Byte span in the plan file, where the reader knew it better than `field` does.
    pub span: Option<std::ops::Range<usize>>,
    /// Lowercase fragment, user text in backticks.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Mistakes in a file beside the plan: where there are any, they are what is shown.
    pub in_file: Vec<Diagnostic>,
}

impl BuildError {
    /// An error at `field`.
    pub fn at(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), span: None, message: message.into(), help: None, in_file: Vec::new() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<BuildError> for StepError {
    fn from(e: BuildError) -> Self {
        let error = StepError::failed(e.to_string());
        match e.help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}

/// Where a configuration is read from.
pub enum ConfigSource<'a> {
    /// A spanned TOML value: errors carry spans.
    Toml(toml::Spanned<toml::de::DeValue<'a>>),
    /// The document stored in the journal when the step was applied.
    Json(&'a Value),
}

impl ConfigSource<'_> {
    /// The configuration as its own type.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, BuildError> {
        match self {
            ConfigSource::Toml(value) => T::deserialize(toml::de::ValueDeserializer::from(value))
                .map_err(|e| BuildError { span: e.span(), ..BuildError::at("", e.message()) }),
            ConfigSource::Json(Value::Null) => {
                T::deserialize(Value::Object(serde_json::Map::new())).map_err(|e| BuildError::at("", e.to_string()))
            }
            ConfigSource::Json(value) => T::deserialize(value).map_err(|e| BuildError::at("", e.to_string())),
        }
    }
}

impl fmt::Debug for ConfigSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConfigSource::Toml(_) => "ConfigSource::Toml",
            ConfigSource::Json(_) => "ConfigSource::Json",
        })
    }
}

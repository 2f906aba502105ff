//! The settings that a database file keeps, by the names of their pragmas.
//!
//! Owns which there are, which values they take, and what is said of pragmas that are a connection's own.

use std::collections::BTreeMap;

use cutover_core::{BuildError, StepError, closest};
use rusqlite::Connection;
use serde_json::Value;

use crate::sql::sqlite_error;

/// A setting that the file keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    AutoVacuum,
    JournalMode,
    ApplicationId,
    UserVersion,
}

/// The settings of a step or of a database, each as SQLite prints it.
pub(crate) type Settings = BTreeMap<Setting, String>;

const ALL: [Setting; 4] = [Setting::AutoVacuum, Setting::JournalMode, Setting::ApplicationId, Setting::UserVersion];

/// Pragmas that a file does not keep: whoever opens it sets them for itself.
const OF_A_CONNECTION: &[&str] = &[
    "busy_timeout",
    "cache_size",
    "foreign_keys",
    "locking_mode",
    "mmap_size",
    "recursive_triggers",
    "secure_delete",
    "synchronous",
    "temp_store",
    "trusted_schema",
    "wal_autocheckpoint",
];

const VACUUMS: [&str; 3] = ["none", "full", "incremental"];
const JOURNALS: [&str; 4] = ["wal", "delete", "truncate", "persist"];

impl Setting {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AutoVacuum => "auto_vacuum",
            Self::JournalMode => "journal_mode",
            Self::ApplicationId => "application_id",
            Self::UserVersion => "user_version",
        }
    }

    /// Whether it is changed in a transaction; the others lock the whole file for themselves.
    pub(crate) fn is_transactional(self) -> bool {
        matches!(self, Self::ApplicationId | Self::UserVersion)
    }

    /// By its pragma's name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// As it is in the database.
    pub(crate) fn read(self, conn: &Connection) -> Result<String, StepError> {
        let value = conn
            .query_row(&format!("PRAGMA main.{}", self.name()), [], |row| row.get::<_, rusqlite::types::Value>(0))
            .map_err(|e| sqlite_error(e, &format!("while reading `{}`", self.name())))?;
        Ok(match (self, value) {
            (Self::AutoVacuum, rusqlite::types::Value::Integer(i)) => {
                usize::try_from(i).ok().and_then(|i| VACUUMS.get(i)).copied().unwrap_or("none").to_owned()
            }
            (_, rusqlite::types::Value::Integer(i)) => i.to_string(),
            (_, rusqlite::types::Value::Text(text)) => text,
            (_, other) => format!("{other:?}"),
        })
    }

    /// Sets it. Its value is one that [`parse`](Self::parse) made or [`read`](Self::read) found: none needs quoting.
    pub(crate) fn write(self, conn: &Connection, value: &str) -> Result<(), StepError> {
        // `journal_mode` answers with a row.
        conn.prepare(&format!("PRAGMA main.{} = {value}", self.name()))
            .and_then(|mut s| s.query([])?.next().map(drop))
            .map_err(|e| sqlite_error(e, &format!("while setting `{}` to `{value}`", self.name())))
    }

    fn parse(self, value: &Value) -> Result<String, BuildError> {
        let field = format!("set.{}", self.name());
        let words: &[&str] = match self {
            Self::AutoVacuum => &VACUUMS,
            Self::JournalMode => &JOURNALS,
            Self::ApplicationId | Self::UserVersion => {
                let number = value.as_i64().filter(|n| i32::try_from(*n).is_ok());
                return number.map(|n| n.to_string()).ok_or_else(|| {
                    BuildError::at(field, format!("`{}` takes a whole number of 32 bits", self.name()))
                        .with_help("write a number: user_version = 2")
                });
            }
        };
        let word = value.as_str().map(str::to_ascii_lowercase);
        word.filter(|word| words.contains(&word.as_str())).ok_or_else(|| {
            BuildError::at(field, format!("`{}` takes one of {}", self.name(), words.join(", "))).with_help(format!(
                "write {} = \"{}\"",
                self.name(),
                words[0]
            ))
        })
    }
}

/// What a plan asks for.
pub(super) fn parse(set: &BTreeMap<String, Value>) -> Result<Settings, BuildError> {
    let mut settings = Settings::new();
    for (name, value) in set {
        let Some(setting) = Setting::named(name) else { return Err(unknown(name)) };
        settings.insert(setting, setting.parse(value)?);
    }
    Ok(settings)
}

fn unknown(name: &str) -> BuildError {
    let field = format!("set.{name}");
    if OF_A_CONNECTION.contains(&name.to_ascii_lowercase().as_str()) {
        return BuildError::at(field, format!("`{name}` is each connection's own: no database keeps it")).with_help(
            "set it where the application opens the database; here go journal_mode, auto_vacuum, user_version and application_id",
        );
    }
    let known = ALL.map(Setting::name);
    let error =
        BuildError::at(field, format!("`{name}` is no setting that a database keeps and this step can take back"));
    match closest(name, known) {
        Some(near) => error.with_help(format!("did you mean `{near}`?")),
        None => error.with_help(format!("there are {}", known.join(", "))),
    }
}

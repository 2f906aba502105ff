//! The step kind `sqlite.settings`: the settings that a database file keeps, and the way back to those before.
//!
//! Owns the order: what was there is durable first; then what locks the whole file (journal mode, auto-vacuum), each of
//! which is whole or not there; last what goes in a transaction, with the ledger's row.

mod pragma;

pub(crate) use pragma::Setting;

use std::collections::BTreeMap;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SqliteTarget;
use crate::done;
use crate::sql::sqlite_error;
use crate::target::{plain_tables, rowid_alias};
use pragma::Settings;

/// Sets what a database file keeps.
#[derive(Debug, Clone)]
pub(crate) struct SettingsStep {
    target: String,
    set: Settings,
    at_most: Option<i64>,
}

/// Configuration of `sqlite.settings`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SettingsConfig {
    /// By the names of their pragmas: `journal_mode` (wal, delete, truncate, persist), `auto_vacuum` (none, full,
    /// incremental; where the file has to be written anew for it, it is), `user_version` and `application_id`. Pragmas
    /// that are a connection's own are refused.
    set: BTreeMap<String, Value>,
    /// The newest `user_version` that this plan knows: a database with a newer one is refused before anything is done.
    at_most: Option<i64>,
}

/// What was there before, of what this step set.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Before {
    was: BTreeMap<String, String>,
}

register_step!(SettingsStep);

impl StepKind for SettingsStep {
    const KIND: &'static str = "sqlite.settings";
    const SUMMARY: &'static str = "set what a database file keeps: journal mode, auto-vacuum, versions";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"settings\"\nuse = \"sqlite.settings\"\ntarget = \"tier1\"\n\
        with = { set = { journal_mode = \"wal\", auto_vacuum = \"incremental\", user_version = 2 }, at-most = 2 }\n";
    const FAULTS: Faults = Faults {
        apply: &[
            fault::SETTINGS_INTENDED,
            fault::SETTINGS_FILE,
            fault::SQLITE_CHANGE_BEGUN,
            fault::SQLITE_CHANGE_MADE,
            fault::SQLITE_CHANGE_RECORDED,
            fault::SQLITE_COMMIT,
            fault::SQLITE_COMMITTED,
        ],
        rollback: &[
            fault::SETTINGS_FILE_BACK,
            fault::SQLITE_REVERSE_BEGUN,
            fault::SQLITE_REVERSE_MADE,
            fault::SQLITE_REVERSE_RECORDED,
            fault::SQLITE_COMMIT,
            fault::SQLITE_COMMITTED,
        ],
    };
    type Config = SettingsConfig;

    fn build(config: SettingsConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let set = pragma::parse(&config.set)?;
        if set.is_empty() && config.at_most.is_none() {
            return Err(BuildError::at("set", "nothing is set").with_help("add `set = { user_version = 1 }`"));
        }
        let version = set.get(&Setting::UserVersion).and_then(|v| v.parse::<i64>().ok());
        if version.zip(config.at_most).is_some_and(|(version, most)| version > most) {
            return Err(BuildError::at("at-most", "the `user_version` that is set is a newer one")
                .with_help("`at-most` is the newest version that the plan knows, its own among them"));
        }
        Ok(Self { target: cx.target_of("sqlite")?, set, at_most: config.at_most })
    }
}

impl SettingsStep {
    /// Why nothing can be done with this database.
    fn refusal(&self, conn: &Connection) -> Result<Option<StepError>, StepError> {
        if let Some(error) = self.newer(conn)? {
            return Ok(Some(error));
        }
        if !self.rewrites(conn)? {
            return Ok(None);
        }
        Ok(unstable_rowids(conn)?.map(|table| {
            StepError::conflict(format!(
                "`auto_vacuum` has the file written anew, and the rows of `{table}` may then get other rowids, by which a \
                 full-text table finds them"
            ))
            .with_help("give the table an INTEGER PRIMARY KEY first, or leave `auto_vacuum` as it is")
        }))
    }

    /// The refusal of a version that the plan does not know.
    fn newer(&self, conn: &Connection) -> Result<Option<StepError>, StepError> {
        let version: i64 = Setting::UserVersion.read(conn)?.parse().unwrap_or_default();
        let Some(most) = self.at_most.filter(|most| version > *most) else { return Ok(None) };
        let text = format!("the database is of a newer version: user_version {version}, known are those up to {most}");
        Ok(Some(
            StepError::conflict(text)
                .with_help("use the plan that knows this version, or name the right file in the target's `path`"),
        ))
    }

    /// Whether `auto_vacuum` needs a VACUUM: it moves between none and the rest of a file that holds anything.
    fn rewrites(&self, conn: &Connection) -> Result<bool, StepError> {
        let Some(wanted) = self.set.get(&Setting::AutoVacuum) else { return Ok(false) };
        let now = Setting::AutoVacuum.read(conn)?;
        Ok((now == "none") != (wanted == "none"))
    }
}

/// A table without a key of its own rowid that a full-text table reads its rows from.
pub(crate) fn unstable_rowids(conn: &Connection) -> Result<Option<String>, StepError> {
    let virtual_sql: Vec<String> = conn
        .prepare(
            "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%content%=%'",
        )
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, "while reading the schema"))?;
    for table in plain_tables(conn)? {
        let named = |sql: &String| {
            let words = sql.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            words.skip_while(|w| !w.eq_ignore_ascii_case("content")).any(|w| w.eq_ignore_ascii_case(&table))
        };
        if virtual_sql.iter().any(named) && rowid_alias(conn, &table)?.is_none() {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// Sets those that lock the whole file, where they are not so already.
fn set_file(conn: &Connection, wanted: &Settings) -> Result<(), StepError> {
    for (setting, value) in wanted.iter().filter(|(s, _)| !s.is_transactional()) {
        let now = setting.read(conn)?;
        if now == *value {
            continue;
        }
        setting.write(conn, value)?;
        if *setting == Setting::AutoVacuum && setting.read(conn)? != *value {
            conn.execute_batch("VACUUM")
                .map_err(|e| sqlite_error(e, "while writing the file anew for `auto_vacuum`"))?;
        }
        let is = setting.read(conn)?;
        if is != *value {
            return Err(StepError::new(
                cutover_core::StepErrorKind::Busy,
                format!("`{}` stays `{is}`: others have the database open", setting.name()),
            )
            .with_help("close the programs that have it open, then run the same command again"));
        }
    }
    Ok(())
}

/// Those of `before` that this step changed and nobody has changed since, as they were.
fn to_put_back(conn: &Connection, set: &Settings, before: &Before, file: bool) -> Result<Settings, StepError> {
    let mut back = Settings::new();
    for (setting, ours) in set.iter().filter(|(s, _)| s.is_transactional() != file) {
        if let Some(was) = before.was.get(setting.name()).filter(|was| *was != ours)
            && setting.read(conn)? == *ours
        {
            back.insert(*setting, was.clone());
        }
    }
    Ok(back)
}

#[async_trait]
impl MigrationStep for SettingsStep {
    fn describe(&self) -> Vec<Change> {
        let check = self.at_most.map(|most| {
            Change::new(Action::Check, "user_version")
                .with_detail(format!("at most {most}, or the database is refused"))
        });
        let set = self.set.iter().map(|(setting, value)| {
            let detail = match setting {
                Setting::AutoVacuum => format!("{value}; the file is written anew where that is needed"),
                _ => value.clone(),
            };
            Change::new(Action::Alter, setting.name()).with_detail(detail)
        });
        check.into_iter().chain(set).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    /// Of what it sets, scripts see the numbers.
    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let set = self.set.clone();
        let written = move |conn: &Connection| {
            let mut numbers = set.iter().filter(|(setting, _)| setting.is_transactional());
            numbers.try_for_each(|(setting, value)| setting.write(conn, value))?;
            Ok(Receipt::nothing())
        };
        cx.target::<SqliteTarget>(&self.target)?.followed(cx, written).await
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let step = self.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                if let Some(error) = step.refusal(conn)? {
                    return done::conflict_standing(error);
                }
                let mut others = Vec::new();
                for (setting, value) in &step.set {
                    if setting.read(conn)? != *value {
                        others.push(setting.name());
                    }
                }
                Ok(done::standing(others.len(), step.set.len(), || format!("otherwise: {}", others.join(", "))))
            })
            .await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let step = self.clone();
        let found = target
            .read(cx, move |conn| match step.refusal(conn)? {
                Some(error) => Err(error),
                None => {
                    let was = step.set.keys().map(|s| Ok((s.name().to_owned(), s.read(conn)?)));
                    Ok(Before { was: was.collect::<Result<_, StepError>>()? })
                }
            })
            .await?;
        // What an interrupted try intended knows how it was before that one.
        let receipt = match cx.info().intent.as_ref().filter(|intent| !intent.body.is_null()) {
            Some(intent) => intent.clone(),
            None => Receipt::of(&found)?,
        };
        cx.intend(&receipt).await?;
        fault::point(fault::SETTINGS_INTENDED);
        let set = self.set.clone();
        target.alone(cx, move |conn| set_file(conn, &set)).await?;
        fault::point(fault::SETTINGS_FILE);
        let (step, set) = (self.clone(), self.set.clone());
        let before: Before = done::body(&receipt)?;
        target
            .change(cx, move |conn| {
                // Nobody moves it between this look and the commit.
                if let Some(error) = step.newer(conn)? {
                    return Err(error);
                }
                for (setting, value) in set.iter().filter(|(s, _)| s.is_transactional()) {
                    setting.write(conn, value)?;
                }
                let notes = set.iter().filter_map(|(setting, value)| {
                    let was = before.was.get(setting.name())?;
                    Some(if was == value {
                        format!("{} was {value} before", setting.name())
                    } else {
                        format!("{}: {was} → {value}", setting.name())
                    })
                });
                Ok(Receipt { notes: notes.collect(), ..receipt })
            })
            .await
            .map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let set = self.set.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let mut lines = Vec::new();
                for (setting, value) in &set {
                    let is = setting.read(conn)?;
                    if is != *value {
                        lines.push(format!("{}: expected {value}, found {is}", setting.name()));
                    }
                }
                Ok(done::verdict(lines))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let before: Before = done::body(&receipt)?;
        let (set, was) = (self.set.clone(), Before { was: before.was.clone() });
        let back = target.read(cx, move |conn| to_put_back(conn, &set, &was, true)).await?;
        if !back.is_empty() {
            target.alone(cx, move |conn| set_file(conn, &back)).await?;
        }
        fault::point(fault::SETTINGS_FILE_BACK);
        let set = self.set.clone();
        target
            .reverse(cx, move |conn| {
                let back = to_put_back(conn, &set, &before, false)?;
                back.iter().try_for_each(|(setting, value)| setting.write(conn, value))
            })
            .await
    }
}

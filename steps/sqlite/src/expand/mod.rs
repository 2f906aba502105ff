//! The step kind `sqlite.expand`: new tables beside the old ones, and triggers that show each side's rows on the other.
//!
//! Owns the step: what it says of itself, what it makes in its one transaction, and what it takes away again. What the
//! triggers do is `triggers`'s and `parents`'s, what keeps tables from being kept in step is `check`'s.
//!
//! Old programs go on as before: the triggers are on tables, so `last_insert_rowid()`, `changes()`, RETURNING and upserts
//! are what they were. What a trigger cannot show on the other side is never refused; it goes into the quarantine.

use std::time::Instant;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, Lint, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod check;
mod fits;
mod followed;
mod helpers;
mod image;
mod inscribe;
mod install;
mod moved;
mod parents;
mod put;
mod replaced;
mod shape;
mod triggers;
mod views;
mod weave;
mod withdraw;

#[cfg(test)]
mod tests;

use crate::SqliteTarget;
use crate::declared::{self, Declarations};
use crate::done;
use crate::lint;
use crate::mapping::Mapping;
use crate::mapping::stage::{self, Stage};
use crate::tables;
pub(crate) use check::weaves;
pub(crate) use helpers::{drop_uncounted, gone};
use install::{Installed, Tried};
pub(crate) use shape::{Shape, Unique};
pub(crate) use triggers::{Part, of as parts};
pub(crate) use weave::{ROW, Side, Weave};

/// Keeps an old and a new schema in step.
#[derive(Debug, Clone)]
pub(crate) struct Expand {
    target: String,
    mapping: Mapping,
    tables: Option<Declarations>,
}

/// The `with` table of `sqlite.expand`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpandConfig {
    /// The mapping: a TOML file that says which tables show the same rows, relative to the plan file.
    mapping: String,
    /// A file of CREATE TABLE and CREATE INDEX statements: the new tables, relative to the plan file. Tables that are there
    /// as declared are kept.
    #[serde(default)]
    up: Option<String>,
}

/// What apply made.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Made {
    #[serde(default)]
    tables: tables::Made,
    #[serde(default)]
    installed: Installed,
}

register_step!(Expand);

impl StepKind for Expand {
    const KIND: &'static str = "sqlite.expand";
    const SUMMARY: &'static str = "make new tables and keep them in step with the old ones by triggers both ways";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"expand\"\nuse = \"sqlite.expand\"\ntarget = \"app\"\nwith = { mapping = \"mapping.toml\", up = \"sql/new.sql\" }\n";
    const FAULTS: Faults = crate::target::CHANGED;
    const LINTS: &'static [Lint] = &[lint::FAILS];
    type Config = ExpandConfig;

    fn build(config: ExpandConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let mapping = Mapping::load("mapping", &config.mapping, cx)?;
        let tables = match &config.up {
            Some(path) => Some(Declarations::of(declared::from_script(cx, "up", path)?)?),
            None => None,
        };
        Ok(Self { target, mapping, tables })
    }
}

#[async_trait]
impl MigrationStep for Expand {
    fn describe(&self) -> Vec<Change> {
        let mut changes = self.tables.as_ref().map(tables::changes).unwrap_or_default();
        for pair in &self.mapping.pairs {
            let parent = pair.parent.as_ref().map(|p| format!(", grouped under {}", p.new)).unwrap_or_default();
            changes.push(
                Change::new(Action::Create, format!("triggers {} ⇄ {}", pair.old, pair.new))
                    .with_detail(format!("{}{parent}", pair.name)),
            );
        }
        changes.push(Change::new(Action::Create, format!("stage of {}", self.mapping.name)).with_detail("dual-write"));
        changes
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    /// In no transaction with others: programs that write do not wait for those, too.
    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let ours = target.done(cx).await?.is_some();
        let this = self.clone();
        target.read(cx, move |conn| this.standing(conn, ours)).await
    }

    /// What is in the way of the mapping is known only behind the steps that come before it.
    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let this = self.clone();
        let made = move |conn: &Connection| {
            let woven = install::woven(this.new_tables(conn)?);
            install::install(conn, &woven)?;
            install::compiled(conn, &woven)
        };
        cx.target::<SqliteTarget>(&self.target)?.tried(cx, made).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let (this, ledger) = (self.clone(), target.ledger_name().to_owned());
        let try_it = move |conn: &Connection| install::tried(conn, &ledger, |copy| this.new_tables(copy));
        let tried = target.read_moment(cx, try_it).await?;
        let (this, inner) = (self.clone(), cx.clone());
        target.change(cx, move |conn| this.make(conn, &inner, tried)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let this = self.clone();
        let lines = cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| this.missing(conn)).await?;
        Ok(done::verdict(lines))
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let made: Made = done::body(&receipt)?;
        let (this, inner) = (self.clone(), cx.clone());
        target.reverse(cx, move |conn| this.back(conn, &inner, &made)).await
    }
}

impl Expand {
    fn standing(&self, conn: &Connection, ours: bool) -> Result<Standing, StepError> {
        let at = stage::read(conn, &self.mapping.name)?;
        if at == Stage::OldOnly && !ours {
            let there = self.mapping.pairs.iter().map(|pair| declared::object(conn, &pair.old));
            for (pair, found) in self.mapping.pairs.iter().zip(there) {
                if found?.is_none() {
                    let error = declared::no_such_table(conn, &pair.old)?;
                    let help = error.help().unwrap_or_default().to_owned();
                    return Ok(Standing::Conflict(format!("{error}; {help}")));
                }
            }
            return Ok(Standing::Pending);
        }
        let missing = self.missing(conn)?;
        Ok(if missing.is_empty() { Standing::Applied } else { Standing::Partial(missing.join("; ")) })
    }

    /// Makes them on a copy of the structure.
    fn new_tables(&self, copy: &Connection) -> Result<Vec<Weave>, StepError> {
        self.tables.iter().try_for_each(|declared| tables::make(copy, declared).map(drop))?;
        check::weaves(copy, &self.mapping)
    }

    fn make(&self, conn: &Connection, cx: &StepContext, tried: Option<Tried>) -> Result<Receipt, StepError> {
        let mut made = Made::default();
        let tried = tried.map(|tried| tried.of_now(conn)).transpose()?.flatten();
        let compiled = tried.is_some();
        let mut notes = Vec::new();
        if let Some(declared) = &self.tables {
            (made.tables, notes) = tables::make(conn, declared)?;
        }
        let woven = match tried {
            Some(woven) => woven,
            None => install::woven(check::weaves(conn, &self.mapping)?),
        };
        woven.iter().try_for_each(|(weave, _)| check::empty(conn, weave))?;
        made.installed = install::install(conn, &woven)?;
        if !compiled {
            install::compiled(conn, &woven)?;
        }
        stage::set(conn, &self.mapping.name, Stage::DualWrite, cx.info(), cx.now())?;
        Ok(Receipt { notes, ..Receipt::of(&made)? })
    }

    /// What programs wrote on the new side is in the old tables already, or in the quarantine, which is set aside.
    fn back(&self, conn: &Connection, cx: &StepContext, made: &Made) -> Result<(), StepError> {
        let began = Instant::now();
        let apart = install::apart(conn, &self.mapping)?;
        install::remove(cx, conn, &self.mapping, &made.installed)?;
        tables::undo(cx, conn, &made.tables)?;
        let held = match apart {
            0 => "the old tables have all of them".to_owned(),
            1 => "1 that the old tables do not take is set aside".to_owned(),
            n => format!("{n} that the old tables do not take are set aside"),
        };
        cx.note(&format!(
            "{} is back at stage old-only in {:.3} s (RTO), with 0 rows lost (RPO): {held}",
            self.mapping.name,
            began.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// What is not as it was made. When a later step has moved the stage on, it may have taken the old tables away.
    fn missing(&self, conn: &Connection) -> Result<Vec<String>, StepError> {
        match stage::read(conn, &self.mapping.name)? {
            Stage::OldOnly => Ok(vec![format!("mapping {}: expected stage dual-write, found none", self.mapping.name)]),
            Stage::Contracted | Stage::Retired => Ok(Vec::new()),
            Stage::DualWrite | Stage::PreferNew | Stage::NewOnly => {
                let weaves = match check::weaves(conn, &self.mapping) {
                    Ok(weaves) => weaves,
                    Err(error) => return Ok(vec![error.to_string()]),
                };
                let (_, mut lines) = install::differences(conn, &weaves)?;
                lines.extend(install::stuck(conn, &weaves)?);
                Ok(lines)
            }
        }
    }
}

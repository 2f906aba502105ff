//! The step kind `sqlite.retire`: the end of a migration. What was kept for the way back of a contract goes.
//!
//! Owns the step: after it, nothing of a mapping is left but its stage, which programs follow that link `cutover-dual`, and
//! which earlier steps are verified by. What was kept is set aside in the state folder before it is dropped, as SQL: the
//! old values are there for people to read, but no step brings them back.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Layer, MigrationStep, Receipt, Reversal, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::SqliteTarget;
use crate::aside;
use crate::contract::raw;
use crate::cutover::{expect, stage_of};
use crate::declared::{self, same_name};
use crate::done;
use crate::expand::{drop_uncounted, gone};
use crate::mapping::names::{self, GUARD, PREFIX, QUARANTINE};
use crate::mapping::stage::{self, Stage};
use crate::mapping::{Mapping, Pair};
use crate::sql::{quote_ident, sqlite_error};
use crate::target::bookkeeping::has_table;

/// Ends a migration.
#[derive(Debug, Clone)]
pub(crate) struct Retire {
    target: String,
    mapping: Mapping,
    one_way: bool,
}

/// Configuration of `sqlite.retire`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetireConfig {
    /// The mapping file, relative to the plan.
    mapping: String,
    /// The step has no way back, and `irreversible` says why that is right. Without it, it is undone by restoring the
    /// target from a snapshot, which takes back what programs wrote since.
    #[serde(default, rename = "one-way")]
    one_way: bool,
}

register_step!(Retire);

impl StepKind for Retire {
    const KIND: &'static str = "sqlite.retire";
    const SUMMARY: &'static str = "end a migration: what was kept for the way back of its contract goes";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"end\"\nuse = \"sqlite.retire\"\ntarget = \"app\"\n\
        irreversible = \"nobody has missed the old tables for a month\"\n\
        with = { mapping = \"mapping.toml\", one-way = true }\n";
    /// Its way back is a restore of the target, whose points are the target's.
    const FAULTS: Faults = Faults { apply: crate::target::CHANGED.apply, rollback: &[] };
    type Config = RetireConfig;

    fn build(config: RetireConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let mapping = Mapping::load("mapping", &config.mapping, cx)?;
        Ok(Self { target, mapping, one_way: config.one_way })
    }
}

impl Retire {
    fn end(&self, conn: &Connection, cx: &StepContext) -> Result<Receipt, StepError> {
        expect(conn, &self.mapping, Stage::Contracted, Stage::Retired)?;
        let mut notes = Vec::new();
        for pair in &self.mapping.pairs {
            notes.extend(aside::table(cx, conn, &names::raw(&pair.name), false)?);
            raw::drop(conn, pair)?;
            drop(conn, "TABLE", &gone(pair))?;
            drop(conn, "INDEX", &children(pair))?;
        }
        notes.extend(self.shared(conn, cx)?);
        stage::set(conn, &self.mapping.name, Stage::Retired, cx.info(), cx.now())?;
        notes.push(format!("the old tables of {} cannot come back any more", self.mapping.name));
        Ok(Receipt { notes, ..Receipt::nothing() })
    }

    /// Takes the mapping's rows out of the tables that all mappings share; the last one takes the tables along.
    fn shared(&self, conn: &Connection, cx: &StepContext) -> Result<Option<String>, StepError> {
        let failed = |e| sqlite_error(e, "while clearing the quarantine and the guard");
        let mut note = None;
        let mut there = Vec::new();
        for table in [QUARANTINE, GUARD] {
            if !has_table(conn, table)? {
                continue;
            }
            if table == QUARANTINE && self.has_rows(conn, table)? {
                note = aside::table(cx, conn, table, false)?;
            }
            for pair in &self.mapping.pairs {
                conn.execute(&format!("DELETE FROM {table} WHERE pair = ?1"), [&pair.name]).map_err(failed)?;
            }
            there.push(table);
        }
        // Triggers of another mapping ask both tables, whether they have rows or not.
        let others = match there.contains(&GUARD) {
            true => conn.prepare(&format!("SELECT 1 FROM {GUARD}")).and_then(|mut s| s.exists([])).map_err(failed)?,
            false => false,
        };
        if !others {
            there.iter().try_for_each(|table| drop(conn, "TABLE", table))?;
            drop_uncounted(conn)?;
        }
        Ok(note)
    }

    fn has_rows(&self, conn: &Connection, table: &str) -> Result<bool, StepError> {
        let mut asked = conn
            .prepare_cached(&format!("SELECT 1 FROM {table} WHERE pair = ?1"))
            .map_err(|e| sqlite_error(e, "while reading the quarantine"))?;
        for pair in &self.mapping.pairs {
            if asked.exists([&pair.name]).map_err(|e| sqlite_error(e, "while reading the quarantine"))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is there still, and should not be.
    fn left(&self, conn: &Connection) -> Result<Vec<String>, StepError> {
        let mut lines = Vec::new();
        let found = stage::read(conn, &self.mapping.name)?;
        if found != Stage::Retired {
            lines.push(format!("stage of {}: expected retired, found {}", self.mapping.name, found.name()));
        }
        for pair in &self.mapping.pairs {
            for name in [names::raw(&pair.name), gone(pair), children(pair)] {
                if declared::object(conn, &name)?.is_some_and(|found| same_name(&found.name, &name)) {
                    lines.push(format!("{name}: there"));
                }
            }
        }
        Ok(lines)
    }
}

/// The index by which `sqlite.expand` finds the children of a parent, where the new table has none.
fn children(pair: &Pair) -> String {
    format!("{PREFIX}{}_children", pair.name)
}

fn drop(conn: &Connection, kind: &str, name: &str) -> Result<(), StepError> {
    conn.execute_batch(&format!("DROP {kind} IF EXISTS {}", quote_ident(name)))
        .map_err(|e| sqlite_error(e, &format!("while dropping `{name}`")))
}

#[async_trait]
impl MigrationStep for Retire {
    fn describe(&self) -> Vec<Change> {
        let kept = |pair: &Pair| {
            Change::new(Action::Remove, format!("what was kept of table {}", pair.old))
                .with_detail("it cannot come back any more")
        };
        let stage = Change::new(Action::Alter, stage_of(&self.mapping)).with_detail("contracted to retired");
        self.mapping.pairs.iter().map(kept).chain([stage]).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn reversal(&self) -> Reversal {
        if self.one_way { Reversal::Irreversible } else { Reversal::Restore(self.target.clone()) }
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let name = self.mapping.name.clone();
        let found = cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| stage::read(conn, &name)).await;
        match found {
            Ok(Stage::Retired) => Ok(Standing::Applied),
            Ok(_) => Ok(Standing::Pending),
            Err(e) => done::conflict_standing(e),
        }
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let (step, inner) = (self.clone(), cx.clone());
        target.change(cx, move |conn| step.end(conn, &inner)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let step = self.clone();
        let lines = cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| step.left(conn)).await?;
        Ok(done::verdict(lines))
    }

    /// The runner restores the target, or goes forward.
    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

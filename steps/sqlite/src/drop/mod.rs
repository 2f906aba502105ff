//! The step kind `sqlite.drop`: helper tables that nobody needs any more go.
//!
//! Owns the step: in which order tables go, and what of them is set aside. Who else needs a table is `needed`'s to say,
//! whose its rows are is `theirs`'s.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Reversal, Standing,
    StepContext, StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::SqliteTarget;
use crate::aside;
use crate::declared::{self, same_name};
use crate::done;
use crate::sql::{quote_ident, sqlite_error};

mod needed;
mod theirs;

pub(crate) use needed::ours;

/// Drops tables.
#[derive(Debug, Clone)]
pub(crate) struct Drop {
    target: String,
    tables: Vec<String>,
    set_aside: bool,
    one_way: bool,
}

/// Configuration of `sqlite.drop`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct DropConfig {
    /// The tables, in any order. One that is not there is dropped already. Their rows are set aside in the state folder
    /// as SQL in any case.
    tables: Vec<String>,
    /// Drop also a table with rows that no step of this plan wrote. Without it, such a table is refused.
    #[serde(default)]
    set_aside: bool,
    /// The step has no way back, and `irreversible` says why that is right. Without it, it is undone by restoring the
    /// target from a snapshot, which takes back what programs wrote since.
    #[serde(default)]
    one_way: bool,
}

register_step!(Drop);

impl StepKind for Drop {
    const KIND: &'static str = "sqlite.drop";
    const SUMMARY: &'static str = "drop helper tables that nobody needs any more";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"helpers\"\nuse = \"sqlite.drop\"\ntarget = \"tier1\"\n\
        irreversible = \"the tables were made to carry the migration, which is over\"\n\
        with = { tables = [\"migration_batches\", \"migration_errors\"], one-way = true }\n";
    /// Its way back is a restore of the target, whose points are the target's.
    const FAULTS: Faults = Faults { apply: crate::target::CHANGED.apply, rollback: &[] };
    type Config = DropConfig;

    fn build(config: DropConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        if config.tables.is_empty() {
            return Err(BuildError::at("tables", "no table is named").with_help("add `tables = [\"helper\"]`"));
        }
        for (at, table) in config.tables.iter().enumerate() {
            if config.tables[..at].iter().any(|earlier| same_name(earlier, table)) {
                return Err(BuildError::at("tables", format!("`{table}` is named twice")).with_help("name it once"));
            }
            if let Some(remedy) = needed::ours(table) {
                return Err(BuildError::at("tables", format!("`{table}` is not a table of the system"))
                    .with_help(remedy.to_owned()));
            }
        }
        Ok(Self { target, tables: config.tables, set_aside: config.set_aside, one_way: config.one_way })
    }
}

impl Drop {
    /// Those of its tables that are there, each with its real name.
    fn there(&self, conn: &Connection) -> Result<Vec<String>, StepError> {
        let mut found = Vec::new();
        for table in &self.tables {
            match declared::object(conn, table)? {
                Some(object) if object.kind == "table" => found.push(object.name),
                Some(object) => {
                    return Err(StepError::conflict(format!("`{table}` is no table: it is of kind {}", object.kind))
                        .with_help("name tables only; what belongs to a table goes with it"));
                }
                None => {}
            }
        }
        Ok(found)
    }

    /// Refuses tables that somebody else needs, or has written.
    fn refuse(&self, conn: &Connection, ledger: &str, plan: &str) -> Result<Vec<String>, StepError> {
        let there = self.there(conn)?;
        if let Some(table) = there.iter().find(|table| same_name(table, ledger)) {
            return Err(StepError::conflict(format!("`{table}` is the ledger of this target"))
                .with_help("take it out of `tables`: rollbacks need it"));
        }
        if let Some((table, by)) = needed::by_others(conn, &there)? {
            return Err(StepError::conflict(format!("table `{table}` is still needed by {}", by.join(", ")))
                .with_help("drop or change them first, or leave the table"));
        }
        if !self.set_aside {
            for table in &there {
                let rows = theirs::rows(conn, ledger, plan, table)?;
                if rows > 0 {
                    let (count, word) =
                        if rows == 1 { ("1 row".to_owned(), "it") } else { (format!("{rows} rows"), "them") };
                    return Err(StepError::conflict(format!(
                        "table `{table}` has {count} that no step of this plan wrote"
                    ))
                    .with_help(format!(
                        "look at {word}; `set-aside = true` drops the table nevertheless, and keeps all rows as SQL in the \
                         state folder"
                    )));
                }
            }
        }
        Ok(there)
    }

    fn drop(&self, conn: &Connection, ledger: &str, cx: &StepContext) -> Result<Receipt, StepError> {
        let there = self.refuse(conn, ledger, &cx.info().plan)?;
        let mut notes = Vec::new();
        for table in needed::children_first(conn, there)? {
            notes.push(match aside::table(cx, conn, &table, false)? {
                Some(note) => note,
                None => format!("table {table} is dropped; it had no rows"),
            });
            conn.execute_batch(&format!("DROP TABLE {}", quote_ident(&table)))
                .map_err(|e| sqlite_error(e, &format!("while dropping table `{table}`")))?;
        }
        Ok(Receipt { notes, ..Receipt::nothing() })
    }
}

#[async_trait]
impl MigrationStep for Drop {
    fn describe(&self) -> Vec<Change> {
        let detail =
            if self.one_way { "its rows are set aside; it cannot come back" } else { "its rows are set aside" };
        let change = |table| Change::new(Action::Remove, format!("table {table}")).with_detail(detail);
        self.tables.iter().map(change).collect()
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

    /// Later steps see the structure without the tables.
    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let step = self.clone();
        let dropped = move |conn: &Connection| {
            for table in needed::children_first(conn, step.there(conn)?)? {
                conn.execute_batch(&format!("DROP TABLE {}", quote_ident(&table)))
                    .map_err(|e| sqlite_error(e, "while dropping a table"))?;
            }
            Ok(Receipt::nothing())
        };
        cx.target::<SqliteTarget>(&self.target)?.followed(cx, dropped).await
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (step, ledger, plan) = (self.clone(), target.ledger_name().to_owned(), cx.info().plan.clone());
        let found = target.read(cx, move |conn| step.refuse(conn, &ledger, &plan)).await;
        match found {
            Ok(there) => {
                Ok(done::standing(there.len(), self.tables.len(), || format!("there still: {}", there.join(", "))))
            }
            Err(e) => done::conflict_standing(e),
        }
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let (step, ledger, inner) = (self.clone(), target.ledger_name().to_owned(), cx.clone());
        target.change(cx, move |conn| step.drop(conn, &ledger, &inner)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let step = self.clone();
        let there = cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| step.there(conn)).await?;
        Ok(done::verdict(there.iter().map(|table| format!("table {table}: expected none, found one")).collect()))
    }

    /// The runner restores the target, or goes forward.
    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

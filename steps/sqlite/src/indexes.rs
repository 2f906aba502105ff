//! The step kind `sqlite.indexes`: makes indexes on tables that are there by then.
//!
//! Owns nothing of definitions (see `declared`): an index is known by what it is on, never by its name alone.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SqliteTarget;
use crate::declared::{self, INDEX_REMEDY, IndexState, Kind, Mark, Statement};
use crate::done;

/// Makes indexes.
#[derive(Debug, Clone)]
pub(crate) struct Indexes {
    target: String,
    declared: Vec<Statement>,
}

/// Configuration of `sqlite.indexes`: one of both keys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexesConfig {
    /// A file of CREATE INDEX statements, relative to the plan.
    #[serde(default)]
    script: Option<String>,
    /// The CREATE INDEX statements themselves.
    #[serde(default)]
    create: Vec<String>,
}

/// What apply made.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Made {
    indexes: Vec<Mark>,
}

register_step!(Indexes);

impl StepKind for Indexes {
    const KIND: &'static str = "sqlite.indexes";
    const SUMMARY: &'static str = "make indexes, known by definition";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"conversation-indexes\"\nuse = \"sqlite.indexes\"\ntarget = \"tier1\"\n\
        with = { create = [\"CREATE INDEX idx_recent ON conversations(archived, start_time DESC)\"] }\n";
    const FAULTS: Faults = crate::target::CHANGED;
    type Config = IndexesConfig;

    fn build(config: IndexesConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let declared = declared::from_config(cx, config.script.as_deref(), &config.create)?;
        for (i, one) in declared.iter().enumerate() {
            if one.kind == Kind::Table {
                return Err(BuildError::at(&one.field, format!("`{}` is a table, not an index", one.name))
                    .with_help("declare it in a `sqlite.tables` step"));
            }
            if declared[..i].iter().any(|d| declared::same_name(&d.name, &one.name)) {
                return Err(BuildError::at(&one.field, format!("index `{}` is declared twice", one.name)));
            }
            declared::check_index_syntax(one)?;
        }
        Ok(Self { target, declared })
    }
}

#[async_trait]
impl MigrationStep for Indexes {
    fn describe(&self) -> Vec<Change> {
        self.declared
            .iter()
            .map(|i| Change::new(Action::Create, format!("index {}", i.name)).with_detail(i.written()))
            .collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn transactional(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let declared = self.declared.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let mut missing = Vec::new();
                for statement in &declared {
                    match declared::index_state(conn, statement)? {
                        IndexState::Same => {}
                        IndexState::Other(expected, found) => {
                            let text = declared::index_conflict(&statement.name, &expected, &found);
                            return Ok(Standing::Conflict(format!("{text}; {INDEX_REMEDY}")));
                        }
                        // An earlier step of the plan may still make the table or the columns.
                        IndexState::Missing | IndexState::NoTable(_) | IndexState::NoColumns(..) => {
                            missing.push(statement.name.as_str());
                        }
                    }
                }
                Ok(done::standing(missing.len(), declared.len(), || format!("missing: {}", missing.join(", "))))
            })
            .await
    }

    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let declared = self.declared.clone();
        target.followed(cx, move |conn| make(conn, &declared)).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let declared = self.declared.clone();
        target.change(cx, move |conn| make(conn, &declared)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let declared = self.declared.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let mut lines = Vec::new();
                for statement in &declared {
                    lines.extend(declared::index_difference(conn, statement)?);
                }
                Ok(done::verdict(lines))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let made: Made = done::body(&receipt)?;
        let notes = cx.clone();
        target
            .reverse(cx, move |conn| {
                for index in made.indexes.iter().rev() {
                    declared::drop_index(conn, index)?.iter().for_each(|line| notes.note(line));
                }
                Ok(())
            })
            .await
    }
}

fn make(conn: &Connection, declared: &[Statement]) -> Result<Receipt, StepError> {
    let mut made = Made::default();
    let mut notes = Vec::new();
    for statement in declared {
        if declared::make_index(conn, statement)? {
            made.indexes.push(Mark::of_index(conn, &statement.name)?);
        } else {
            notes.push(format!("index {} was there before: kept", statement.name));
        }
    }
    Ok(Receipt { notes, ..Receipt::of(&made)? })
}

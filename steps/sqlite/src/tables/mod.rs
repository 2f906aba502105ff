//! The step kind `sqlite.tables`: makes tables, and indexes on them, as a script declares them.
//!
//! Owns what happens to each declared object: made when missing, kept when there as declared, a conflict when there
//! otherwise. What a definition is and how two differ is `declared`'s.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod undo;

use crate::SqliteTarget;
use crate::declared::{self, Declarations, Declared, INDEX_REMEDY, IndexState, Mark, Statement, Table};
use crate::done;
use crate::sql::sqlite_error;
pub(crate) use undo::undo;

/// Makes tables.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    target: String,
    declared: Declarations,
    source: Option<Vec<u8>>,
}

/// Configuration of `sqlite.tables`: one of both keys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TablesConfig {
    /// A file of CREATE TABLE statements, with CREATE INDEX statements on these tables, relative to the plan.
    #[serde(default)]
    script: Option<String>,
    /// The statements themselves.
    #[serde(default)]
    create: Vec<String>,
}

/// What apply made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Made {
    tables: Vec<Mark>,
    indexes: Vec<Mark>,
}

register_step!(Tables);

impl StepKind for Tables {
    const KIND: &'static str = "sqlite.tables";
    const SUMMARY: &'static str = "make tables with their indexes, known by definition";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"plugin-tables\"\nuse = \"sqlite.tables\"\ntarget = \"tier1\"\n\
        with = { create = [\"CREATE TABLE plugins (plugin_id TEXT PRIMARY KEY, name TEXT NOT NULL)\"] }\n";
    const FAULTS: Faults = crate::target::CHANGED;
    type Config = TablesConfig;

    fn build(config: TablesConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let statements = declared::from_config(cx, config.script.as_deref(), &config.create)?;
        let source = match &config.script {
            Some(path) => Some(cx.read_file("script", path)?.to_vec()),
            None => None,
        };
        Ok(Self { target, declared: Declarations::of(statements)?, source })
    }
}

/// What is there of one declared object.
enum Found {
    Missing,
    Same,
    /// Differences, and what to do.
    Other(String, &'static str),
}

const TABLE_REMEDY: &str = "declare it as it is there, give the declared table another name, or move the one that is there out of the way by a \
     `sqlite.script` step of a plan that runs before";

/// With `wider`, columns that were added behind the declared ones do not count: a table of our own may have grown.
fn look(conn: &Connection, statement: &Statement, declared: &Declared, wider: bool) -> Result<Found, StepError> {
    let Declared::Table(expected) = declared else {
        return Ok(match declared::index_state(conn, statement)? {
            IndexState::Same => Found::Same,
            IndexState::Other(expected, found) => {
                Found::Other(declared::index_conflict(&statement.name, &expected, &found), INDEX_REMEDY)
            }
            IndexState::Missing | IndexState::NoTable(_) | IndexState::NoColumns(..) => Found::Missing,
        });
    };
    let name = &statement.name;
    let Some(found) = Table::read(conn, name)? else {
        return Ok(match declared::object(conn, name)? {
            Some(other) => Found::Other(
                format!("table `{name}`: the name belongs to the {} `{}`", other.kind, other.name),
                TABLE_REMEDY,
            ),
            None => Found::Missing,
        });
    };
    let lines = expected.differences(&found, wider);
    Ok(if lines.is_empty() {
        Found::Same
    } else {
        Found::Other(format!("table `{name}` is there with another definition: {}", lines.join("; ")), TABLE_REMEDY)
    })
}

fn title(declared: &Declared, name: &str) -> String {
    match declared {
        Declared::Table(_) => format!("table {name}"),
        Declared::Index(_) => format!("index {name}"),
    }
}

#[async_trait]
impl MigrationStep for Tables {
    fn describe(&self) -> Vec<Change> {
        changes(&self.declared)
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn transactional(&self) -> Option<&str> {
        Some(&self.target)
    }

    fn checksum_source(&self) -> Option<Vec<u8>> {
        self.source.clone()
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let ours = target.done(cx).await?.is_some();
        let declared = self.declared.clone();
        target
            .read(cx, move |conn| {
                let mut missing = Vec::new();
                for (statement, one) in &declared.0 {
                    match look(conn, statement, one, ours)? {
                        Found::Same => {}
                        Found::Missing => missing.push(title(one, &statement.name)),
                        Found::Other(text, remedy) => return Ok(Standing::Conflict(format!("{text}; {remedy}"))),
                    }
                }
                Ok(done::standing(missing.len(), declared.0.len(), || format!("missing: {}", missing.join(", "))))
            })
            .await
    }

    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let declared = self.declared.clone();
        target.followed(cx, move |conn| receipt(conn, &declared)).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let declared = self.declared.clone();
        target.change(cx, move |conn| receipt(conn, &declared)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let declared = self.declared.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let mut lines = Vec::new();
                for (statement, one) in &declared.0 {
                    match one {
                        Declared::Index(_) => lines.extend(declared::index_difference(conn, statement)?),
                        Declared::Table(expected) => match Table::read(conn, &statement.name)? {
                            Some(found) => lines.extend(expected.differences(&found, true)),
                            None => lines.push(format!(
                                "table {}: expected columns ({}), found no table",
                                statement.name,
                                expected.list()
                            )),
                        },
                    }
                }
                Ok(done::verdict(lines))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let made: Made = done::body(&receipt)?;
        let inner = cx.clone();
        target.reverse(cx, move |conn| undo(&inner, conn, &made)).await
    }
}

fn receipt(conn: &Connection, declared: &Declarations) -> Result<Receipt, StepError> {
    let (made, notes) = make(conn, declared)?;
    Ok(Receipt { notes, ..Receipt::of(&made)? })
}

/// What is declared, as lines of a plan.
pub(crate) fn changes(declared: &Declarations) -> Vec<Change> {
    let line = |(statement, declared): &(Statement, Declared)| {
        let detail = match declared {
            Declared::Table(table) => format!("columns {}", table.list()),
            Declared::Index(index) => index.definition(),
        };
        Change::new(Action::Create, title(declared, &statement.name)).with_detail(detail)
    };
    declared.0.iter().map(line).collect()
}

/// Makes what is declared and not there; what was made, and a line for what was there before.
pub(crate) fn make(conn: &Connection, declared: &Declarations) -> Result<(Made, Vec<String>), StepError> {
    let mut made = Made::default();
    let mut notes = Vec::new();
    for (statement, one) in &declared.0 {
        let name = title(one, &statement.name);
        match look(conn, statement, one, false)? {
            Found::Same => notes.push(format!("{name} was there before: kept")),
            Found::Other(text, remedy) => return Err(StepError::conflict(text).with_help(remedy)),
            Found::Missing if matches!(one, Declared::Index(_)) => {
                declared::make_index(conn, statement)?;
                made.indexes.push(Mark::of_index(conn, &statement.name)?);
            }
            Found::Missing => {
                conn.execute_batch(&statement.sql).map_err(|e| sqlite_error(e, &format!("making {name}")))?;
                made.tables.push(Mark::of_table(conn, &statement.name)?);
            }
        }
    }
    Ok((made, notes))
}

//! The step kind `sqlite.columns`: adds columns to a table that is there already.
//!
//! Owns telling a column that is missing from one that is there as declared (kept, and not ours) and from one that
//! is there otherwise (a conflict). Dropping happens only for columns of the receipt.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod drop;

use crate::SqliteTarget;
use crate::declared::{self, AddedColumn, Mark, Table, add_sql, added_column};
use crate::sql::sqlite_error;
use drop::undo;

/// Adds columns to a table.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    target: String,
    plan: Declared,
}

#[derive(Debug, Clone)]
struct Declared {
    table: String,
    add: Vec<AddedColumn>,
}

/// Configuration of `sqlite.columns`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnsConfig {
    /// The table.
    table: String,
    /// Column definitions in SQL: "task_status TEXT DEFAULT 'open'".
    add: Vec<String>,
}

/// What apply added.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Made {
    table: String,
    columns: Vec<Mark>,
}

/// SQLite's own limit (SQLITE_MAX_COLUMN).
const MOST: usize = 2000;

register_step!(Columns);

impl StepKind for Columns {
    const KIND: &'static str = "sqlite.columns";
    const SUMMARY: &'static str = "add columns to a table";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"conversation-columns\"\nuse = \"sqlite.columns\"\ntarget = \"tier1\"\n\
        with = { table = \"conversations\", add = [\"archived INTEGER DEFAULT 0\"] }\n";
    const FAULTS: Faults = crate::target::CHANGED;
    type Config = ColumnsConfig;

    fn build(config: ColumnsConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        if config.add.is_empty() {
            return Err(
                BuildError::at("add", "no column is declared").with_help("name at least one, or remove the step")
            );
        }
        if config.add.len() > MOST {
            let message = format!("{} columns are declared; a table of SQLite has at most {MOST}", config.add.len());
            return Err(BuildError::at("add", message).with_help("spread them over several tables"));
        }
        let mut add: Vec<AddedColumn> = Vec::new();
        for (i, definition) in config.add.iter().enumerate() {
            let field = format!("add[{i}]");
            let one = added_column(&field, &config.table, definition)?;
            if add.iter().any(|a| declared::same_name(&a.column.name, &one.column.name)) {
                return Err(BuildError::at(field, format!("column `{}` is declared twice", one.column.name)));
            }
            add.push(one);
        }
        Ok(Self { target, plan: Declared { table: config.table, add } })
    }
}

/// What is there of one declared column.
enum Found {
    Missing,
    Same,
    Other(String),
}

impl Declared {
    /// The state of each declared column; none without the table.
    fn look(&self, conn: &Connection) -> Result<Option<Vec<(&AddedColumn, Found)>>, StepError> {
        let Some(table) = Table::read(conn, &self.table)? else {
            return match declared::object(conn, &self.table)? {
                Some(other) => Err(StepError::conflict(format!(
                    "`{}` is not a table: it is the {} `{}`",
                    self.table, other.kind, other.name
                ))
                .with_help("name the table that holds the rows")),
                None => Ok(None),
            };
        };
        let state = |added: &AddedColumn| match table.column(&added.column.name) {
            None => Found::Missing,
            Some(column) if column.same_as(&added.column) && table.rules_of(&column.name) == added.rules => Found::Same,
            Some(column) => Found::Other(described(&column.definition(), &table.rules_of(&column.name))),
        };
        Ok(Some(self.add.iter().map(|a| (a, state(a))).collect()))
    }

    fn name_of(&self, added: &AddedColumn) -> String {
        format!("{}.{}", self.table, added.column.name)
    }

    fn conflict(&self, added: &AddedColumn, found: &str) -> String {
        format!(
            "column `{}` is there as `{found}`, the plan declares `{}`",
            self.name_of(added),
            described(&added.column.definition(), &added.rules)
        )
    }

    fn add(&self, conn: &Connection) -> Result<Receipt, StepError> {
        let Some(state) = self.look(conn)? else { return Err(declared::no_such_table(conn, &self.table)?) };
        let mut made = Made { table: self.table.clone(), columns: Vec::new() };
        let (mut added_now, mut notes) = (Vec::new(), Vec::new());
        for (added, found) in state {
            match found {
                Found::Same => notes.push(format!("column {} was there before: kept", self.name_of(added))),
                Found::Other(other) => {
                    return Err(StepError::conflict(self.conflict(added, &other)).with_help(REMEDY));
                }
                Found::Missing => {
                    conn.execute_batch(&add_sql(&self.table, &added.sql))
                        .map_err(|e| sqlite_error(e, &format!("adding column `{}`", self.name_of(added))))?;
                    added_now.push(added.column.name.as_str());
                }
            }
        }
        if let Some(table) = Table::read(conn, &self.table)? {
            made.columns = added_now.iter().filter_map(|name| Mark::of_column(&table, name)).collect();
        }
        Ok(Receipt { notes, ..Receipt::of(&made)? })
    }
}

const REMEDY: &str = "declare it as it is there, or choose another name for the new column";

#[async_trait]
impl MigrationStep for Columns {
    fn describe(&self) -> Vec<Change> {
        let line = |a: &AddedColumn| {
            Change::new(Action::Create, format!("column {}", self.plan.name_of(a)))
                .with_detail(described(&a.column.definition(), &a.rules))
        };
        self.plan.add.iter().map(line).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn transactional(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let plan = self.plan.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let state = match plan.look(conn) {
                    Ok(Some(state)) => state,
                    Ok(None) => return Ok(Standing::Pending),
                    Err(e) => return crate::done::conflict_standing(e),
                };
                for (added, found) in &state {
                    if let Found::Other(found) = found {
                        return Ok(Standing::Conflict(format!("{}; {REMEDY}", plan.conflict(added, found))));
                    }
                }
                let missing: Vec<String> =
                    state.iter().filter(|(_, f)| matches!(f, Found::Missing)).map(|(a, _)| plan.name_of(a)).collect();
                Ok(match missing.len() {
                    0 => Standing::Applied,
                    all if all == state.len() => Standing::Pending,
                    _ => Standing::Partial(format!("missing: {}", missing.join(", "))),
                })
            })
            .await
    }

    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let plan = self.plan.clone();
        target.followed(cx, move |conn| plan.add(conn)).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let plan = self.plan.clone();
        target.change(cx, move |conn| plan.add(conn)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let plan = self.plan.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let Some(state) = plan.look(conn)? else {
                    return Ok(Verdict::Broken(vec![format!("table {}: expected, found none", plan.table)]));
                };
                let line = |(added, found): (&AddedColumn, Found)| {
                    let expected = described(&added.column.definition(), &added.rules);
                    let name = plan.name_of(added);
                    match found {
                        Found::Same => None,
                        Found::Missing => Some(format!("column {name}: expected `{expected}`, found none")),
                        Found::Other(other) => Some(format!("column {name}: expected `{expected}`, found `{other}`")),
                    }
                };
                Ok(crate::done::verdict(state.into_iter().filter_map(line).collect()))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let made: Made = crate::done::body(&receipt)?;
        let notes = cx.clone();
        target
            .reverse(cx, move |conn| {
                for column in made.columns.iter().rev() {
                    undo(&notes, conn, &made.table, column)?.iter().for_each(|line| notes.note(line));
                }
                Ok(())
            })
            .await
    }
}

/// A definition with the foreign keys that belong to it.
fn described(definition: &str, rules: &[String]) -> String {
    let references = rules.iter().filter_map(|r| r.split_once(") ")).map(|(_, rest)| rest);
    std::iter::once(definition).chain(references).collect::<Vec<_>>().join(" ")
}

//! The step kind `sqlite.rows`: inserts the declared rows whose key is not there yet.
//!
//! Owns which rows are ours: the receipt holds the keys inserted, and rollback deletes these only. What a cell may
//! be is `seed`'s.

use std::collections::BTreeMap;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Layer, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, register_step,
};
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod seed;

use crate::SqliteTarget;
use crate::declared::{self, Table};
use crate::done;
use crate::sequence::{self, Moved};
use crate::sql::{quote_ident, sqlite_error};
use crate::value::{from_json, to_json};
use seed::{Cell, Seed};

/// Inserts rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    target: String,
    seeds: Seeds,
    source: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Seeds {
    table: String,
    key: Vec<String>,
    rows: Vec<Seed>,
}

/// Configuration of `sqlite.rows`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowsConfig {
    /// The table.
    table: String,
    /// The columns by which a row is known.
    key: Vec<String>,
    /// The rows: a value for each column, or `{ sql = "SELECT ..." }`, evaluated in the database with the plan's
    /// variables bound. Lists and tables are stored as JSON text.
    #[serde(default)]
    rows: Vec<BTreeMap<String, Value>>,
    /// A JSON file with an array of such rows, relative to the plan, in place of `rows`.
    #[serde(default)]
    file: Option<String>,
}

/// What apply inserted.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Made {
    table: String,
    key: Vec<String>,
    keys: Vec<Vec<Value>>,
    counter: Moved,
}

register_step!(Rows);

impl StepKind for Rows {
    const KIND: &'static str = "sqlite.rows";
    const SUMMARY: &'static str = "inserts rows whose key is not there yet";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"register-plugins\"\nuse = \"sqlite.rows\"\ntarget = \"tier1\"\n\
        with = { table = \"plugins\", key = [\"plugin_id\"], rows = [{ plugin_id = \"cleanup\", name = \"Cleanup\" }] }\n";
    type Config = RowsConfig;

    fn build(config: RowsConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        if config.key.is_empty() {
            return Err(
                BuildError::at("key", "no key is declared").with_help("name the columns by which a row is known")
            );
        }
        let mut source = None;
        let (field, rows) = match (&config.file, config.rows.as_slice()) {
            (Some(path), []) => {
                let text = cx.read_text("file", path)?;
                let rows = serde_json::from_str(&text).map_err(|e| {
                    BuildError::at("file", format!("`{path}`: {e}"))
                        .with_help("the file holds an array of JSON objects")
                })?;
                source = Some(text.into_bytes());
                ("file", rows)
            }
            (None, [_, ..]) => ("rows", config.rows),
            (Some(_), _) => {
                return Err(BuildError::at("file", "`rows` and `file` are both given").with_help("keep one of them"));
            }
            (None, []) => return Err(BuildError::at("rows", "no row is declared").with_help("add `rows` or `file`")),
        };
        let mut seeds: Vec<Seed> = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            let field = format!("{field}[{i}]");
            let one = Seed::parse(&field, row, &config.key)?;
            let same = |other: &Seed| {
                config.key.iter().all(|k| {
                    matches!(one.cells.get(k), Some(Cell::Constant(_))) && other.cells.get(k) == one.cells.get(k)
                })
            };
            if seeds.iter().any(same) {
                return Err(BuildError::at(field, "two rows have the same key"));
            }
            seeds.push(one);
        }
        Ok(Self { target, seeds: Seeds { table: config.table, key: config.key, rows: seeds }, source })
    }
}

type Vars = BTreeMap<String, Value>;

impl Seeds {
    /// How many of the rows are there; none when the table, or what a key is made of, is not there yet.
    fn present(&self, conn: &Connection, vars: &Vars) -> Result<Option<usize>, StepError> {
        if self.missing_columns(conn)?.is_none_or(|m| !m.is_empty()) {
            return Ok(None);
        }
        let mut count = 0;
        for row in &self.rows {
            // What a key's query reads may be made by an earlier step of the plan.
            let Ok(key) = row.key(conn, &self.key, vars) else { continue };
            count += usize::from(exists(conn, &self.table, &self.key, &key)?);
        }
        Ok(Some(count))
    }

    /// The columns named by rows that the table lacks; none without the table.
    fn missing_columns(&self, conn: &Connection) -> Result<Option<Vec<String>>, StepError> {
        let Some(table) = Table::read(conn, &self.table)? else { return Ok(None) };
        let mut missing: Vec<String> =
            self.rows.iter().flat_map(|r| r.cells.keys()).filter(|c| table.column(c).is_none()).cloned().collect();
        missing.sort();
        missing.dedup();
        Ok(Some(missing))
    }

    fn insert(&self, conn: &Connection, vars: &Vars) -> Result<Receipt, StepError> {
        match self.missing_columns(conn)? {
            None => return Err(declared::no_such_table(conn, &self.table)?),
            Some(missing) if !missing.is_empty() => {
                return Err(declared::no_such_columns(conn, "the declared rows", &self.table, &missing)?);
            }
            Some(_) => {}
        }
        let before = sequence::current(conn, &self.table)?;
        let mut made = Made { table: self.table.clone(), key: self.key.clone(), ..Made::default() };
        for row in &self.rows {
            let key = row.key(conn, &self.key, vars)?;
            if !exists(conn, &self.table, &self.key, &key)? {
                row.insert(conn, &self.table, vars)?;
                made.keys.push(key.iter().map(to_json).collect());
            }
        }
        made.counter = Moved::since(conn, &self.table, before)?;
        let kept = self.rows.len() - made.keys.len();
        let receipt = Receipt::of(&made)?.with_rows(made.keys.len() as u64);
        Ok(if kept == 0 {
            receipt
        } else {
            receipt.with_note(format!("{kept} rows of {} were there before: kept", self.table))
        })
    }

    fn differences(&self, conn: &Connection, vars: &Vars, ours: &[Vec<Value>]) -> Result<Vec<String>, StepError> {
        match self.missing_columns(conn)? {
            None => return Ok(vec![format!("table {}: expected, found none", self.table)]),
            Some(missing) if !missing.is_empty() => {
                return Ok(missing
                    .iter()
                    .map(|c| format!("column {}.{c}: expected, found none", self.table))
                    .collect());
            }
            Some(_) => {}
        }
        let mut lines = Vec::new();
        for row in &self.rows {
            let key = row.key(conn, &self.key, vars)?;
            let name = self.name_of(&key);
            if !exists(conn, &self.table, &self.key, &key)? {
                lines.push(format!("{name}: expected, found none"));
            } else if ours.contains(&key.iter().map(to_json).collect()) {
                for (column, cell) in &row.cells {
                    let Cell::Constant(expected) = cell else { continue };
                    if let Some(found) = other_value(conn, &self.table, &self.key, &key, column, expected)? {
                        lines.push(format!(
                            "{name}: expected {column} = {}, found {}",
                            to_json(expected),
                            to_json(&found)
                        ));
                    }
                }
            }
        }
        Ok(lines)
    }

    fn name_of(&self, key: &[SqlValue]) -> String {
        let pairs: Vec<String> = self.key.iter().zip(key).map(|(k, v)| format!("{k} = {}", to_json(v))).collect();
        format!("row {} ({})", self.table, pairs.join(", "))
    }
}

#[async_trait]
impl MigrationStep for Rows {
    fn describe(&self) -> Vec<Change> {
        let line = |row: &Seed| {
            let cell = |k: &String| match row.cells.get(k) {
                Some(Cell::Constant(value)) => format!("{k} = {}", to_json(value)),
                Some(Cell::Query(query)) => format!("{k} = ({query})"),
                None => k.clone(),
            };
            let key: Vec<String> = self.seeds.key.iter().map(cell).collect();
            let rest: Vec<&str> =
                row.cells.keys().filter(|c| !self.seeds.key.contains(c)).map(String::as_str).collect();
            let change = Change::new(Action::Create, format!("row {} ({})", self.seeds.table, key.join(", ")));
            if rest.is_empty() { change } else { change.with_detail(format!("with {}", rest.join(", "))) }
        };
        self.seeds.rows.iter().map(line).collect()
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
        let (seeds, vars) = (self.seeds.clone(), cx.vars().clone());
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let all = seeds.rows.len();
                let there = seeds.present(conn, &vars)?.unwrap_or(0);
                Ok(done::standing(all - there, all, || format!("{there} of {all} rows are there")))
            })
            .await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let (seeds, vars) = (self.seeds.clone(), cx.vars().clone());
        target.change(cx, move |conn| seeds.insert(conn, &vars)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let receipt = target.done(cx).await?.unwrap_or_default();
        let ours = done::body::<Made>(&receipt)?.keys;
        let (seeds, vars) = (self.seeds.clone(), cx.vars().clone());
        target.read(cx, move |conn| seeds.differences(conn, &vars, &ours).map(done::verdict)).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let made: Made = done::body(&receipt)?;
        target.reverse(cx, move |conn| remove(conn, &made)).await
    }
}

fn condition(key: &[String]) -> String {
    key.iter().map(|k| format!("{} IS ?", quote_ident(k))).collect::<Vec<_>>().join(" AND ")
}

fn exists(conn: &Connection, table: &str, key: &[String], values: &[SqlValue]) -> Result<bool, StepError> {
    let sql = format!("SELECT 1 FROM {} WHERE {}", quote_ident(table), condition(key));
    conn.prepare_cached(&sql)
        .and_then(|mut s| s.exists(rusqlite::params_from_iter(values)))
        .map_err(|e| sqlite_error(e, &format!("looking for a row in `{table}`")))
}

/// What the column holds, when it is something else than `expected` (by the column's own comparison).
fn other_value(
    conn: &Connection,
    table: &str,
    key: &[String],
    values: &[SqlValue],
    column: &str,
    expected: &SqlValue,
) -> Result<Option<SqlValue>, StepError> {
    let column = quote_ident(column);
    let sql = format!("SELECT {column}, {column} IS ? FROM {} WHERE {}", quote_ident(table), condition(key));
    let params = std::iter::once(expected).chain(values);
    let (found, same): (SqlValue, bool) = conn
        .prepare_cached(&sql)
        .and_then(|mut s| s.query_row(rusqlite::params_from_iter(params), |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(|e| sqlite_error(e, &format!("reading a row of `{table}`")))?;
    Ok((!same).then_some(found))
}

fn remove(conn: &Connection, made: &Made) -> Result<(), StepError> {
    let Some(table) = Table::read(conn, &made.table)? else { return Ok(()) };
    if made.key.iter().any(|k| table.column(k).is_none()) {
        return Ok(());
    }
    let sql = format!("DELETE FROM {} WHERE {}", quote_ident(&made.table), condition(&made.key));
    for key in made.keys.iter().rev() {
        conn.prepare_cached(&sql)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(key.iter().map(from_json))))
            .map_err(|e| sqlite_error(e, &format!("deleting a row of `{}`", made.table)))?;
    }
    made.counter.put_back(conn, &made.table)
}

//! The declared rows: their cells, read from the plan and turned into values inside the database.
//!
//! Owns what a cell may be. Must not know receipts or targets.

use std::collections::BTreeMap;

use cutover_core::{BuildError, StepError};
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use serde_json::Value;

use crate::sql::{bind_vars, quote_ident, sql_value, sqlite_error, tokens};

/// One declared row.
#[derive(Debug, Clone)]
pub(super) struct Seed {
    pub(super) cells: BTreeMap<String, Cell>,
}

/// What a column of a row gets.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// This value.
    Constant(SqlValue),
    /// The first value of this query.
    Query(String),
}

impl Seed {
    /// A row from its configuration; `field` says where it stands there.
    pub(super) fn parse(field: &str, row: &BTreeMap<String, Value>, key: &[String]) -> Result<Self, BuildError> {
        if let Some(missing) = key.iter().find(|k| !row.contains_key(*k)) {
            return Err(BuildError::at(field, format!("the row has no `{missing}`, which is part of its key"))
                .with_help("give every row a value for each column of `key`"));
        }
        let mut cells = BTreeMap::new();
        for (column, value) in row {
            cells.insert(column.clone(), Cell::parse(&format!("{field}.{column}"), value)?);
        }
        Ok(Self { cells })
    }

    /// The values of the key's columns.
    pub(super) fn key(
        &self,
        conn: &Connection,
        key: &[String],
        vars: &BTreeMap<String, Value>,
    ) -> Result<Vec<SqlValue>, StepError> {
        key.iter().filter_map(|k| self.cells.get(k)).map(|cell| cell.value(conn, vars)).collect()
    }

    /// Inserts the row. False: the table's own triggers did not want it.
    pub(super) fn insert(
        &self,
        conn: &Connection,
        table: &str,
        vars: &BTreeMap<String, Value>,
    ) -> Result<bool, StepError> {
        let columns: Vec<String> = self.cells.keys().map(|c| quote_ident(c)).collect();
        let values: Vec<SqlValue> = self.cells.values().map(|c| c.value(conn, vars)).collect::<Result<_, _>>()?;
        let marks = vec!["?"; values.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", quote_ident(table), columns.join(", "));
        conn.prepare_cached(&sql)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(values)))
            .map(|rows| rows > 0)
            .map_err(|e| sqlite_error(e, &format!("inserting a row into `{table}`")))
    }
}

impl Cell {
    fn parse(field: &str, value: &Value) -> Result<Self, BuildError> {
        let constant = || {
            let inexact = || BuildError::at(field, format!("`{value}` is a number that SQLite cannot hold exactly"));
            let help = "write it as a string, if the column may hold text";
            sql_value(value).map(Self::Constant).ok_or_else(|| inexact().with_help(help))
        };
        let Value::Object(map) = value else { return constant() };
        if map.keys().any(|k| k.starts_with("$__toml_private")) {
            return Err(BuildError::at(field, "a TOML date has no SQL form of its own")
                .with_help("write it as a string, in the form that the column holds"));
        }
        match (map.len(), map.get("sql")) {
            (1, Some(Value::String(query))) => {
                let words = tokens(query);
                let starts =
                    words.first().is_some_and(|w| ["select", "with", "values"].contains(&w.to_lowercase().as_str()));
                if !starts || words.iter().rposition(|w| *w == ";").is_some_and(|i| i + 1 < words.len()) {
                    return Err(BuildError::at(field, format!("`{query}` is not one query"))
                        .with_help("a value from SQL is a single SELECT with one column"));
                }
                Ok(Self::Query(query.clone()))
            }
            _ => constant(),
        }
    }

    fn value(&self, conn: &Connection, vars: &BTreeMap<String, Value>) -> Result<SqlValue, StepError> {
        let query = match self {
            Self::Constant(value) => return Ok(value.clone()),
            Self::Query(query) => query,
        };
        let doing = format!("evaluating `{query}`");
        let failed = |e| sqlite_error(e, &doing);
        let mut statement = conn.prepare(query).map_err(failed)?;
        if !statement.readonly() {
            return Err(
                StepError::failed(format!("`{query}` changes the database")).with_help("use a query that only reads")
            );
        }
        bind_vars(&mut statement, vars)?;
        let mut rows = statement.raw_query();
        match rows.next().map_err(failed)? {
            Some(row) => row.get(0).map_err(failed),
            None => Ok(SqlValue::Null),
        }
    }
}

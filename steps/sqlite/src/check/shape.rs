//! What must be there: tables with columns, indexes, and objects as a script defines them.

use std::collections::BTreeMap;

use cutover_core::{BuildError, StepError, closest};
use rusqlite::Connection;

use crate::declared::{self, Declarations, Declared, Kind, Statement, Table};

/// What must be there.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Columns by table.
    pub(super) tables: BTreeMap<String, Vec<String>>,
    /// Indexes by name.
    pub(super) indexes: Vec<String>,
    schema: Vec<(Statement, Option<Table>)>,
}

impl Shape {
    /// The shape that these declare. Indexes of `schema` may be on tables that it does not define.
    pub(super) fn new(
        tables: BTreeMap<String, Vec<String>>,
        indexes: Vec<String>,
        schema: Vec<Statement>,
    ) -> Result<Self, BuildError> {
        let (defined, on_any): (Vec<_>, Vec<_>) = schema.into_iter().partition(|s| s.kind == Kind::Table);
        let mut schema = Vec::new();
        for (statement, one) in Declarations::of(defined)?.0 {
            if let Declared::Table(table) = one {
                schema.push((statement, Some(table)));
            }
        }
        for statement in on_any {
            declared::check_index_syntax(&statement)?;
            schema.push((statement, None));
        }
        Ok(Self { tables, indexes, schema })
    }

    /// The names of the objects that the script defines.
    pub(super) fn defined(&self) -> impl Iterator<Item = String> {
        self.schema
            .iter()
            .map(|(s, table)| if table.is_some() { format!("table {}", s.name) } else { format!("index {}", s.name) })
    }

    /// What is missing or otherwise, one line each.
    pub(super) fn differences(&self, conn: &Connection) -> Result<Vec<String>, StepError> {
        let mut lines = Vec::new();
        for (name, columns) in &self.tables {
            let there = declared::column_names(conn, name)?;
            if there.is_empty() {
                lines.push(format!("table {name}: expected, found none{}", near(name, &declared::tables(conn)?)));
                continue;
            }
            for column in columns.iter().filter(|c| !there.iter().any(|t| declared::same_name(t, c))) {
                lines.push(format!("column {name}.{column}: expected, found none among {}", there.join(", ")));
            }
        }
        for name in &self.indexes {
            if declared::object(conn, name)?.is_none_or(|o| o.kind != "index") {
                lines.push(format!("index {name}: expected, found none"));
            }
        }
        for (statement, table) in &self.schema {
            match table {
                None => lines.extend(declared::index_difference(conn, statement)?),
                Some(expected) => match Table::read(conn, &statement.name)? {
                    Some(found) => lines.extend(expected.differences(&found, true)),
                    None => lines.push(format!("table {}: expected, found none", statement.name)),
                },
            }
        }
        Ok(lines)
    }
}

fn near(name: &str, there: &[String]) -> String {
    closest(name, there.iter().map(String::as_str)).map(|n| format!(" (there is `{n}`)")).unwrap_or_default()
}

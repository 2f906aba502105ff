//! What a step made, known again by digests of its definition; a receipt holds no text of it.
//!
//! Owns telling an object that is still the one that was made from another of the same name. A digest is blind to case
//! and quotes in a table's columns: SQLite itself rewrites these when it drops a column.

use cutover_core::{StepError, blake3_hex};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Index, Table, object};

/// An object that a step made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its name.
    pub(crate) name: String,
    /// Digests of what it is defined by: a table's columns and constraints, one each.
    parts: Vec<String>,
}

/// What bears the name of an object that a step made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Still {
    /// Nothing does.
    Gone,
    /// The object, as it was made.
    Same,
    /// The object; others added to its definition.
    Wider,
    /// Another one: its definition, or what it is.
    Other(String),
}

impl Mark {
    /// The table of that name as it is now.
    pub(crate) fn of_table(conn: &Connection, name: &str) -> Result<Self, StepError> {
        let table = Table::read(conn, name)?;
        Ok(Self { name: name.to_owned(), parts: table.as_ref().map(parts_of).unwrap_or_default() })
    }

    /// The index of that name as it is now.
    pub(crate) fn of_index(conn: &Connection, name: &str) -> Result<Self, StepError> {
        let index = Index::read(conn, name)?;
        Ok(Self { name: name.to_owned(), parts: index.iter().map(|i| short(&i.definition())).collect() })
    }

    /// The column of that name, when `table` has it.
    pub(crate) fn of_column(table: &Table, name: &str) -> Option<Self> {
        let column = table.column(name)?;
        let rules = table.rules_of(&column.name).join(" ");
        let part = loose(&format!("{} {rules}", column.definition()));
        Some(Self { name: name.to_owned(), parts: vec![part] })
    }

    /// What bears the name of this table. A table that lost a column or constraint, or has it otherwise, is another.
    pub(crate) fn table(&self, conn: &Connection) -> Result<Still, StepError> {
        let Some(there) = object(conn, &self.name)? else { return Ok(Still::Gone) };
        let Some(found) = Table::read(conn, &self.name)? else { return Ok(Still::Other(there.kind)) };
        let parts = parts_of(&found);
        let is_virtual = there.sql.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("CREATE VIRTUAL"));
        Ok(if is_virtual || !self.parts.iter().all(|p| parts.contains(p)) {
            Still::Other(format!("columns {}", found.list()))
        } else if parts.len() == self.parts.len() {
            Still::Same
        } else {
            Still::Wider
        })
    }

    /// What bears the name of this index.
    pub(crate) fn index(&self, conn: &Connection) -> Result<Still, StepError> {
        let Some(there) = object(conn, &self.name)? else { return Ok(Still::Gone) };
        let Some(found) = Index::read(conn, &self.name)? else { return Ok(Still::Other(there.kind)) };
        let definition = found.definition();
        Ok(if self.parts == [short(&definition)] { Still::Same } else { Still::Other(definition) })
    }

    /// What bears the name of this column of `table`.
    pub(crate) fn column(&self, table: &Table) -> Still {
        match (Self::of_column(table, &self.name), table.column(&self.name)) {
            (Some(found), _) if found.parts == self.parts => Still::Same,
            (_, Some(column)) => Still::Other(column.definition()),
            _ => Still::Gone,
        }
    }
}

fn parts_of(table: &Table) -> Vec<String> {
    let columns = table.columns.iter().map(|c| loose(&format!("{} {}", c.name, c.definition())));
    columns.chain(table.constraints.iter().map(|rule| loose(rule))).collect()
}

fn loose(text: &str) -> String {
    let plain = text.to_lowercase().replace(['"', '\'', '`', '[', ']'], " ");
    short(&plain.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn short(text: &str) -> String {
    blake3_hex(text.as_bytes()).chars().take(16).collect()
}

//! One column of a table, as `table_xinfo` and the stored SQL tell it.

use cutover_core::StepError;
use rusqlite::Connection;

use super::text;
use crate::sql::{sqlite_error, tokens};

/// A column's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// As the database spells it.
    pub(crate) name: String,
    declared_type: String,
    not_null: bool,
    default: Option<String>,
    key_position: i64,
    hidden: i64,
    clauses: Vec<String>,
}

impl Column {
    /// The columns of `table` in their order. `items` are the parts of its stored SQL.
    pub(super) fn read_all(conn: &Connection, table: &str, items: &[&[&str]]) -> Result<Vec<Self>, StepError> {
        let read = || -> rusqlite::Result<Vec<Self>> {
            conn.prepare_cached(
                "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid",
            )?
            .query_map([table], |row| {
                let name: String = row.get(0)?;
                let item = items.iter().find(|i| i.first().is_some_and(|t| text::same_name(&text::unquoted(t), &name)));
                Ok(Self {
                    clauses: item.map(|i| text::clauses(&i[1..])).unwrap_or_default(),
                    name,
                    declared_type: row.get(1)?,
                    not_null: row.get(2)?,
                    default: row.get(3)?,
                    key_position: row.get(4)?,
                    hidden: row.get(5)?,
                })
            })?
            .collect()
        };
        read().map_err(|e| sqlite_error(e, "reading the columns"))
    }

    /// Whether both mean the same; blind to case, blanks and quotes.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let default = |c: &Self| c.default.as_deref().map(|d| text::joined(&tokens(d)));
        text::same_name(&self.name, &other.name)
            && text::joined(&tokens(&self.declared_type)) == text::joined(&tokens(&other.declared_type))
            && self.not_null == other.not_null
            && default(self) == default(other)
            && self.key_position == other.key_position
            && self.hidden == other.hidden
            && self.clauses == other.clauses
    }

    /// The definition in words: "TEXT NOT NULL DEFAULT 'open'".
    pub(crate) fn definition(&self) -> String {
        let mut words = Vec::new();
        if !self.declared_type.is_empty() {
            words.push(self.declared_type.clone());
        }
        match self.key_position {
            0 => {}
            1 => words.push("PRIMARY KEY".to_owned()),
            n => words.push(format!("PRIMARY KEY ({n}.)")),
        }
        if self.not_null {
            words.push("NOT NULL".to_owned());
        }
        if let Some(default) = &self.default {
            words.push(format!("DEFAULT {default}"));
        }
        words.extend(self.clauses.iter().cloned());
        match self.hidden {
            2 => words.push("VIRTUAL".to_owned()),
            3 => words.push("STORED".to_owned()),
            _ => {}
        }
        if words.is_empty() { "no type".to_owned() } else { words.join(" ") }
    }
}

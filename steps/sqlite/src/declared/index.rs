//! One index, as `index_xinfo` and the stored SQL tell it.

use cutover_core::StepError;
use rusqlite::Connection;

use super::{Object, object, text};
use crate::sql::{sqlite_error, tokens};

/// An index's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// As the database spells it.
    pub(crate) name: String,
    /// The table that it is on.
    pub(crate) table: String,
    unique: bool,
    terms: Vec<String>,
    filter: Option<String>,
}

impl Index {
    /// The index of that name; none when there is none, or when the name belongs to something else.
    pub(crate) fn read(conn: &Connection, name: &str) -> Result<Option<Self>, StepError> {
        match object(conn, name)? {
            Some(found) if found.kind == "index" => Self::of(conn, found).map(Some),
            _ => Ok(None),
        }
    }

    fn of(conn: &Connection, found: Object) -> Result<Self, StepError> {
        let all = tokens(&found.sql);
        let (inner, after) = text::parentheses(&all).unwrap_or_default();
        let written = text::parts(inner);
        let read = || -> rusqlite::Result<Vec<String>> {
            conn.prepare_cached(
                "SELECT cid, name, \"desc\", coll FROM pragma_index_xinfo(?1) WHERE key = 1 ORDER BY seqno",
            )?
            .query_map([&found.name], |row| {
                let cid: i64 = row.get(0)?;
                let (name, down, collation): (Option<String>, bool, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
                let mut term = match name {
                    Some(name) if cid >= 0 => name,
                    _ => return Ok(String::new()),
                };
                if !collation.eq_ignore_ascii_case("BINARY") {
                    term.push_str(&format!(" COLLATE {collation}"));
                }
                if down {
                    term.push_str(" DESC");
                }
                Ok(term)
            })?
            .collect()
        };
        let mut terms = read().map_err(|e| sqlite_error(e, "reading an index"))?;
        for (term, part) in terms.iter_mut().zip(&written) {
            if term.is_empty() {
                *term = text::joined(part);
            }
        }
        let filter = text::is(after.first(), "where").then(|| text::joined(&after[1..]));
        let unique = text::is(all.get(1), "unique");
        Ok(Self { name: found.name, table: found.table, unique, terms, filter })
    }

    /// Whether both mean the same; blind to case.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        text::same_name(&self.table, &other.table)
            && self.unique == other.unique
            && self.terms.len() == other.terms.len()
            && self.terms.iter().zip(&other.terms).all(|(a, b)| text::same_name(a, b))
            && self.filter == other.filter
    }

    /// The definition in words: "UNIQUE ON conversations(archived, last_activity DESC)".
    pub(crate) fn definition(&self) -> String {
        let unique = if self.unique { "UNIQUE ON " } else { "ON " };
        let filter = self.filter.as_deref().map(|f| format!(" WHERE {f}")).unwrap_or_default();
        format!("{unique}{}({}){filter}", self.table, self.terms.join(", "))
    }
}

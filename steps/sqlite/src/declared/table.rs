//! One table, as the pragmas and the stored SQL tell it, and how two of them differ.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::Connection;

use super::{Column, object, text};
use crate::sql::{sqlite_error, tokens};

/// A table's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// As the database spells it.
    pub(crate) name: String,
    /// In their order.
    pub(crate) columns: Vec<Column>,
    /// UNIQUE and FOREIGN KEY constraints, table-level clauses, WITHOUT ROWID, STRICT: one text each, sorted.
    pub(super) constraints: Vec<String>,
}

impl Table {
    /// The table of that name; none when there is none, or when the name belongs to something else.
    pub(crate) fn read(conn: &Connection, name: &str) -> Result<Option<Self>, StepError> {
        let Some(found) = object(conn, name)?.filter(|o| o.kind == "table") else { return Ok(None) };
        let all = tokens(&found.sql);
        let (inner, after) = text::parentheses(&all).unwrap_or_default();
        let items = text::parts(inner);
        let (constraints, columns): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| is_constraint(item));
        let columns = Column::read_all(conn, &found.name, &columns)?;
        let mut rules: Vec<String> = constraints.iter().flat_map(|c| text::clauses(c)).collect();
        rules.extend(text::parts(after).into_iter().filter(|p| !p.is_empty()).map(|p| text::joined(p).to_uppercase()));
        let read = || -> rusqlite::Result<Vec<String>> {
            // Each look costs about as much as all else here: it is taken only where the SQL has such a constraint.
            let has = |keyword: &str| all.iter().any(|t| t.eq_ignore_ascii_case(keyword));
            let mut rules = if has("unique") { uniques(conn, &found.name)? } else { Vec::new() };
            if has("references") {
                rules.extend(foreign_keys(conn, &found.name)?);
            }
            Ok(rules)
        };
        rules.extend(read().map_err(|e| sqlite_error(e, "reading a table's constraints"))?);
        rules.sort();
        Ok(Some(Self { name: found.name, columns, constraints: rules }))
    }

    /// The column of that name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| text::same_name(&c.name, name))
    }

    /// What `found` has otherwise than this declaration, one line each with both sides.
    ///
    /// With `tolerate_more`, columns that were added behind the declared ones are no difference: a later step of a
    /// plan may widen a table that an earlier one made.
    pub(crate) fn differences(&self, found: &Self, tolerate_more: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for column in &self.columns {
            match found.column(&column.name) {
                None => lines.push(format!(
                    "column {}.{}: expected `{}`, found none",
                    self.name,
                    column.name,
                    column.definition()
                )),
                Some(other) if !column.same_as(other) => lines.push(format!(
                    "column {}.{}: expected `{}`, found `{}`",
                    self.name,
                    column.name,
                    column.definition(),
                    other.definition()
                )),
                Some(_) => {}
            }
        }
        for other in found.columns.iter().filter(|c| !tolerate_more && self.column(&c.name).is_none()) {
            lines.push(format!("column {}.{}: expected none, found `{}`", self.name, other.name, other.definition()));
        }
        if lines.is_empty() && !self.columns.iter().zip(&found.columns).all(|(a, b)| text::same_name(&a.name, &b.name))
        {
            lines.push(format!("table {}: expected columns ({}), found ({})", self.name, self.list(), found.list()));
        }
        for rule in self.constraints.iter().filter(|r| !found.has_rule(r)) {
            lines.push(format!("table {}: expected `{rule}`, found none", self.name));
        }
        for rule in found.constraints.iter().filter(|r| !tolerate_more && !self.has_rule(r)) {
            lines.push(format!("table {}: expected none, found `{rule}`", self.name));
        }
        lines
    }

    /// The foreign keys whose only column is `name`.
    pub(crate) fn rules_of(&self, name: &str) -> Vec<String> {
        let start = format!("FOREIGN KEY ({name}) ");
        self.constraints.iter().filter(|r| r.starts_with(&start)).cloned().collect()
    }

    /// Whether the table has that constraint.
    pub(crate) fn has_rule(&self, rule: &str) -> bool {
        self.constraints.iter().any(|r| text::same_name(r, rule))
    }

    /// The names of its columns.
    pub(crate) fn list(&self) -> String {
        self.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a part of a table's SQL is a constraint of its own, not a column.
fn is_constraint(item: &[&str]) -> bool {
    ["constraint", "primary", "unique", "check", "foreign"].iter().any(|k| text::is(item.first(), k))
}

fn uniques(conn: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached(
        "SELECT (SELECT group_concat(name || CASE WHEN coll = 'BINARY' THEN '' ELSE ' COLLATE ' || coll END \
                 || CASE \"desc\" WHEN 1 THEN ' DESC' ELSE '' END, ', ') \
                 FROM (SELECT * FROM pragma_index_xinfo(l.name) WHERE key = 1 ORDER BY seqno)) \
         FROM pragma_index_list(?1) AS l WHERE l.origin = 'u'",
    )?
    .query_map([table], |row| Ok(format!("UNIQUE ({})", row.get::<_, String>(0)?)))?
    .collect()
}

fn foreign_keys(conn: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, \"table\", \"from\", coalesce(\"to\", ''), on_update, on_delete \
         FROM pragma_foreign_key_list(?1) ORDER BY id, seq",
    )?;
    let mut rows = statement.query([table])?;
    let mut keys: BTreeMap<i64, (String, Vec<String>, Vec<String>, String)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let parent: String = row.get(1)?;
        let (update, delete): (String, String) = (row.get(4)?, row.get(5)?);
        let mut actions = String::new();
        if update != "NO ACTION" {
            actions.push_str(&format!(" ON UPDATE {update}"));
        }
        if delete != "NO ACTION" {
            actions.push_str(&format!(" ON DELETE {delete}"));
        }
        let key = keys.entry(row.get(0)?).or_insert_with(|| (parent, Vec::new(), Vec::new(), actions));
        key.1.push(row.get(2)?);
        key.2.push(row.get(3)?);
    }
    Ok(keys
        .into_values()
        .map(|(parent, from, to, actions)| {
            let to = to.join(", ");
            let to = if to.is_empty() { to } else { format!("({to})") };
            format!("FOREIGN KEY ({}) REFERENCES {parent}{to}{actions}", from.join(", "))
        })
        .collect())
}

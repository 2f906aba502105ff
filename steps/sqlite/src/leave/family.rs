//! A table whose rows go, and those whose rows go with them.
//!
//! Owns how rows of each are read and found again, which foreign keys lead to them, and the refusal of triggers that
//! nobody answered for.

use std::collections::BTreeMap;

use cutover_core::{StepError, closest};
use rusqlite::Connection;

use super::rule::Rule;
use crate::declared::{column_names, no_such_columns, no_such_table, same_name};
use crate::identity::Identity;
use crate::sql::{quote_ident, sqlite_error, tokens};

/// How rows of a table are read, and found again.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// As the database spells it.
    pub(super) name: String,
    /// What is read of a row, by name: an implicit rowid first, then the stored columns.
    pub(super) columns: Vec<String>,
    /// The same, quoted.
    pub(super) list: Vec<String>,
    /// What tells its rows apart, quoted.
    pub(super) key: Vec<String>,
    /// Whether the first column is an implicit rowid.
    pub(super) implicit: bool,
}

impl Shape {
    /// None: there is no such table.
    pub(super) fn read(conn: &Connection, table: &str) -> Result<Option<Self>, StepError> {
        let found: Option<(String, String)> = conn
            .prepare_cached(
                "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE",
            )
            .and_then(|mut s| s.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.next().transpose())
            .map_err(|e| sqlite_error(e, "while reading the schema"))?;
        let (Some((name, kind)), Some(identity)) = (found, Identity::read(conn, table)?) else { return Ok(None) };
        if kind != "table" {
            return Err(StepError::conflict(format!("`{name}` is no plain table: it is of kind {kind}"))
                .with_help("name the table that holds the rows"));
        }
        let mut columns = identity.columns();
        let mut key: Vec<String> = identity.key().iter().map(|name| quote_ident(name)).collect();
        let implicit = identity.rowid().is_some() && !identity.fixed();
        if let Some(rowid) = identity.rowid() {
            key = vec![rowid.to_owned()];
            if implicit {
                columns.insert(0, rowid.to_owned());
            }
        }
        if key.is_empty() {
            return Err(StepError::conflict(format!("the rows of `{name}` cannot be told apart"))
                .with_help("its columns hide every name of the rowid, and it has no primary key: give it one"));
        }
        let list = columns.iter().map(|name| quote_ident(name)).collect();
        Ok(Some(Self { name, columns, list, key, implicit }))
    }

    /// The place of a column in what is read.
    pub(super) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| same_name(name, column))
    }
}

/// A foreign key to a table of the family.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The table that has it.
    pub(super) child: String,
    /// Its columns, and the places of the columns that they refer to.
    pub(super) columns: Vec<(String, usize)>,
    /// Whether the child is of the family.
    pub(super) goes: bool,
}

/// A table of the family.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) shape: Shape,
    pub(super) children: Vec<Key>,
    /// Whether triggers may run when rows go.
    pub(super) triggered: bool,
}

/// The tables of a rule, by name in lower case.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    pub(super) head: String,
    members: BTreeMap<String, Member>,
}

impl Family {
    /// Reads the tables of a rule, and refuses what it cannot answer for.
    pub(super) fn read(conn: &Connection, rule: &Rule) -> Result<Self, StepError> {
        let mut members = BTreeMap::new();
        for table in std::iter::once(&rule.table).chain(&rule.cascade) {
            let shape = match Shape::read(conn, table)? {
                Some(shape) => shape,
                None => return Err(no_such_table(conn, table)?),
            };
            let triggered = answered(conn, &shape.name, &rule.triggers)?;
            members.insert(table.to_lowercase(), Member { shape, children: Vec::new(), triggered });
        }
        let names: Vec<String> = members.keys().cloned().collect();
        for name in &names {
            let children = keys(conn, &members[name].shape, &names)?;
            if let Some(member) = members.get_mut(name) {
                member.children = children;
            }
        }
        for name in &rule.cascade {
            let refers = members.values().flat_map(|m| &m.children).any(|key| same_name(&key.child, name));
            if !refers {
                let all: Vec<&str> = members.values().flat_map(|m| &m.children).map(|k| k.child.as_str()).collect();
                let error = StepError::conflict(format!("`{name}` has no foreign key to `{}`", rule.table));
                return Err(error.with_help(match closest(name, all) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "take it out of `cascade`, and give it a rule of its own".to_owned(),
                }));
            }
        }
        let family = Self { head: rule.table.to_lowercase(), members };
        let there = column_names(conn, &rule.table)?;
        let missing: Vec<String> = std::iter::once(&rule.by)
            .chain(rule.per())
            .filter(|column| !there.iter().any(|name| same_name(name, column)))
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(no_such_columns(conn, "which rows go", &rule.table, &missing)?);
        }
        Ok(family)
    }

    pub(super) fn member(&self, table: &str) -> Result<&Member, StepError> {
        let found = self.members.get(&table.to_lowercase());
        found.ok_or_else(|| StepError::internal(format!("`{table}` is of no family of tables")))
    }

    pub(super) fn head(&self) -> Result<&Member, StepError> {
        self.member(&self.head)
    }

    /// Whether triggers may run; a full-text table writes what they gave it at a later statement.
    pub(super) fn triggered(&self) -> bool {
        self.members.values().any(|member| member.triggered)
    }

    /// Whether rows of tables that do not go may refer to some that do.
    pub(super) fn may_be_referred(&self) -> bool {
        self.members.values().flat_map(|m| &m.children).any(|key| !key.goes)
    }
}

/// The foreign keys that lead to a table.
fn keys(conn: &Connection, parent: &Shape, family: &[String]) -> Result<Vec<Key>, StepError> {
    type Found = (String, i64, String, Option<String>);
    let found: Vec<Found> = conn
        .prepare_cached(
            "SELECT m.name, f.id, f.\"from\", coalesce(f.\"to\", (SELECT name FROM pragma_table_info(?1) WHERE pk = f.seq + 1))
             FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name) AS f
             WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE ORDER BY m.name, f.id, f.seq",
        )
        .and_then(|mut s| s.query_map([&parent.name], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?.collect())
        .map_err(|e| sqlite_error(e, "while reading foreign keys"))?;
    let mut keys: BTreeMap<(String, i64), Vec<(String, usize)>> = BTreeMap::new();
    for (child, id, from, to) in found {
        // What refers to a column that is not there refers to nothing.
        if let Some(place) = to.and_then(|to| parent.place(&to)) {
            keys.entry((child, id)).or_default().push((from, place));
        }
    }
    let key = |((child, _), columns): ((String, i64), _)| {
        let goes = family.contains(&child.to_lowercase());
        Key { child, columns, goes }
    };
    Ok(keys.into_iter().map(key).collect())
}

/// Whether the table has triggers that run when rows go; refuses those that the plan does not name.
fn answered(conn: &Connection, table: &str, named: &[String]) -> Result<bool, StepError> {
    let triggers: Vec<(String, String)> = conn
        .prepare_cached(
            "SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE
             AND name NOT LIKE '\\_cutover\\_freeze\\_%' ESCAPE '\\' ORDER BY name",
        )
        .and_then(|mut s| s.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(|e| sqlite_error(e, "while reading triggers"))?;
    let mut triggered = false;
    for (name, sql) in triggers {
        let verbs = ["delete", "insert", "update"];
        let verb =
            tokens(&sql).into_iter().skip(3).find(|word| verbs.iter().any(|verb| word.eq_ignore_ascii_case(verb)));
        if verb.is_some_and(|verb| verb.eq_ignore_ascii_case("update")) {
            continue;
        }
        if !named.iter().any(|known| same_name(known, &name)) {
            return Err(StepError::conflict(format!(
                "table `{table}` has the trigger `{name}`, which would run when rows go or come back"
            ))
            .with_help(
                "name it in `triggers` if it and its counterpart undo each other, as those of a full-text index do; else drop \
                 it first",
            ));
        }
        triggered = true;
    }
    Ok(triggered)
}

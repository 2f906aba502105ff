//! What is wrong in a database already: foreign-key violations, integrity lines, broken full-text indexes.
//!
//! Owns taking these and comparing them with a baseline taken before: only what is new is a failure.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::declared;
use crate::sql::{quote_ident, sqlite_error, tokens};
use crate::watched::Watched;

/// Pages of a private copy between two looks at whether a stop was asked for.
const COPIED_AT_ONCE: i32 = 10_000;

/// Which of them are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) integrity: bool,
    pub(super) foreign_keys: bool,
    pub(super) fts: Vec<String>,
}

/// What is wrong; kept in the receipt of a baseline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Health {
    /// Violations by "child → parent"; none when not looked at.
    foreign_keys: Option<BTreeMap<String, u64>>,
    /// Lines of the integrity check other than "ok"; none when not looked at.
    integrity: Option<Vec<String>>,
    /// What is wrong with each full-text table; empty text: nothing.
    fts: BTreeMap<String, String>,
}

impl Scope {
    /// Whether anything is looked at.
    pub(super) fn is_empty(&self) -> bool {
        !self.integrity && !self.foreign_keys && self.fts.is_empty()
    }

    /// Looks. The database is only read.
    pub(super) fn take(&self, conn: &Connection, watched: &Watched) -> Result<Health, StepError> {
        Ok(Health {
            foreign_keys: self.foreign_keys.then(|| foreign_keys(conn)).transpose()?,
            integrity: self.integrity.then(|| integrity(conn)).transpose()?,
            fts: if self.fts.is_empty() { BTreeMap::new() } else { full_text(conn, &self.fts, watched)? },
        })
    }
}

impl Health {
    /// What is wrong now that `before` (if there is one) did not have: one line each.
    pub(super) fn introduced(&self, before: Option<&Health>) -> Vec<String> {
        let mut lines = Vec::new();
        let known = before.and_then(|b| b.foreign_keys.as_ref());
        for (pair, count) in self.foreign_keys.iter().flatten() {
            let allowed = known.and_then(|k| k.get(pair)).copied().unwrap_or(0);
            if *count > allowed {
                let (expected, new) = match (before, allowed) {
                    (None, _) => ("no violations".to_owned(), String::new()),
                    (Some(_), 0) => ("no violations, as before".to_owned(), format!(": {count} introduced")),
                    (Some(_), n) => (format!("{n} violations, as before"), format!(": {} introduced", count - n)),
                };
                lines.push(format!("foreign keys {pair}: expected {expected}, found {count}{new}"));
            }
        }
        let known = before.and_then(|b| b.integrity.as_deref()).unwrap_or_default();
        for line in self.integrity.iter().flatten().filter(|l| !known.contains(l)) {
            lines.push(format!("integrity: expected ok, found `{line}`"));
        }
        for (table, problem) in self.fts.iter().filter(|(_, problem)| !problem.is_empty()) {
            let known = before.and_then(|b| b.fts.get(table)).is_some_and(|b| !b.is_empty());
            if !known {
                lines
                    .push(format!("full-text table {table}: expected an index that fits its content, found {problem}"));
            }
        }
        lines
    }

    /// What was wrong before and still is, for people.
    pub(super) fn inherited(&self, before: &Health) -> Vec<String> {
        let mut lines = Vec::new();
        let known = before.foreign_keys.clone().unwrap_or_default();
        for (pair, count) in self.foreign_keys.iter().flatten() {
            let old = known.get(pair).copied().unwrap_or(0).min(*count);
            if old > 0 {
                lines.push(format!(
                    "foreign keys {pair}: {old} violations were there before, {} introduced",
                    count - old
                ));
            }
        }
        let known = before.integrity.as_deref().unwrap_or_default();
        let old = self.integrity.iter().flatten().filter(|l| known.contains(l)).count();
        if old > 0 {
            lines.push(format!("integrity: {old} lines were there before"));
        }
        for (table, problem) in self.fts.iter().filter(|(_, problem)| !problem.is_empty()) {
            if before.fts.get(table).is_some_and(|b| !b.is_empty()) {
                lines.push(format!("full-text table {table}: as before, {problem}"));
            }
        }
        lines
    }

    /// All that is wrong, for people.
    pub(super) fn summary(&self) -> Vec<String> {
        let nothing = Health::default();
        let mut lines: Vec<String> = self
            .foreign_keys
            .iter()
            .flatten()
            .map(|(pair, n)| format!("foreign keys {pair}: {n} violations"))
            .collect();
        let rest = Health { foreign_keys: None, ..self.clone() };
        lines.extend(rest.introduced(Some(&nothing)));
        lines
    }
}

fn foreign_keys(conn: &Connection) -> Result<BTreeMap<String, u64>, StepError> {
    let mut counts = BTreeMap::new();
    let mut count = || -> rusqlite::Result<()> {
        let mut statement = conn.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (child, parent): (String, String) = (row.get(0)?, row.get(2)?);
            *counts.entry(format!("{child} → {parent}")).or_insert(0) += 1;
        }
        Ok(())
    };
    match count() {
        Ok(()) => Ok(counts),
        // A key whose parent columns are not unique cannot be checked at all: SQLite says so instead of counting.
        Err(rusqlite::Error::SqliteFailure(_, Some(message))) if message.contains("foreign key mismatch") => {
            counts.insert(message, 1);
            Ok(counts)
        }
        Err(e) => Err(sqlite_error(e, "checking the foreign keys")),
    }
}

fn integrity(conn: &Connection) -> Result<Vec<String>, StepError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        conn.prepare("PRAGMA integrity_check")?.query_map([], |row| row.get(0))?.collect()
    };
    let mut lines = read().map_err(|e| sqlite_error(e, "checking the integrity"))?;
    lines.retain(|line| line != "ok");
    lines.sort();
    Ok(lines)
}

/// FTS checks itself by an INSERT into the table: it is done on a private copy, so that not a byte of the file moves.
fn full_text(conn: &Connection, names: &[String], watched: &Watched) -> Result<BTreeMap<String, String>, StepError> {
    let failed = |e| sqlite_error(e, "copying the database for its full-text checks");
    // An empty name is a temporary file that SQLite deletes by itself: a big database does not fill the memory.
    let mut copy = Connection::open("").map_err(failed)?;
    {
        let backup = Backup::new(conn, &mut copy).map_err(failed)?;
        // In parts, so that a stop is noticed; a change of others meanwhile begins the copy anew.
        while !watched.stopped() && backup.step(COPIED_AT_ONCE).map_err(failed)? == StepResult::More {}
    }
    watched.also(&copy);
    let mut found = BTreeMap::new();
    for name in names {
        let problem = match declared::object(&copy, name)? {
            None => "no such table".to_owned(),
            Some(object) => check_full_text(&copy, name, &object.sql),
        };
        found.insert(name.clone(), problem);
    }
    Ok(found)
}

fn check_full_text(copy: &Connection, name: &str, sql: &str) -> String {
    let kind = tokens(sql).iter().find(|t| t.to_ascii_lowercase().starts_with("fts")).map(|t| t.to_ascii_lowercase());
    let table = quote_ident(name);
    let command = match kind.as_deref() {
        // A rank other than 0 also compares with the content table.
        Some("fts5") => format!("INSERT INTO {table}({table}, rank) VALUES ('integrity-check', 1)"),
        Some("fts3" | "fts4") => format!("INSERT INTO {table}({table}) VALUES ('integrity-check')"),
        _ => return "an ordinary table".to_owned(),
    };
    match copy.execute_batch(&command) {
        Ok(()) => String::new(),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            format!("one that does not (`INSERT INTO {table}({table}) VALUES ('rebuild')` makes it anew)")
        }
        Err(e) => e.to_string(),
    }
}

//! A script tried on a copy of the structure: there, back, and there again.
//!
//! Owns what a trial shows: a statement that fails, what IF NOT EXISTS keeps, objects and rows that the way back leaves
//! otherwise.

use std::collections::BTreeMap;

use cutover_core::{Finding, StepError};
use rusqlite::{Connection, ErrorCode};
use serde_json::Value;

use super::shape::Shape;
use super::tokens::Tokens;
use super::{FAILS, INEXACT_DOWN, OTHER_INDEX, OTHER_OBJECT, Sketch, UNTRIED};
use crate::declared::{Index, Table};
use crate::sql::{Statement, bind_vars, message, quote_ident, same_sql, sqlite_error};
use crate::target::objects::{self, Objects};

/// A script with its name in the plan.
pub(crate) type Script<'s> = (&'s str, &'s [Statement]);

/// What is tried.
pub(crate) struct Trial<'s> {
    pub(crate) up: Script<'s>,
    pub(crate) down: Option<Script<'s>>,
    pub(crate) vars: &'s BTreeMap<String, Value>,
}

/// How many lines of differences a warning holds.
const LINES: usize = 4;

/// Tries the scripts, and leaves the copy as it is after `up`.
pub(crate) fn trial(sketch: &mut Sketch, trial: &Trial<'_>) -> Result<Option<Vec<Finding>>, StepError> {
    let Some(before) = sketch.objects()? else {
        sketch.blur();
        let (file, statements) = trial.up;
        return Ok(sketch.gives_up().then(|| {
            let place = statements.first().map_or(0..0, |s| Tokens::of(s).place(0, 1));
            vec![
                Finding::at(
                    &UNTRIED,
                    file,
                    place,
                    "this script and those after it were not tried on a copy of the structure",
                )
                .help("there are too many objects and steps to try each time; `cutover rehearse` tries every one"),
            ]
        }));
    };
    let rows = Rows::of(&sketch.conn, &before)?;
    let mut found = Vec::new();
    savepoint(&sketch.conn, "SAVEPOINT trial")?;
    let (file, statements) = trial.up;
    for statement in statements {
        found.extend(hidden(&sketch.conn, file, statement)?);
        if let Err(why) = run(&sketch.conn, statement, trial.vars) {
            found.extend(why.filter(|_| sketch.is_sure()).map(|why| failed(file, statement, &why)));
            sketch.blur();
            undo(&sketch.conn)?;
            keep(&sketch.conn)?;
            return Ok(Some(found));
        }
    }
    let Some((file, statements)) = trial.down else {
        keep(&sketch.conn)?;
        return Ok(Some(found));
    };
    let back = statements.iter().find_map(|s| run(&sketch.conn, s, trial.vars).err().map(|why| (s, why)));
    let again = match back {
        Some((statement, why)) => {
            found.extend(why.filter(|_| sketch.is_sure()).map(|why| {
                let message = format!("the way back fails on a copy of the structure: {why}");
                Finding::at(&INEXACT_DOWN, file, whole(statement), message).help(MEND)
            }));
            true
        }
        None => {
            let after = objects::of(&sketch.conn, "main", "")?;
            let lines = differences(&sketch.conn, &before, &after, &rows)?;
            let place = statements.first().map_or(0..0, whole);
            found.extend((!lines.is_empty()).then(|| inexact(file, place, &lines)));
            !lines.is_empty()
        }
    };
    if again {
        undo(&sketch.conn)?;
    }
    let (_, statements) = trial.up;
    if statements.iter().any(|s| run(&sketch.conn, s, trial.vars).is_err()) {
        sketch.blur();
    }
    keep(&sketch.conn)?;
    Ok(Some(found))
}

const MEND: &str =
    "mend it so that it undoes what the script does and nothing else; `cutover rehearse` proves the way back with rows";

fn inexact(file: &str, place: std::ops::Range<usize>, lines: &[String]) -> Finding {
    let shown = lines.iter().take(LINES).cloned().collect::<Vec<_>>().join("; ");
    let more = lines.len().checked_sub(LINES + 1).map(|n| format!("; {} more", n + 1)).unwrap_or_default();
    Finding::at(&INEXACT_DOWN, file, place, format!("up and down do not lead back: {shown}{more}"))
        .label("tried on a copy of the structure")
        .help(MEND)
}

fn failed(file: &str, statement: &Statement, why: &str) -> Finding {
    Finding::at(&FAILS, file, whole(statement), format!("this fails on a copy of the structure: {why}"))
        .help("it was tried after the steps before it, without rows: apply will most likely fail here too")
}

fn whole(statement: &Statement) -> std::ops::Range<usize> {
    statement.at..statement.at + statement.sql.len()
}

fn savepoint(conn: &Connection, sql: &str) -> Result<(), StepError> {
    conn.execute_batch(sql).map_err(|e| sqlite_error(e, "while trying a script on a copy"))
}

/// Undoes all of the trial. Where SQLite did so by itself (a statement that was given up, OR ROLLBACK), it begins anew.
fn undo(conn: &Connection) -> Result<(), StepError> {
    let gone = conn.is_autocommit();
    savepoint(conn, if gone { "SAVEPOINT trial" } else { "ROLLBACK TO trial" })
}

/// Ends the trial; what it did stays.
fn keep(conn: &Connection) -> Result<(), StepError> {
    if conn.is_autocommit() { Ok(()) } else { savepoint(conn, "RELEASE trial") }
}

/// Runs one statement. An error without a reason: it was given up, and nobody knows.
fn run(conn: &Connection, statement: &Statement, vars: &BTreeMap<String, Value>) -> Result<(), Option<String>> {
    let said = |e: rusqlite::Error| {
        let given_up = e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted);
        (!given_up).then(|| message(&e))
    };
    let mut prepared = conn.prepare(&statement.sql).map_err(said)?;
    bind_vars(&mut prepared, vars).map_err(|e| Some(e.to_string()))?;
    let mut rows = prepared.raw_query();
    while rows.next().map_err(said)?.is_some() {}
    Ok(())
}

/// What IF NOT EXISTS would keep though it is another thing.
fn hidden(conn: &Connection, file: &str, statement: &Statement) -> Result<Option<Finding>, StepError> {
    let (Shape::Create { sort, name, lenient: true, .. }, place) = Shape::of(&Tokens::of(statement)) else {
        return Ok(None);
    };
    let Some((kind, sql)) = there(conn, &name)? else { return Ok(None) };
    let lint = if sort == "index" { &OTHER_INDEX } else { &OTHER_OBJECT };
    let finding = |how: String| {
        Finding::at(lint, file, place.clone(), format!("{sort} `{name}` is there and stays as it is: {how}"))
            .label("does nothing here")
            .help(match sort {
                "index" => "give the index another name, or declare it by `sqlite.indexes`, which knows it by definition",
                "table" => "declare it by `sqlite.tables`, which knows it by definition, or add what is missing by `sqlite.columns`",
                _ => "drop the one that is there in an earlier statement, and make it without IF NOT EXISTS",
            })
    };
    if kind != sort {
        return Ok(Some(finding(format!("the name belongs to a {kind}"))));
    }
    let (old_table, old_index) = (Table::read(conn, &name)?, Index::read(conn, &name)?);
    savepoint(conn, "SAVEPOINT other")?;
    let made = conn.execute_batch(&format!("DROP {sort} {}; {}", quote_ident(&name), statement.sql));
    let how = match made {
        Err(e) => {
            Some(format!("it is `{}`, and the one declared cannot be made: {}", crate::sql::joined(&sql), message(&e)))
        }
        Ok(()) => match sort {
            "table" => match (Table::read(conn, &name)?, old_table) {
                (Some(declared), Some(old)) => {
                    let lines = declared.differences(&old, false);
                    (!lines.is_empty()).then(|| lines.into_iter().take(LINES).collect::<Vec<_>>().join("; "))
                }
                _ => None,
            },
            "index" => match (Index::read(conn, &name)?, old_index) {
                (Some(declared), Some(old)) if !old.same_as(&declared) => {
                    Some(format!("it is `{}`, the script declares `{}`", old.definition(), declared.definition()))
                }
                _ => None,
            },
            _ => there(conn, &name)?
                .filter(|(_, declared)| !same_sql(&sql, declared))
                .map(|_| format!("it is `{}`", crate::sql::joined(&sql))),
        },
    };
    savepoint(conn, "ROLLBACK TO other; RELEASE other")?;
    Ok(how.map(finding))
}

/// Sort and SQL of the object of that name.
fn there(conn: &Connection, name: &str) -> Result<Option<(String, String)>, StepError> {
    use rusqlite::OptionalExtension as _;
    conn.prepare_cached("SELECT type, coalesce(sql, '') FROM sqlite_master WHERE name = ?1 COLLATE NOCASE")
        .and_then(|mut s| s.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(|e| sqlite_error(e, "while reading the schema"))
}

/// What is otherwise after the way there and back, a line for each. The savepoint `trial` is rolled back when there is any.
fn differences(conn: &Connection, before: &Objects, after: &Objects, rows: &Rows) -> Result<Vec<String>, StepError> {
    let changed = objects::changes(before, after);
    let mut lines = Vec::new();
    let mut tables = Vec::new();
    for (name, sides) in &changed {
        match (sides, name.strip_prefix("table ")) {
            ([Some(_), Some(_)], Some(table)) => tables.push((table, Table::read(conn, table)?)),
            ([Some(_), Some(_)], None) => lines.push(format!("{name} is another one")),
            ([Some(_), None], _) => lines.push(format!("{name} is gone")),
            _ => lines.push(format!("{name} is left over")),
        }
    }
    lines.extend(rows.differences(conn, before, after)?);
    if !tables.is_empty() {
        undo(conn)?;
    }
    for (name, after) in tables {
        let told = match (Table::read(conn, name)?, after) {
            (Some(before), Some(after)) => before.differences(&after, false),
            _ => Vec::new(),
        };
        if told.is_empty() {
            lines.push(format!("table {name} is written otherwise"));
        }
        lines.extend(told);
    }
    Ok(lines)
}

/// How many rows the tables of the copy hold: those that scripts put there.
struct Rows {
    changes: u64,
    counts: BTreeMap<String, i64>,
}

impl Rows {
    fn of(conn: &Connection, objects: &Objects) -> Result<Self, StepError> {
        let changes = conn.total_changes();
        // Nothing was ever written into the copy.
        let counts = if changes == 0 { BTreeMap::new() } else { counts(conn, objects)? };
        Ok(Self { changes, counts })
    }

    fn differences(&self, conn: &Connection, before: &Objects, after: &Objects) -> Result<Vec<String>, StepError> {
        if conn.total_changes() == self.changes {
            return Ok(Vec::new());
        }
        let line = |(table, now): (String, i64)| {
            let was = self.counts.get(&table).copied().unwrap_or_default();
            let known = before.contains_key(&format!("table {table}"));
            let rows = |n: i64| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
            let line = match now - was {
                0 => None,
                kept @ 1.. => Some(format!("table {table} keeps {} that the script put there", rows(kept))),
                lost => Some(format!("table {table} loses {} that were there before", rows(-lost))),
            };
            line.filter(|_| known)
        };
        Ok(counts(conn, after)?.into_iter().filter_map(line).collect())
    }
}

fn counts(conn: &Connection, objects: &Objects) -> Result<BTreeMap<String, i64>, StepError> {
    let tables = objects.iter().filter(|(_, sql)| !is_virtual(sql)).filter_map(|(name, _)| name.strip_prefix("table "));
    tables
        .map(|table| {
            let sql = format!("SELECT count(*) FROM {}", quote_ident(table));
            let count =
                conn.query_row(&sql, [], |row| row.get(0)).map_err(|e| sqlite_error(e, "while counting rows"))?;
            Ok((table.to_owned(), count))
        })
        .collect()
}

fn is_virtual(sql: &str) -> bool {
    crate::sql::tokens(sql).get(1).is_some_and(|word| word.eq_ignore_ascii_case("virtual"))
}

//! The rows of both sides set against each other, range by range: EXCEPT in both directions.
//!
//! Owns what counts as missing, unlike and surplus, and the words for it. Where writers wait, a quicker look comes first:
//! since a key is one row on either side, a join finds whether a range differs at all, and EXCEPT only says how.

use cutover_core::StepError;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::part::Part;
use super::ranges::{ROWS, Range};
use super::sides::{Ordered, Sides};
use crate::mapping::Pair;
use crate::sql::sqlite_error;
use crate::value::to_json;

/// Differing rows of a pair from which on nobody counts them any more.
const MOST: u64 = 1000;

/// How many of each sort are named.
const NAMED: usize = 3;

/// What is not the same on both sides.
#[derive(Debug, Default)]
pub(crate) struct Differing {
    /// On the old side only.
    missing: Found,
    /// On both sides, otherwise.
    unlike: Found,
    /// On the new side only.
    surplus: Found,
}

#[derive(Debug, Default)]
struct Found {
    count: u64,
    named: Vec<String>,
}

impl Found {
    fn add(&mut self, line: impl FnOnce() -> Result<String, StepError>) -> Result<(), StepError> {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(line()?);
        }
        Ok(())
    }

    fn told(&self, one: &str, many: &str) -> Option<String> {
        let named = self.named.join("; ");
        match self.count {
            0 => None,
            1 => Some(format!("1 row {one}: {named}")),
            n if n >= MOST => Some(format!("{MOST} rows and more {many}: {named}; …")),
            n if n > self.named.len() as u64 => Some(format!("{n} rows {many}: {named}; …")),
            n => Some(format!("{n} rows {many}: {named}")),
        }
    }
}

impl Differing {
    /// A line for each sort of difference.
    pub(crate) fn lines(&self, pair: &Pair) -> Vec<String> {
        let (old, new, name) = (&pair.old, &pair.new, &pair.name);
        [
            self.missing.told(&format!("of `{old}` is not in `{new}`"), &format!("of `{old}` are not in `{new}`")),
            self.unlike
                .told(&format!("of `{old}` is otherwise in `{new}`"), &format!("of `{old}` are otherwise in `{new}`")),
            self.surplus.told(&format!("of `{new}` is not in `{old}`"), &format!("of `{new}` are not in `{old}`")),
        ]
        .into_iter()
        .flatten()
        .map(|line| format!("{name}: {line}"))
        .collect()
    }

    /// Whether rows are on the old side only.
    pub(super) fn has_missing(&self) -> bool {
        self.missing.count > 0
    }

    /// Whether rows differ in another way.
    pub(super) fn has_others(&self) -> bool {
        self.unlike.count + self.surplus.count > 0
    }

    fn enough(&self) -> bool {
        [&self.missing, &self.unlike, &self.surplus].iter().any(|found| found.count >= MOST)
    }
}

/// Compares all ranges. `quick` looks first whether a range differs at all; `each` is told about how many
/// rows are behind it.
pub(crate) fn compare(
    conn: &Connection,
    sides: &Sides,
    quick: bool,
    each: &dyn Fn(u64),
) -> Result<Differing, StepError> {
    let mut found = Differing::default();
    let mut compared = 0;
    let mut range = Some(Range::first(conn, sides, ROWS)?);
    while let Some(at) = range {
        let part = at.part(sides);
        if !quick || unlike(conn, sides, &part)? {
            except(conn, sides, &part, &mut found)?;
        }
        if found.enough() {
            break;
        }
        compared += ROWS;
        each(compared);
        range = at.next(conn, sides, ROWS)?;
    }
    Ok(found)
}

/// Compares one part, the quick way.
pub(crate) fn differing(conn: &Connection, sides: &Sides, part: &Part) -> Result<Differing, StepError> {
    let mut found = Differing::default();
    if unlike(conn, sides, part)? {
        except(conn, sides, part, &mut found)?;
    }
    Ok(found)
}

/// Whether anything differs in a part.
fn unlike(conn: &Connection, sides: &Sides, part: &Part) -> Result<bool, StepError> {
    for sql in sides.unlike(&part.old, &part.new) {
        let differs = conn
            .prepare_cached(&sql)
            .and_then(|mut s| s.exists(params_from_iter(&part.values)))
            .map_err(|e| sqlite_error(e, "while comparing old and new rows"))?;
        if differs {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What differs in a part.
fn except(conn: &Connection, sides: &Sides, part: &Part, found: &mut Differing) -> Result<(), StepError> {
    let [old_key, new_key] = sides.ordered();
    let (old, new) = (format!("{}{}", sides.old_query(), part.old), format!("{}{}", sides.new_query(), part.new));
    let (old_row, new_row) =
        (by_key(sides.old_query(), &old_key, &sides.old_key()), by_key(sides.new_query(), &new_key, &sides.new_key()));
    rows_of(conn, &format!("{old} EXCEPT {new}"), part.values.iter(), |row| {
        let key = &row[..sides.key.len()];
        match row_of(conn, &new_row, key)? {
            None => found.missing.add(|| Ok(told(sides, key)))?,
            Some(other) => found.unlike.add(|| Ok(difference(sides, &row, &other)))?,
        }
        Ok(!found.enough())
    })?;
    rows_of(conn, &format!("{new} EXCEPT {old}"), part.values.iter(), |row| {
        let key = &row[..sides.key.len()];
        if row_of(conn, &old_row, key)?.is_none() {
            found.surplus.add(|| Ok(told_new(sides, key)))?;
        }
        Ok(!found.enough())
    })
}

/// Found by an index, and the same byte by byte.
fn by_key(query: String, key: &Ordered, exact: &[String]) -> String {
    let minus = if key.reversed { "-" } else { "" };
    let at = key.stored.iter().zip(exact).enumerate();
    at.fold(query, |sql, (i, (k, exact))| format!("{sql} AND {k} = {minus}?{0} AND {exact} = ?{0}", i + 1))
}

fn row_of(conn: &Connection, sql: &str, key: &[Value]) -> Result<Option<Vec<Value>>, StepError> {
    let mut found = None;
    rows_of(conn, sql, key.iter(), |row| {
        found = Some(row);
        Ok(false)
    })?;
    Ok(found)
}

/// Hands each row to `each`, until it has had enough.
fn rows_of<'v>(
    conn: &Connection,
    sql: &str,
    values: impl Iterator<Item = &'v Value>,
    mut each: impl FnMut(Vec<Value>) -> Result<bool, StepError>,
) -> Result<(), StepError> {
    let failed = |e| sqlite_error(e, "while comparing old and new rows");
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let row = (0..columns).map(|i| row.get(i)).collect::<rusqlite::Result<Vec<Value>>>().map_err(failed)?;
        if !each(row)? {
            break;
        }
    }
    Ok(())
}

/// The key as a line names it: "id 7".
pub(crate) fn told(sides: &Sides, key: &[Value]) -> String {
    let parts: Vec<String> =
        sides.key.iter().zip(key).map(|((old, _), value)| format!("{old} {}", short(value))).collect();
    parts.join(", ")
}

/// The same of a row that only the new table has.
fn told_new(sides: &Sides, key: &[Value]) -> String {
    let own = |value: &Value| match value {
        Value::Integer(id) if sides.negated => short(&Value::Integer(id.saturating_neg())),
        value => short(value),
    };
    let parts: Vec<String> =
        sides.key.iter().zip(key).map(|((_, new), value)| format!("{new} {}", own(value))).collect();
    parts.join(", ")
}

fn difference(sides: &Sides, old: &[Value], new: &[Value]) -> String {
    let first = sides.key.len();
    let differs = |i: &usize| !same(&old[first + i], &new[first + i]);
    let columns: Vec<String> = (0..sides.compared.len())
        .filter(differs)
        .map(|i| {
            let name = &sides.compared[i].column;
            format!("{name} is {} and would come back as {}", short(&old[first + i]), short(&new[first + i]))
        })
        .collect();
    format!("{}, {}", told(sides, &old[..first]), columns.join(", "))
}

/// As EXCEPT has it: 1 and 1.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "an integer beyond a double differs anyway")]
        (Value::Integer(i), Value::Real(r)) | (Value::Real(r), Value::Integer(i)) => *i as f64 == *r,
        _ => a == b,
    }
}

/// A value in a line: its beginning.
pub(crate) fn short(value: &Value) -> String {
    let text = to_json(value).to_string();
    if text.chars().count() <= 40 { text } else { format!("{}…", text.chars().take(39).collect::<String>()) }
}

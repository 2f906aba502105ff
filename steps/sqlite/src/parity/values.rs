//! Values that parity asks about beside the comparison: figures out of their range, and what has no way to the other side.
//!
//! Owns these questions and their words. A figure out of range is a difference; what is lost on a way is only reported.

use cutover_core::StepError;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::columns::{Stored, columns};
use super::compare::short;
use super::part::Part;
use super::sides::{Sides, names};
use crate::declared::same_name;
use crate::mapping::{Pair, Range};
use crate::sql::{quote_ident, sqlite_error};

/// How many rows are named.
const NAMED: usize = 3;

/// A line for each range that rows of the new side are outside of: years that no clock of ours has shown.
pub(crate) fn out_of_range(
    conn: &Connection,
    pair: &Pair,
    sides: &Sides,
    part: &Part,
) -> Result<Vec<String>, StepError> {
    let mut lines = Vec::new();
    let new_columns = columns(conn, &pair.new)?;
    for range in &pair.check {
        let of_parent = !new_columns.iter().any(|c| same_name(&c.name, &range.column));
        let side = if of_parent { "parent" } else { "new" };
        let column = format!("{side}.{}", quote_ident(&range.column));
        lines.extend(outside(conn, (pair, sides, part), range, &column)?);
    }
    Ok(lines)
}

fn outside(
    conn: &Connection,
    (pair, sides, part): (&Pair, &Sides, &Part),
    range: &Range,
    column: &str,
) -> Result<Option<String>, StepError> {
    let failed = |e| sqlite_error(e, &format!("while looking at the range of `{}`", range.column));
    let from = format!(
        "{}{} AND {column} IS NOT NULL AND NOT (typeof({column}) = 'integer' AND {column} >= {} AND {column} < {})",
        sides.new_from(),
        part.new,
        range.from,
        range.to
    );
    let count: u64 = one(conn, &format!("SELECT count(*) {from}")).map_err(failed)?;
    if count == 0 {
        return Ok(None);
    }
    let [_, new] = sides.ordered();
    let key = new.stored;
    let sql = format!("SELECT {}, {column} {from} ORDER BY {} LIMIT {NAMED}", key.join(", "), key.join(", "));
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut named = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let values = (0..=key.len()).map(|i| row.get(i)).collect::<rusqlite::Result<Vec<Value>>>().map_err(failed)?;
        let of: Vec<String> =
            sides.key.iter().zip(&values).map(|((_, new), value)| format!("{new} {}", short(value))).collect();
        named.push(format!("{} has {}", of.join(", "), short(&values[key.len()])));
    }
    let rows = if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    Ok(Some(format!(
        "{}: {rows} of `{}` with `{}` outside of {}: {}",
        pair.name,
        pair.new,
        range.column,
        range.said,
        named.join("; ")
    )))
}

/// A line for each column of which something is lost on the way, with the number of rows that it is about.
pub(crate) fn lossy(conn: &Connection, pair: &Pair, sides: &Sides) -> Result<Vec<String>, StepError> {
    let mut asked: Vec<(String, String)> = Vec::new();
    for c in &sides.compared {
        if let Some(lossy) = &c.lossy {
            let raw = format!("old.{}", quote_ident(&c.column));
            asked.push((
                format!("+{raw} COLLATE BINARY IS NOT +({})", c.old),
                format!("`{}` of `{}` comes back without {lossy}", c.column, pair.old),
            ));
        }
    }
    let mapped = |c: &Stored| {
        sides.key.iter().any(|(old, _)| same_name(old, &c.name))
            || sides.compared.iter().any(|s| same_name(&s.column, &c.name))
    };
    for c in columns(conn, &pair.old)?.iter().filter(|c| !c.generated && !mapped(c)) {
        let about = format!("`{}` of `{}` has no place in the new schema", c.name, pair.old);
        asked.push((format!("old.{} IS NOT NULL", quote_ident(&c.name)), about));
    }
    let mut lines = counted(conn, &pair.name, &asked, &sides.old_from())?;
    let back = |c: &Stored| {
        let refers = pair.parent.as_ref().is_some_and(|p| same_name(&p.refers, &c.name));
        refers
            || sides.key.iter().any(|(_, new)| same_name(new, &c.name))
            || pair.back.iter().any(|b| names(&b.sql, &c.name))
    };
    let mut asked = Vec::new();
    for c in columns(conn, &pair.new)?.iter().filter(|c| !c.generated && !back(c)) {
        let about = format!("`{}` of `{}` has no place in the old schema", c.name, pair.new);
        asked.push((format!("new.{} IS NOT NULL", quote_ident(&c.name)), about));
    }
    lines.extend(counted(conn, &pair.name, &asked, &sides.new_from())?);
    Ok(lines)
}

/// One pass over a side, counting the rows that fulfil each condition.
fn counted(conn: &Connection, name: &str, asked: &[(String, String)], from: &str) -> Result<Vec<String>, StepError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |e| sqlite_error(e, "while counting what has no way to the other side");
    let sums: Vec<String> = asked.iter().map(|(condition, _)| format!("coalesce(sum({condition}), 0)")).collect();
    let mut statement = conn.prepare_cached(&format!("SELECT {} {from}", sums.join(", "))).map_err(failed)?;
    statement
        .query_row([], |row| {
            let mut lines = Vec::new();
            for (i, (_, about)) in asked.iter().enumerate() {
                let rows = row.get::<_, i64>(i)?.unsigned_abs();
                let rows = if rows == 1 { "1 row has".to_owned() } else { format!("{rows} rows have") };
                lines.push(format!("{name}: {about}: {rows} something to lose"));
            }
            Ok(lines)
        })
        .map_err(failed)
}

/// The one number of a query.
pub(crate) fn one(conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
    conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

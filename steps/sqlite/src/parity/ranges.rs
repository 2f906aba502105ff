//! The keys of both sides cut into ranges, so that no comparison holds more rows than a range has.
//!
//! Owns the bounds: each range ends where either side has had its number of rows. Works with whatever the key is.

use cutover_core::StepError;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::part::Part;
use super::sides::{Ordered, Sides};
use crate::sql::{quote_ident, sqlite_error};

/// Rows of one range, at most, on either side: mapped or not, each is looked at.
pub(super) const ROWS: u64 = 1000;

/// Keys above `above` up to `to`, either of which may be missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Range {
    above: Option<Vec<Value>>,
    to: Option<Vec<Value>>,
}

impl Range {
    /// The first range, of so many rows.
    pub(crate) fn first(conn: &Connection, sides: &Sides, rows: u64) -> Result<Self, StepError> {
        Self::above(conn, sides, None, rows)
    }

    /// The range of so many rows behind this one; none when this is the last.
    pub(crate) fn next(&self, conn: &Connection, sides: &Sides, rows: u64) -> Result<Option<Self>, StepError> {
        match &self.to {
            Some(to) => Self::above(conn, sides, Some(to.clone()), rows).map(Some),
            None => Ok(None),
        }
    }

    fn above(conn: &Connection, sides: &Sides, above: Option<Vec<Value>>, rows: u64) -> Result<Self, StepError> {
        let open = Self { above, to: None };
        let side = |from: &str, (key, columns): (&Ordered, Vec<String>)| {
            let columns: Vec<String> = columns.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
            let end = if key.reversed { " DESC" } else { "" };
            let order: Vec<String> = key.stored.iter().map(|k| format!("{k}{end}")).collect();
            format!(
                "SELECT * FROM (SELECT {} {from}{} ORDER BY {} LIMIT 1 OFFSET {})",
                columns.join(", "),
                open.condition(key),
                order.join(", "),
                rows.saturating_sub(1)
            )
        };
        let [old, new] = sides.ordered();
        let by = sides.collations.iter().enumerate();
        let order: Vec<String> = by.map(|(i, by)| format!("k{i} COLLATE {}", quote_ident(by))).collect();
        let [of_old, of_new] = sides.visited();
        let sql = format!(
            "SELECT * FROM ({} UNION ALL {}) ORDER BY {} LIMIT 1",
            side(&of_old, (&old, sides.old_key())),
            side(&of_new, (&new, sides.new_key())),
            order.join(", ")
        );
        let failed = |e| sqlite_error(e, "while cutting the keys into ranges");
        let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(open.values())).map_err(failed)?;
        let to = match rows.next().map_err(failed)? {
            Some(row) => {
                Some((0..sides.key.len()).map(|i| row.get(i)).collect::<rusqlite::Result<_>>().map_err(failed)?)
            }
            None => None,
        };
        Ok(Self { to, ..open })
    }

    /// The rows of the range.
    pub(crate) fn part(&self, sides: &Sides) -> Part {
        let [old, new] = sides.ordered();
        let names = Ordered {
            stored: sides
                .collations
                .iter()
                .enumerate()
                .map(|(i, by)| format!("k{i} COLLATE {}", quote_ident(by)))
                .collect(),
            reversed: false,
        };
        Part {
            old: self.condition(&old),
            new: self.condition(&new),
            key: self.condition(&names),
            values: self.values().cloned().collect(),
        }
    }

    /// The condition on a side's key, to be added to its `WHERE`; its parameters are [`values`](Self::values).
    fn condition(&self, key: &Ordered) -> String {
        let (columns, minus) = (&key.stored, if key.reversed { "-" } else { "" });
        let bound = |operator: &str, first: usize| {
            let marks: Vec<String> = (first..first + columns.len()).map(|i| format!("{minus}?{i}")).collect();
            match &columns[..] {
                [one] => format!(" AND {one} {operator} {}", marks.concat()),
                _ => format!(" AND ({}) {operator} ({})", columns.join(", "), marks.join(", ")),
            }
        };
        let (greater, up_to) = if key.reversed { ("<", ">=") } else { (">", "<=") };
        let above = self.above.as_ref().map(|_| bound(greater, 1));
        let behind = if self.above.is_some() { columns.len() } else { 0 };
        let mut to = self.to.as_ref().map(|_| bound(up_to, behind + 1));
        // What has no key comes first: no bound is true of it.
        if let (None, Some(bound)) = (&self.above, &mut to) {
            *bound = format!(" AND ({} OR {} IS NULL)", bound.trim_start_matches(" AND "), columns[0]);
        }
        above.into_iter().chain(to).collect()
    }

    /// The values of the condition's parameters.
    fn values(&self) -> impl Iterator<Item = &Value> {
        self.above.iter().chain(&self.to).flatten()
    }
}

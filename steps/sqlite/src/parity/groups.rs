//! How many rows a reader of the new schema gets of each group, beside how many the old table has.
//!
//! Owns the trap of a reader that takes the new rows when there are any and else the old ones: in a group that is only
//! partly on the new side, the old rows are hidden from it.

use cutover_core::StepError;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::compare::short;
use super::sides::Sides;
use crate::declared::same_name;
use crate::mapping::Pair;
use crate::sql::{sqlite_error, tokens};

/// How many groups are named.
const NAMED: usize = 3;

/// The columns by which readers ask, where the plan does not say: those that the parent's key takes over as they are.
pub(crate) fn usual(pair: &Pair) -> Vec<String> {
    let plain = |sql: &str| match tokens(sql)[..] {
        [old, ".", column] if same_name(old, "old") => Some(column.trim_matches(['"', '`', '[', ']']).to_owned()),
        _ => None,
    };
    let plain = pair.parent.iter().flat_map(|p| &p.key).filter_map(|k| plain(&k.sql));
    // Of a column without a way back nobody can ask on the new side.
    plain.filter(|name| pair.back.iter().any(|back| same_name(&back.name, name))).collect()
}

/// A line for each of the first groups of which the reader gets fewer rows than there are. `held` says whether rows in
/// quarantine count as there.
pub(crate) fn hidden(conn: &Connection, sides: &Sides, by: &[String], held: bool) -> Result<Vec<String>, StepError> {
    let columns: Vec<_> =
        by.iter().filter_map(|name| sides.compared.iter().find(|c| same_name(&c.column, name))).collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let list = |value: &dyn Fn(usize) -> String| (0..columns.len()).map(value).collect::<Vec<_>>().join(", ");
    let names = list(&|i| format!("g{i}"));
    let old_from = if held { sides.whole_old_from() } else { sides.old_from() };
    let sql = format!(
        "SELECT {names}, sum(o), sum(n) FROM (SELECT {}, 1 AS o, 0 AS n {old_from} UNION ALL SELECT {}, 0, 1 {}) \
         GROUP BY {names} HAVING sum(n) > 0 AND sum(o) > sum(n) ORDER BY {names} LIMIT {}",
        list(&|i| format!("+({}) COLLATE BINARY AS g{i}", columns[i].old)),
        list(&|i| format!("+({}) COLLATE BINARY", columns[i].new)),
        sides.new_from(),
        NAMED + 1
    );
    let failed = |e| sqlite_error(e, "while counting the rows of each group");
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut named = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        if named.len() == NAMED {
            named.push("…".to_owned());
            break;
        }
        let values =
            (0..columns.len()).map(|i| row.get(i)).collect::<rusqlite::Result<Vec<Value>>>().map_err(failed)?;
        let (old, new): (i64, i64) =
            (row.get(columns.len()).map_err(failed)?, row.get(columns.len() + 1).map_err(failed)?);
        let group: Vec<String> =
            columns.iter().zip(&values).map(|(c, value)| format!("{} {}", c.column, short(value))).collect();
        named.push(format!("{} has {old} rows, a reader of the new schema gets {new}", group.join(", ")));
    }
    Ok(named)
}

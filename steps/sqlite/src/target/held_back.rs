//! How many rows the triggers of mappings could not show on the other side: for `status`.

use cutover_core::StepError;
use rusqlite::Connection;

use super::bookkeeping::has_table;
use crate::mapping::names::QUARANTINE;
use crate::sql::sqlite_error;

/// A line for each pair of tables with rows in quarantine.
pub(crate) fn remarks(conn: &Connection) -> Result<Vec<String>, StepError> {
    if !has_table(conn, QUARANTINE)? {
        return Ok(Vec::new());
    }
    let line = |pair: String, old: i64, new: i64| {
        let rows = |side: &str, count: i64| match count {
            0 => None,
            1 => Some(format!("1 {side} row")),
            n => Some(format!("{n} {side} rows")),
        };
        let rows: Vec<String> = rows("old", old).into_iter().chain(rows("new", new)).collect();
        format!("in quarantine: {} of `{pair}`; table `{QUARANTINE}` says which, and why", rows.join(" and "))
    };
    conn.prepare(&format!(
        "SELECT pair, count(*) FILTER (WHERE side = 'old'), count(*) FILTER (WHERE side = 'new') FROM {QUARANTINE} \
         GROUP BY pair ORDER BY pair"
    ))
    .and_then(|mut s| s.query_map([], |row| Ok(line(row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
    .map_err(|e| sqlite_error(e, "while reading the quarantine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_quarantine_are_told_by_pair_and_side() {
        let conn = Connection::open_in_memory().unwrap();
        assert_eq!(remarks(&conn).unwrap(), [""; 0]);
        conn.execute_batch(&format!(
            "CREATE TABLE {QUARANTINE} (pair, side); INSERT INTO {QUARANTINE} VALUES ('b', 'new'), ('a', 'old'), ('b', 'old'), ('b', 'old')"
        ))
        .unwrap();
        let told = remarks(&conn).unwrap();
        assert!(told[0].starts_with("in quarantine: 1 old row of `a`;"), "{told:?}");
        assert!(told[1].starts_with("in quarantine: 2 old rows and 1 new row of `b`;"), "{told:?}");
        assert_eq!(told.len(), 2);
    }
}

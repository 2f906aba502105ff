//! The stage of each mapping in a database, and what programs that link `cutover-dual` counted there: for `status`.

use cutover_core::StepError;
use rusqlite::Connection;

use super::bookkeeping::has_table;
use crate::mapping::names::STAGE;
use crate::sql::sqlite_error;

/// A line for each mapping.
pub(crate) fn remarks(conn: &Connection) -> Result<Vec<String>, StepError> {
    let failed = |e| sqlite_error(e, "while reading the stage and the counters");
    if !has_table(conn, STAGE)? {
        return Ok(Vec::new());
    }
    let counted = has_table(conn, cutover_dual::COUNTERS_TABLE)?;
    let mut stages = conn.prepare(&format!("SELECT name, stage FROM {STAGE} ORDER BY name")).map_err(failed)?;
    let stages: Vec<(String, String)> =
        stages.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).map_err(failed)?;
    stages
        .into_iter()
        .map(|(name, stage)| {
            let counters = if counted { counters(conn, &name).map_err(failed)? } else { Vec::new() };
            let line = format!("mapping {name} is at stage {stage}");
            Ok(if counters.is_empty() { line } else { format!("{line}; counted: {}", counters.join(", ")) })
        })
        .collect()
}

/// The counters of a mapping that are not 0; of latencies only the longest.
fn counters(conn: &Connection, mapping: &str) -> rusqlite::Result<Vec<String>> {
    conn.prepare(&format!(
        "SELECT counter || ' ' || value FROM {} WHERE name = ?1 AND value > 0 AND counter NOT LIKE '%.below-us.%' ORDER BY counter",
        cutover_dual::COUNTERS_TABLE
    ))?
    .query_map([mapping], |row| row.get(0))?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_dual::{Counters, DualReader, DualWriter};

    #[test]
    fn the_stage_and_the_counts_of_programs_are_told() {
        let conn = Connection::open_in_memory().unwrap();
        assert_eq!(remarks(&conn).unwrap(), [""; 0]);
        conn.execute_batch(
            "CREATE TABLE _cutover_stage (name TEXT PRIMARY KEY, stage TEXT NOT NULL, changed_at TEXT NOT NULL, run TEXT NOT NULL);
             INSERT INTO _cutover_stage VALUES ('b', 'prefer-new', '', ''), ('a', 'dual-write', '', '');
             CREATE TABLE new (x); CREATE TABLE old (x); INSERT INTO old VALUES (1)",
        )
        .unwrap();
        assert_eq!(remarks(&conn).unwrap(), ["mapping a is at stage dual-write", "mapping b is at stage prefer-new"]);
        let counters = std::sync::Arc::new(Counters::default());
        let read = |sql: &'static str| {
            move |conn: &Connection| {
                conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()
            }
        };
        let reader = DualReader::new("b", counters.clone());
        reader.read(&conn, read("SELECT x FROM new"), read("SELECT x FROM old"), |found| !found.is_empty()).unwrap();
        let insert = |conn: &Connection| conn.execute("INSERT INTO new VALUES (2)", []);
        DualWriter::new("b", counters.clone()).write(&conn, insert, insert).unwrap();
        counters.flush(&conn, "b").unwrap();
        let told = remarks(&conn).unwrap().remove(1);
        assert!(told.starts_with("mapping b is at stage prefer-new; counted: reads.fallback 1, "), "{told}");
        assert!(told.contains("writes.new 1") && !told.contains("below-us"), "{told}");
    }
}

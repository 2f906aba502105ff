//! The stage of each mapping in a database, and what programs that link `cutover-dual` counted there: for `status`.

use cutover_core::StepError;
use cutover_dual::{Latencies, Sums};
use rusqlite::Connection;

use super::bookkeeping::has_table;
use crate::mapping::names::STAGE;
use crate::sql::sqlite_error;

/// A line for each mapping, and one more where something was timed.
pub(crate) fn remarks(conn: &Connection) -> Result<Vec<String>, StepError> {
    let failed = |e| sqlite_error(e, "while reading the stage and the counters");
    if !has_table(conn, STAGE)? {
        return Ok(Vec::new());
    }
    let mut stages = conn.prepare(&format!("SELECT name, stage FROM {STAGE} ORDER BY name")).map_err(failed)?;
    let stages: Vec<(String, String)> =
        stages.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).map_err(failed)?;
    let mut lines = Vec::new();
    for (name, stage) in stages {
        let sums = Sums::of(conn, &name).map_err(failed)?;
        let mut line = format!("mapping {name} is at stage {stage}");
        if !sums.counted.is_empty() {
            let counted: Vec<String> = sums.counted.iter().map(|(what, count)| format!("{what} {count}")).collect();
            line.push_str(&format!("; counted: {}", counted.join(", ")));
        }
        lines.push(line);
        if !sums.times.is_empty() {
            let times: Vec<String> = sums.times.iter().map(|(what, times)| took(what, times)).collect();
            lines.push(format!("mapping {name}, µs (p50, p99, longest): {}", times.join("; ")));
        }
    }
    Ok(lines)
}

/// "reads.new 8, 64, 412": half and 99 of 100 took no longer than that, by the bounds that the times are counted in.
fn took(what: &str, times: &Latencies) -> String {
    format!("{what} {}, {}, {}", times.percentile(50), times.percentile(99), times.longest)
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
        let told = remarks(&conn).unwrap();
        let [_, told, took] = &told[..] else { panic!("{told:?}") };
        assert!(told.ends_with("counted: reads.fallback 1, writes.new 1"), "{told}");
        let began = "mapping b, µs (p50, p99, longest): reads.fallback ";
        assert!(took.starts_with(began) && took.contains("; writes.new "), "{took}");
    }
}

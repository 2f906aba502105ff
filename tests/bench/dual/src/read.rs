//! Reads of one spec and stage: directly, by `cutover-dual` that falls back, and by a view for those who cannot link it.

use std::sync::Arc;
use std::time::Instant;

use cutover_dual::{Counters, DualReader};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use crate::system::{self, Order, Shape};
use crate::{Asked, Result, median};

const OLD: &str =
    "SELECT id, agent_name, content_json FROM artifacts WHERE spec_id = ?1 AND stage = ?2 ORDER BY id DESC";
const NEW: &str = "SELECT id, agent_name, content FROM outputs WHERE spec_id = ?1 AND stage = ?2 ORDER BY id DESC";
const VIEW: &str = "SELECT id, agent_name, content FROM both WHERE spec_id = ?1 AND stage = ?2 ORDER BY id DESC";

const READS: u32 = 20_000;
const SPECS: u32 = 3000;

type Rows = Vec<(i64, String, String)>;

fn rows(conn: &Connection, sql: &str, spec: &str, stage: &str) -> rusqlite::Result<Rows> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![spec, stage], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    rows.collect()
}

/// Prints the table of this part.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    let conn = system::old(&asked.place, "wal", SPECS * 5, Order::Far)?;
    system::expand(&asked.place, Shape::Flat)?;
    // Half of the specs are in the new schema, as while a backfill runs.
    conn.execute_batch(
        "UPDATE _cutover_guard SET origin = 'backfill';
         INSERT INTO outputs SELECT id, spec_id, stage, agent_name, content_json, 1763000000000 FROM artifacts WHERE id % 2;
         UPDATE _cutover_guard SET origin = NULL;
         UPDATE _cutover_stage SET stage = 'prefer-new';
         CREATE VIEW both AS SELECT id, spec_id, stage, agent_name, content FROM outputs UNION ALL
           SELECT id, spec_id, stage, agent_name, content_json FROM artifacts AS a
           WHERE NOT EXISTS (SELECT 1 FROM outputs AS o WHERE o.id = a.id);",
    )?;
    println!(
        "| read of 5 rows, WAL | plans | µs | over the same, directly, µs | asked | seed |\n|---|---|---|---|---|---|"
    );
    for (plans, steady) in
        [("kept (QPSG, as `cutover-dual` has it)", true), ("made anew with each value (`keep_plans(false)`)", false)]
    {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, steady)?;
        each_way(asked, &conn, plans, steady)?;
    }
    Ok(())
}

fn each_way(asked: &Asked, conn: &Connection, plans: &str, steady: bool) -> Result<()> {
    let reader = DualReader::new("m", Arc::new(Counters::default())).keep_plans(steady);
    // Spec and stage of a number are both even or both odd: an even number is in the old schema alone.
    let dual = |spec: &str, stage: &str| -> rusqlite::Result<Rows> {
        reader.read(
            conn,
            |conn| rows(conn, NEW, spec, stage),
            |conn| rows(conn, OLD, spec, stage),
            |found| !found.is_empty(),
        )
    };
    let by_hand = |spec: &str, stage: &str| -> rusqlite::Result<Rows> {
        let found = rows(conn, NEW, spec, stage)?;
        if found.is_empty() { rows(conn, OLD, spec, stage) } else { Ok(found) }
    };
    type Read<'r> = &'r dyn Fn(&str, &str) -> rusqlite::Result<Rows>;
    let ways: [(&str, u32, Read<'_>); 7] = [
        ("the old table, directly", 0, &|spec, stage| rows(conn, OLD, spec, stage)),
        ("the new table, directly", 1, &|spec, stage| rows(conn, NEW, spec, stage)),
        ("`cutover-dual`, fell back", 0, &dual),
        ("`cutover-dual`, found in the new", 1, &dual),
        ("new, then old, by the application", 0, &by_hand),
        ("a view, in the old", 0, &|spec, stage| rows(conn, VIEW, spec, stage)),
        ("a view, in the new", 1, &|spec, stage| rows(conn, VIEW, spec, stage)),
    ];
    let mut found: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    for round in 0..=asked.rounds {
        for at in 0..ways.len() {
            let at = (at + round) % ways.len();
            let (name, parity, read) = &ways[at];
            let began = Instant::now();
            for i in 0..READS {
                let i = (i * 2 + parity) % SPECS;
                let got = read(&format!("SPEC-{i}"), &format!("stage-{}", i % 6))?;
                if got.len() != 5 {
                    return Err(format!("{name}: {} rows of SPEC-{i}", got.len()).into());
                }
            }
            if round > 0 {
                found[at].push(began.elapsed().as_secs_f64() * 1e6 / f64::from(READS));
            }
        }
    }
    for (at, (name, parity, _)) in ways.iter().enumerate() {
        let over: Vec<f64> = found[at].iter().zip(&found[*parity as usize]).map(|(a, b)| a - b).collect();
        let (asked, seed) = match at {
            2 => ("< 2", "< 2 (~1)"),
            _ => ("", ""),
        };
        println!("| {name} | {plans} | {:.2} | {:+.2} | {asked} | {seed} |", median(&found[at]), median(&over));
    }
    Ok(())
}

//! WAL beside the DELETE journal: one write, and one read, each in a transaction of its own.

use std::time::Instant;

use rusqlite::params;

use crate::system::{self, Order};
use crate::{Asked, Result, median};

const WRITES: u32 = 500;
const READS: u32 = 10_000;

/// Prints the table of this part.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    let mut found: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..=asked.rounds {
        for at in 0..2 {
            let at = (at + round) % 2;
            let times = run(asked, ["delete", "wal"][at])?;
            if round > 0 {
                found[at].iter_mut().zip(times).for_each(|(all, one)| all.push(one));
            }
        }
    }
    println!("| one | DELETE, µs | WAL, µs | DELETE ÷ WAL | seed |\n|---|---|---|---|---|");
    let [delete, wal] = &found;
    for (at, (name, seed)) in
        [("write", "72.94 → 16.81 µs, 4.34"), ("read", "19.18 → 9.70 µs, 1.98")].into_iter().enumerate()
    {
        let ratios: Vec<f64> = delete[at].iter().zip(&wal[at]).map(|(d, w)| d / w).collect();
        println!("| {name} | {:.2} | {:.2} | {:.2} | {seed} |", median(&delete[at]), median(&wal[at]), median(&ratios));
    }
    Ok(())
}

/// Microseconds of a write and of a read.
fn run(asked: &Asked, journal: &str) -> Result<[f64; 2]> {
    let conn = system::old(&asked.place, journal, 3000, Order::Far)?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    let began = Instant::now();
    for i in 0..WRITES {
        conn.prepare_cached(
            "INSERT INTO artifacts (spec_id, stage, agent_name, content_json) VALUES (?1, ?2, 'a', ?3)",
        )?
        .execute(params![format!("SPEC-{i}"), "stage-1", "x".repeat(400)])?;
    }
    let write = began.elapsed().as_secs_f64() * 1e6 / f64::from(WRITES);
    let began = Instant::now();
    for i in 0..READS {
        conn.prepare_cached("SELECT content_json FROM artifacts WHERE spec_id = ?1 AND stage = ?2")?
            .query_map(params![format!("SPEC-{}", i % 3000), format!("stage-{}", i % 6)], |r| r.get::<_, String>(0))?
            .try_for_each(|row| row.map(|_| ()))?;
    }
    Ok([write, began.elapsed().as_secs_f64() * 1e6 / f64::from(READS)])
}

//! Writes of one row each in a transaction of its own: into the old schema alone, carried over by triggers, and into both
//! by the application.
//!
//! Rows come as the seed's application writes them: four agents of a stage, six stages of a spec. What a connection
//! does once, reading the schema and compiling the statement with all its triggers, is its first write's, and shown apart.

use std::time::Instant;

use cutover_dual::{Counters, DualWriter};
use rusqlite::{Connection, params};

use crate::system::{self, Order, Shape};
use crate::{Asked, Result, median, thread_cpu};

const INSERT: &str = "INSERT INTO artifacts (spec_id, stage, agent_name, content_json) VALUES (?1, ?2, ?3, ?4)";
const ALONE: &str =
    "INSERT INTO outputs (id, spec_id, stage, agent_name, content, output_timestamp) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Writes of a block.
const BLOCK: u32 = 4000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Flat,
    /// A new run for each fourth row.
    Grouped,
    /// A new run for each row.
    Alone,
    Application,
    Library,
}

impl Way {
    const ALL: [(Way, &'static str); 6] = [
        (Way::Plain, "the old schema alone"),
        (Way::Flat, "triggers of `sqlite.expand`, row for row"),
        (Way::Grouped, "triggers of `sqlite.expand`, four rows grouped under a run"),
        (Way::Alone, "the same, each row the first of its run"),
        (Way::Application, "both by the application, no triggers"),
        (Way::Library, "`cutover-dual` and triggers, row for row"),
    ];
}

/// Prints the table of this part.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    println!(
        "| journal, synchronous | way | µs a write | ÷ plain | of it CPU | ÷ plain | asked | seed | first write, ms |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    for (journal, level, most) in [("wal", "NORMAL", "≤ 2.5"), ("wal", "FULL", "≤ 1.25"), ("delete", "FULL", "")] {
        let mut found: Vec<[Vec<f64>; 3]> = vec![Default::default(); Way::ALL.len()];
        for round in 0..=asked.rounds {
            for at in 0..Way::ALL.len() {
                let at = (at + round) % Way::ALL.len();
                let times = run(asked, journal, level, Way::ALL[at].0)?;
                if round > 0 {
                    found[at].iter_mut().zip(times).for_each(|(all, one)| all.push(one));
                }
            }
        }
        for ((way, name), [wall, used, first]) in Way::ALL.iter().zip(&found) {
            let ratio =
                |of: &[f64], plain: &[f64]| median(&of.iter().zip(plain).map(|(a, b)| a / b).collect::<Vec<_>>());
            let (by_wall, by_cpu) = (ratio(wall, &found[0][0]), ratio(used, &found[0][1]));
            let asked = if matches!(way, Way::Flat | Way::Grouped | Way::Application) { most } else { "" };
            let seed = match (journal, level, way) {
                ("wal", "NORMAL", Way::Plain) => "17.24 µs",
                ("wal", "NORMAL", Way::Application) => "35.38 µs, 2.05",
                _ => "",
            };
            println!(
                "| {journal}, {level} | {name} | {:.1} | {by_wall:.2} | {:.1} | {by_cpu:.2} | {asked} | {seed} | {:.1} |",
                median(wall),
                median(used),
                median(first)
            );
        }
    }
    Ok(())
}

/// Microseconds of a write, those of them on a processor, and milliseconds of the first write.
fn run(asked: &Asked, journal: &str, level: &str, way: Way) -> Result<[f64; 3]> {
    let conn = system::old(&asked.place, journal, 0, Order::Far)?;
    conn.execute_batch("PRAGMA foreign_keys = ON")?;
    conn.pragma_update(None, "synchronous", level)?;
    match way {
        Way::Plain => {}
        Way::Flat | Way::Library => system::expand(&asked.place, Shape::Flat)?,
        Way::Grouped | Way::Alone => system::expand(&asked.place, Shape::Grouped)?,
        Way::Application => conn.execute_batch(Shape::Flat.tables())?,
    }
    let content = format!("{{\"body\":\"{}\"}}", "x".repeat(389));
    let counters = std::sync::Arc::new(Counters::default());
    let writer = DualWriter::new("m", counters);
    let write = |i: u32| -> Result<()> {
        let (run, agent) = if way == Way::Alone { (i, 0) } else { (i / 4, i % 4) };
        let (spec, stage, agent) =
            (format!("SPEC-{}", run / 6), format!("stage-{}", run % 6), format!("agent-{agent}"));
        let old = |conn: &Connection| conn.prepare_cached(INSERT)?.execute(params![spec, stage, agent, content]);
        match way {
            Way::Plain | Way::Flat | Way::Grouped | Way::Alone => {
                old(&conn)?;
            }
            Way::Application => {
                conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
                old(&conn)?;
                let id = conn.last_insert_rowid();
                let now = 1_763_000_000_000_i64 + i64::from(i);
                conn.prepare_cached(ALONE)?.execute(params![id, spec, stage, agent, content, now])?;
                conn.prepare_cached("COMMIT")?.execute([])?;
            }
            Way::Library => {
                let result: rusqlite::Result<usize> = writer.write(&conn, |_| Ok(0), old);
                result?;
            }
        }
        Ok(())
    };
    let began = Instant::now();
    write(0)?;
    let first = began.elapsed().as_secs_f64() * 1e3;
    let (began, used) = (Instant::now(), thread_cpu()?);
    (1..=BLOCK).try_for_each(write)?;
    let micros = |all: f64| all / f64::from(BLOCK);
    Ok([micros(began.elapsed().as_secs_f64() * 1e6), micros(thread_cpu()? - used), first])
}

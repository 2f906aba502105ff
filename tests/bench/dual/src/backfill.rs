//! A backfill (of 100,000 rows, if not told otherwise) beside one INSERT…SELECT of the same rows, and how long it keeps a writer waiting.

use std::path::Path;
use std::time::Instant;

use cutover_tests::Fixture;
use rusqlite::Connection;

use crate::system::{self, Order, Shape};
use crate::watch::Watch;
use crate::{Asked, Result, cpu, median};

const SELECT: &str = "SELECT id, spec_id, stage, agent_name, content_json AS content, \
    CAST(strftime('%s', created_at) AS INTEGER) * 1000 AS output_timestamp FROM artifacts";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// From a query, into a table without triggers.
    Query,
    /// By a mapping, under its triggers.
    Mapping,
    /// The same, with parents.
    Grouped,
}

impl Form {
    const ALL: [(Form, &'static str); 3] =
        [(Form::Query, "a query"), (Form::Mapping, "a mapping"), (Form::Grouped, "a mapping with parents")];
}

/// Prints the table of this part.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    println!(
        "| filled by | journal | order | one INSERT…SELECT, s | backfill, s | one ÷ backfill (asked: ≥ 0.9) | by CPU | \
         a writer's wait, ms: median | p99 (asked: < 50) | longest |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for (form, name) in Form::ALL {
        let both = |journal| [(journal, Order::Near, "near"), (journal, Order::Far, "far")];
        let all = ["wal", "delete"].into_iter().flat_map(both);
        for (journal, order, order_name) in all.filter(|(journal, _, order)| asked.wants(name, journal, order)) {
            let mut found: [Vec<f64>; 4] = Default::default();
            for round in 0..=asked.rounds {
                for at in 0..2 {
                    let first = (at + round) % 2 == 0;
                    prepare(asked, form, journal, order)?;
                    let used = cpu()?;
                    let seconds = if first { one(&asked.place, form)? } else { fill(asked, form)? };
                    let used = cpu()? - used;
                    if round > 0 {
                        let at = usize::from(!first);
                        found[at].push(seconds);
                        found[2 + at].push(used);
                    }
                }
            }
            prepare(asked, form, journal, order)?;
            let watched = Watch::begin(&asked.place.join("main.db"))?;
            fill(asked, form)?;
            let mut waits = watched.end()?;
            waits.sort_by(f64::total_cmp);
            let at = |p: f64| waits.get(((waits.len() as f64 - 1.0) * p) as usize).copied().unwrap_or(f64::NAN);
            let ratio = |a: usize| median(&found[a].iter().zip(&found[a + 1]).map(|(o, f)| o / f).collect::<Vec<_>>());
            println!(
                "| {name} | {journal} | {order_name} | {:.3} | {:.3} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} |",
                median(&found[0]),
                median(&found[1]),
                ratio(0),
                ratio(2),
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
    }
    Ok(())
}

fn prepare(asked: &Asked, form: Form, journal: &str, order: Order) -> Result<()> {
    let conn = system::old(&asked.place, journal, asked.rows, order)?;
    match form {
        Form::Query => Ok(conn.execute_batch(Shape::Flat.tables())?),
        Form::Mapping => system::expand(&asked.place, Shape::Flat),
        Form::Grouped => system::expand(&asked.place, Shape::Grouped),
    }
}

/// What somebody would write by hand, triggers kept quiet.
fn one(root: &Path, form: Form) -> Result<f64> {
    let conn = Connection::open(root.join("main.db"))?;
    let (before, after) = match form {
        Form::Query => ("", ""),
        Form::Mapping | Form::Grouped => {
            ("UPDATE _cutover_guard SET origin = 'backfill';", "UPDATE _cutover_guard SET origin = NULL;")
        }
    };
    let insert = match form {
        Form::Query | Form::Mapping => format!("INSERT INTO outputs {SELECT};"),
        Form::Grouped => "INSERT INTO runs (spec_id, stage, consensus_ok) SELECT DISTINCT spec_id, stage, 1 FROM artifacts;
             INSERT INTO outputs SELECT a.id, r.id, agent_name, content_json, CAST(strftime('%s', created_at) AS INTEGER) * 1000
             FROM artifacts AS a JOIN runs AS r ON r.spec_id = a.spec_id AND r.stage = a.stage ORDER BY a.id;"
            .to_owned(),
    };
    let began = Instant::now();
    conn.execute_batch(&format!("BEGIN IMMEDIATE; {before} {insert} {after} COMMIT"))?;
    Ok(began.elapsed().as_secs_f64())
}

fn fill(asked: &Asked, form: Form) -> Result<f64> {
    let root = &asked.place;
    let bench = match form {
        Form::Query => Fixture::new(format!(
            "name = \"b\"\n[targets.main]\nkind = \"sqlite\"\npath = \"main.db\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
             [[phase.step]]\nid = \"fill\"\nuse = \"sqlite.backfill\"\ntarget = \"main\"\n\
             with = {{ into = \"outputs\", key = \"id\", key-stored = true, rows = \"{SELECT}\" }}\n"
        ))
        .open(root),
        Form::Mapping => system::steps(root, Shape::Flat, ""),
        Form::Grouped => system::steps(root, Shape::Grouped, ""),
    };
    let began = Instant::now();
    bench.apply("fill")?;
    let seconds = began.elapsed().as_secs_f64();
    bench.close()?;
    let conn = Connection::open(root.join("main.db"))?;
    let rows: u32 = conn.query_row("SELECT count(*) FROM outputs", [], |row| row.get(0))?;
    if rows != asked.rows {
        return Err(format!("{rows} rows were filled in").into());
    }
    Ok(seconds)
}

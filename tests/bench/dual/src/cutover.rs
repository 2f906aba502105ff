//! How long writers are kept out while a mapping moves from stage to stage and all the way back, with the seed's 10,000
//! rows and with as many as are asked for: what `sqlite.cutover` compares, it compares with the database held.

use std::collections::BTreeMap;

use cutover_core::Applied;

use crate::system::{self, Order, Shape};
use crate::watch::Watch;
use crate::{Asked, Result, median};

/// A step, which way it goes, and what that is called.
type Move = (&'static str, Way, &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forth,
    Back,
}

const MOVES: [Move; 10] = [
    ("wide", Way::Forth, "expand"),
    ("fill", Way::Forth, "backfill"),
    ("readers", Way::Forth, "to prefer-new"),
    ("writers", Way::Forth, "to new-only"),
    ("drop", Way::Forth, "contract"),
    ("drop", Way::Back, "back from contract"),
    ("writers", Way::Back, "back from new-only"),
    ("readers", Way::Back, "back from prefer-new"),
    ("fill", Way::Back, "back from backfill"),
    ("wide", Way::Back, "back from expand"),
];

/// Prints the table of this part.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    println!("| rows | tables | | a writer's longest wait, ms: median | worst | asked |\n|---|---|---|---|---|---|");
    for rows in [10_000, asked.rows] {
        for (shape, name) in [(Shape::Flat, "row for row"), (Shape::Grouped, "grouped under runs")] {
            let mut waits: [Vec<f64>; MOVES.len()] = Default::default();
            for _ in 0..asked.rounds {
                for (waits, wait) in waits.iter_mut().zip(run(asked, shape, rows)?) {
                    waits.push(wait);
                }
            }
            for ((_, _, step), waits) in MOVES.iter().zip(&waits) {
                let worst = waits.iter().copied().fold(0.0, f64::max);
                let most = if rows == 10_000 { "< 100" } else { "" };
                println!("| {rows} | {name} | {step} | {:.1} | {worst:.1} | {most} |", median(waits));
            }
        }
    }
    Ok(())
}

/// The longest wait of each move, in milliseconds.
fn run(asked: &Asked, shape: Shape, rows: u32) -> Result<[f64; MOVES.len()]> {
    drop(system::old(&asked.place, "wal", rows, Order::Far)?);
    let bench = system::steps(&asked.place, shape, "");
    let mut receipts = BTreeMap::new();
    let mut longest = [0.0; MOVES.len()];
    for ((step, way, _), longest) in MOVES.iter().zip(&mut longest) {
        if (*step, *way) == ("drop", Way::Forth) {
            bench.apply("copy")?;
        }
        let watch = Watch::begin(&asked.place.join("main.db"))?;
        match way {
            Way::Forth => {
                if let Applied::Changed(receipt) = bench.apply(step)? {
                    receipts.insert(*step, receipt);
                }
            }
            Way::Back => bench.rollback(step, receipts.get(step))?,
        }
        *longest = watch.end()?.into_iter().fold(0.0, f64::max);
    }
    bench.close()?;
    Ok(longest)
}

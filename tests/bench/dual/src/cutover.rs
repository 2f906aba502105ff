//! How long writers are kept out while a mapping moves from stage to stage, with the seed's 10,000 rows and with ten times
//! as many: what `sqlite.cutover` compares, it compares with the database held.

use crate::system::{self, Order, Shape};
use crate::watch::Watch;
use crate::{Asked, Result, median};

const STEPS: [(&str, &str); 3] = [("readers", "to prefer-new"), ("writers", "to new-only"), ("drop", "contract")];

/// Prints the table of this part.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    println!("| rows | tables | | a writer's longest wait, ms: median | worst | asked |\n|---|---|---|---|---|---|");
    for rows in [10_000, 100_000] {
        for (shape, name) in [(Shape::Flat, "row for row"), (Shape::Grouped, "grouped under runs")] {
            let mut waits: [Vec<f64>; 3] = Default::default();
            for _ in 0..asked.rounds {
                for (waits, wait) in waits.iter_mut().zip(run(asked, shape, rows)?) {
                    waits.push(wait);
                }
            }
            for ((_, step), waits) in STEPS.iter().zip(&waits) {
                let worst = waits.iter().copied().fold(0.0, f64::max);
                let most = if rows == 10_000 { "< 100" } else { "" };
                println!("| {rows} | {name} | {step} | {:.1} | {worst:.1} | {most} |", median(waits));
            }
        }
    }
    Ok(())
}

/// The longest wait of each step, in milliseconds.
fn run(asked: &Asked, shape: Shape, rows: u32) -> Result<[f64; 3]> {
    drop(system::old(&asked.place, "wal", rows, Order::Far)?);
    let bench = system::steps(&asked.place, shape, "");
    bench.apply("wide")?;
    bench.apply("fill")?;
    let mut longest = [0.0; 3];
    for ((step, _), longest) in STEPS.iter().zip(&mut longest) {
        if *step == "drop" {
            bench.apply("copy")?;
        }
        let watch = Watch::begin(&asked.place.join("main.db"))?;
        bench.apply(step)?;
        *longest = watch.end()?.into_iter().fold(0.0, f64::max);
    }
    bench.close()?;
    Ok(longest)
}

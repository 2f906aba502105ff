//! A snapshot with its hash, and cp + fsync + b3sum beside it, in turns.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use cutover_tests::Fixture;

use crate::programs::run;
use crate::{Asked, Result, median, spread};

const PLAN: &str = r#"
name = "b"
[targets.main]
kind = "sqlite"
path = "tier1.db"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "s"
use = "sqlite.check"
target = "main"
with = { tables = { messages = ["id"] } }
"#;

/// Measures both, the one that begins changing with each round.
pub(crate) fn measure(asked: &Asked, root: &Path, b3sum: &Path) -> Result<()> {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=asked.rounds {
        let (mine, other);
        if round % 2 == 0 {
            mine = snapshot(root, &asked.place)?;
            other = copy(root, &asked.place, b3sum)?;
        } else {
            other = copy(root, &asked.place, b3sum)?;
            mine = snapshot(root, &asked.place)?;
        }
        // The first round warms the cache.
        if round > 0 {
            ours.push(mine);
            theirs.push(other);
            ratios.push(mine / other);
        }
    }
    println!("| | seconds |\n|---|---|");
    println!("| snapshot (copied, hashed, fsynced, checked) | {} |", spread(&ours, 2));
    println!("| cp + fsync + b3sum (all cores) | {} |", spread(&theirs, 2));
    println!("| median of the rounds' ratios | {} |", spread(&ratios, 2));
    println!("| ratio of the medians | {:.2} |", median(ours) / median(theirs));
    Ok(())
}

/// Seconds of a snapshot of the target.
fn snapshot(root: &Path, place: &Path) -> Result<f64> {
    let into = place.join("snapshot");
    let fixture = Fixture::new(PLAN);
    let bench = fixture.open(root);
    let (target, cx) = (bench.target("main"), bench.plan_cx());
    let began = Instant::now();
    pollster::block_on(target.snapshot(&cx, &into))?;
    let seconds = began.elapsed().as_secs_f64();
    bench.close()?;
    std::fs::remove_dir_all(&into)?;
    Ok(seconds)
}

/// Seconds of a copy by the system's own programs.
fn copy(root: &Path, place: &Path, b3sum: &Path) -> Result<f64> {
    let to = place.join("copy.db");
    let began = Instant::now();
    run(Command::new("cp").arg(root.join("tier1.db")).arg(&to))?;
    run(Command::new("sync").arg(&to))?;
    run(Command::new(b3sum).arg(&to))?;
    let seconds = began.elapsed().as_secs_f64();
    std::fs::remove_file(&to)?;
    Ok(seconds)
}

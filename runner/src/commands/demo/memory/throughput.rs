//! How fast the program is on each store, one thought after the other.

use std::fs;

use serde_json::Value;

use super::system::Commands;
use crate::cli::Out;
use crate::commands::table;
use crate::error::{Result, RunnerError};

/// The best of so many rounds, of so many reads and writes each.
const ROUNDS: usize = 3;
const OPERATIONS: &str = "10000";

/// How fast the program is on each store with these records: nobody else runs.
pub(super) fn throughput(commands: &Commands, out: &Out) -> Result<()> {
    const FILE: &str = "run/made.bak";
    let run = commands.root.join("run");
    let doing = |e| RunnerError::io(format!("`{}`", run.display()), e);
    fs::create_dir_all(&run).map_err(doing)?;
    fs::write(commands.root.join(FILE), commands.say(&["v1", "backup", "0"], None)?).map_err(doing)?;
    let stores = [("v1", "the program on its old store"), ("v2", "fjall, as the plan makes it"), ("sled", "sled")];
    let mut best = [[0.0_f64; 2]; 3];
    // One after the other, and again: whatever else the machine does hits all of them.
    for _ in 0..ROUNDS {
        for ((store, _), best) in stores.iter().zip(&mut best) {
            let said = commands.say(&[*store, "bench", FILE, OPERATIONS], None)?;
            let said: Value = serde_json::from_slice(&said)
                .map_err(|e| RunnerError::internal(format!("what `bench` of {store} printed: {e}")))?;
            for (best, name) in best.iter_mut().zip(["reads", "writes"]) {
                *best = best.max(said[name].as_f64().unwrap_or(0.0));
            }
        }
    }
    for (store, _) in stores {
        fs::remove_dir_all(run.join(format!("{store}.bench"))).map_err(doing)?;
    }
    fs::remove_file(commands.root.join(FILE)).map_err(doing)?;
    let of = |now: f64, before: f64| format!("{:.0} %", 100.0 * now / before.max(1.0));
    let row = |((_, name), [reads, writes]): (&(&str, &str), &[f64; 2])| {
        let [first_reads, first_writes] = best[0];
        let name = (*name).to_owned();
        vec![name, format!("{reads:.0}"), of(*reads, first_reads), format!("{writes:.0}"), of(*writes, first_writes)]
    };
    let heads = ["store", "reads a second", "of before", "writes a second", "of before"];
    out.print(&table::columns(&heads, stores.iter().zip(&best).map(row).collect()));
    Ok(())
}

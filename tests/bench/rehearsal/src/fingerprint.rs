//! The fingerprint of the content, and a plain read of every value beside it.

use std::path::Path;
use std::time::Instant;

use cutover_core::Depth;
use cutover_steps_sqlite as _;
use cutover_tests::Fixture;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::database::{self, Key};
use crate::{Asked, Result, median};

/// Databases here are as large as this, in megabytes: what is measured is a rate.
const MEGABYTES: u64 = 200;

/// Measures rows of each size.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    let megabytes = asked.megabytes.min(MEGABYTES);
    println!(
        "| rows | key | fingerprint, MB/s | MB per CPU second | read, MB/s | fingerprint ÷ read, time |\n|---|---|---|---|---|---|"
    );
    let folder = asked.place.join("rows");
    std::fs::create_dir_all(&folder)?;
    for (size, key) in [(40, Key::Integer), (200, Key::Integer), (200, Key::Text), (1000, Key::Integer)] {
        let path = folder.join("main.db");
        let bytes = database::rows(&path, size, key, megabytes)? as f64 / 1e6;
        let (mut prints, mut used, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..asked.rounds {
            reads.push(read(&path)?);
            let before = cpu();
            prints.push(print(&folder)?);
            used.push(cpu() - before);
        }
        let used = bytes / median(used);
        let rates: Vec<f64> = prints.iter().map(|s| bytes / s).collect();
        let ratio = median(prints.iter().zip(&reads).map(|(print, read)| print / read).collect());
        let read = bytes / median(reads);
        println!("| {size} B | {key:?} | {} | {used:.0} | {read:.0} | {ratio:.2} |", crate::spread(&rates, 0));
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Seconds of the fingerprint of `main.db` in `folder`.
fn print(folder: &Path) -> Result<f64> {
    let fixture = Fixture::new(
        "name = \"b\"\n[targets.main]\nkind = \"sqlite\"\npath = \"main.db\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
         [[phase.step]]\nid = \"s\"\nuse = \"sqlite.check\"\ntarget = \"main\"\nwith = { tables = { messages = [\"id\"] } }\n",
    );
    let bench = fixture.open(folder);
    let (target, cx) = (bench.target("main"), bench.plan_cx());
    let began = Instant::now();
    pollster::block_on(target.fingerprint(&cx, Depth::Content))?;
    let seconds = began.elapsed().as_secs_f64();
    bench.close()?;
    Ok(seconds)
}

/// Seconds of looking at every value once, in one thread.
fn read(path: &Path) -> Result<f64> {
    let conn = Connection::open(path)?;
    let began = Instant::now();
    let mut statement = conn.prepare("SELECT * FROM messages")?;
    let columns = statement.column_count();
    let (mut rows, mut sum) = (statement.query([])?, 0);
    while let Some(row) = rows.next()? {
        for i in 0..columns {
            sum += match row.get_ref(i)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
                ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Null => 8,
            };
        }
    }
    std::hint::black_box(sum);
    Ok(began.elapsed().as_secs_f64())
}

/// CPU seconds of this process so far, all threads.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // Behind the state, which is no number: user and system time, in hundredths of a second.
    fields.get(10..12).map_or(f64::NAN, |times| times.iter().sum::<f64>() / 100.0)
}

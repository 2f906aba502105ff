//! `dual [--rounds N] [--rows N] [--place DIR] [--only PART]` measures, in one run, what a dual schema costs: writes to both
//! schemas, reads that fall back, WAL against DELETE journal, and the backfill beside one INSERT…SELECT. Beside each
//! figure is the seed's own. README.md of the benchmark says how to read it.

mod backfill;
mod cutover;
mod journal;
mod read;
mod system;
mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Whatever stands in the way of measuring.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is asked for.
#[derive(Debug)]
struct Asked {
    rounds: usize,
    /// Rows that a backfill has to fill in, and that the longer of the moves have.
    rows: u32,
    place: PathBuf,
    only: Option<String>,
    form: Option<String>,
    journal: Option<String>,
    order: Option<String>,
}

const USAGE: &str = "usage: dual [--rounds N] [--place DIR] [--only write|read|journal|backfill|cutover] \
    [--form query|mapping|parents] [--journal wal|delete] [--order near|far] [--rows N]";

impl Asked {
    /// Whether a part of this form, journal and order is to be measured.
    fn wants(&self, form: &str, journal: &str, order: &str) -> bool {
        let meets = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|asked| is.ends_with(asked));
        meets(&self.form, form) && meets(&self.journal, journal) && meets(&self.order, order)
    }
}

/// One part of the benchmark.
type Part = fn(&Asked) -> Result<()>;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let done = match (args.next().as_deref(), args.next()) {
        (Some(watch::WORD), Some(path)) => watch::run(Path::new(&path)),
        _ => asked().and_then(|asked| measure(&asked)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dual: {error}");
            ExitCode::from(2)
        }
    }
}

fn asked() -> Result<Asked> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap_or(Path::new("."));
    let mut asked = Asked {
        rounds: 5,
        rows: 100_000,
        place: repository.join("target/bench/dual"),
        only: None,
        form: None,
        journal: None,
        order: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let mut value = || args.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--rounds" => asked.rounds = value()?.parse::<usize>()?.max(1),
            "--rows" => asked.rows = value()?.parse::<u32>()?.max(1),
            "--place" => asked.place = value()?.into(),
            "--only" => asked.only = Some(value()?),
            "--form" => asked.form = Some(value()?),
            "--journal" => asked.journal = Some(value()?),
            "--order" => asked.order = Some(value()?),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(asked)
}

fn measure(asked: &Asked) -> Result<()> {
    std::fs::create_dir_all(&asked.place)?;
    println!("{} rounds; load {}", asked.rounds, load());
    let parts: [(&str, Part); 5] = [
        ("write", write::measure),
        ("read", read::measure),
        ("journal", journal::measure),
        ("backfill", backfill::measure),
        ("cutover", cutover::measure),
    ];
    for (name, part) in parts.into_iter().filter(|(name, _)| asked.only.as_deref().is_none_or(|only| only == *name)) {
        println!("\n## {name}\n");
        part(asked)?;
    }
    println!("\nload {}", load());
    Ok(())
}

/// The middle one.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds of the processor that this process has used.
fn cpu() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// Microseconds that this thread has been on a processor, which others' load does not lengthen much.
fn thread_cpu() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse::<f64>()? / 1e3)
}

/// The load averages of now.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

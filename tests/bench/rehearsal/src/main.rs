//! `rehearsal [--megabytes N] [--rounds N] [--place DIR]` measures, in one run, what an issue of this project asks for:
//! a rehearsal of a plan on a large database, snapshot + hash beside cp + fsync + b3sum, and the fingerprint of rows of
//! several sizes beside a plain read of every value. README.md of the benchmark says how to read it.

mod database;
mod fingerprint;
mod plan;
mod programs;
mod snapshot;

use std::path::PathBuf;
use std::process::ExitCode;

/// Whatever stands in the way of measuring.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is asked for.
#[derive(Debug)]
struct Asked {
    megabytes: u64,
    rounds: usize,
    place: PathBuf,
    /// One part alone.
    only: Option<String>,
}

impl Asked {
    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == part)
    }
}

fn main() -> ExitCode {
    match asked().and_then(|asked| measure(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rehearsal: {error}");
            ExitCode::from(2)
        }
    }
}

fn asked() -> Result<Asked> {
    let repository = programs::repository();
    let mut asked = Asked { megabytes: 1000, rounds: 5, place: repository.join("target/bench/rehearsal"), only: None };
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let mut value = || args.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--megabytes" => asked.megabytes = value()?.parse()?,
            "--rounds" => asked.rounds = value()?.parse::<usize>()?.max(1),
            "--only" => asked.only = Some(value()?),
            "--place" => asked.place = value()?.into(),
            _ => return Err(
                "usage: rehearsal [--megabytes N] [--rounds N] [--place DIR] [--only fingerprint|snapshot|rehearsal]"
                    .into(),
            ),
        }
    }
    Ok(asked)
}

fn measure(asked: &Asked) -> Result<()> {
    std::fs::create_dir_all(&asked.place)?;
    let root = asked.place.join("system");
    std::fs::create_dir_all(&root)?;
    let tier = database::tier(&root.join("tier1.db"), asked.megabytes)?;
    println!("database: {tier}; {}; load {}", programs::cores(), programs::load());

    if asked.wants("fingerprint") {
        println!("\n## fingerprint of the content, beside a read of every value ({} rounds)\n", asked.rounds);
        fingerprint::measure(asked)?;
    }
    if asked.wants("snapshot") {
        println!("\n## snapshot + hash, beside cp + fsync + b3sum ({} rounds, in turns)\n", asked.rounds);
        snapshot::measure(asked, &root, &programs::b3sum()?)?;
    }
    if asked.wants("rehearsal") {
        println!("\n## rehearsal\n");
        plan::rehearse(&programs::cutover()?, &root, &asked.place)?;
    }
    println!("\nload {}", programs::load());
    Ok(())
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// "1.23 (1.10–1.40)".
fn spread(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{:.digits$} ({least:.digits$}–{most:.digits$})", median(values.to_vec()))
}

//! `kv [--records N] [--rounds N] [--place DIR] [--only PART]` measures, in one run, what an issue of this project asks of
//! key-value storage: a backup parsed, imported into fjall and sled and exported again, and Badger's directories read,
//! with Debian's `badger restore` and `badger backup` beside it. README.md of the benchmark says how to read it.

mod children;
mod made;
mod measured;
mod parts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mimalloc::MiMalloc;

/// As the command has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Whatever stands in the way of measuring.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is asked for.
#[derive(Debug)]
struct Asked {
    records: u64,
    rounds: usize,
    place: PathBuf,
    only: Option<String>,
}

const USAGE: &str = "usage: kv [--records N] [--rounds N] [--place DIR] [--only parse|import|export|directory]";

impl Asked {
    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == part)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first() {
        // What is measured is a process of its own, whose memory is its own.
        Some((first, words)) if first == "child" => children::run(words),
        _ => asked(&words).and_then(|asked| measure(&asked)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv: {error}");
            ExitCode::from(2)
        }
    }
}

fn asked(words: &[String]) -> Result<Asked> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap_or(Path::new("."));
    let mut asked = Asked { records: 1_000_000, rounds: 3, place: repository.join("target/bench/kv"), only: None };
    let mut words = words.iter();
    while let Some(option) = words.next() {
        let mut value = || words.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--records" => asked.records = value()?.parse()?,
            "--rounds" => asked.rounds = value()?.parse::<usize>()?.max(1),
            "--place" => asked.place = value()?.into(),
            "--only" => asked.only = Some(value()?.clone()),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(asked)
}

fn measure(asked: &Asked) -> Result<()> {
    std::fs::create_dir_all(&asked.place)?;
    println!("{} keys with values of 100 to 200 bytes; {} rounds; load {}", asked.records, asked.rounds, load());
    parts::measure(asked)?;
    println!("\nload {}", load());
    Ok(())
}

/// The load averages of now.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

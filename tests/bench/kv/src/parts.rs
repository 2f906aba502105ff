//! The parts of the benchmark, and their table.

use std::path::Path;

use crate::made::{self, badger, megabytes, remove};
use crate::measured::{Rounds, Took, child, run};
use crate::{Asked, Result};

const ENGINES: [(&str, f64, f64); 2] = [("fjall", 0.7, 0.25), ("sled", 2.6, 0.4)];

/// Measures what is asked for, in turns, and prints it.
pub(crate) fn measure(asked: &Asked) -> Result<()> {
    let place = asked.place.as_path();
    let ours = made::backup(place, asked.records)?;
    let (folder, theirs) = (place.join("badger"), place.join("badger.bak"));
    let (mut restore, mut backup) = (Rounds::default(), Rounds::default());
    let (mut import, mut export) = ([Rounds::default(), Rounds::default()], [Rounds::default(), Rounds::default()]);
    for _ in 0..asked.rounds {
        remove(&folder)?;
        remove(&theirs)?;
        restore.0.push(run(&mut badger("restore", &folder, &ours))?);
        backup.0.push(run(&mut badger("backup", &folder, &theirs))?);
        for (at, (engine, ..)) in ENGINES.iter().enumerate() {
            let (store, file) = (place.join(engine), place.join(format!("{engine}.bak")));
            if asked.wants("import") || asked.wants("export") {
                remove(&store)?;
                import[at].0.push(ours_does(&["import", engine], &[&theirs, &store])?);
            }
            if asked.wants("export") {
                export[at].0.push(ours_does(&["export", engine], &[&store, &file])?);
                remove(&file)?;
            }
        }
    }
    let size = megabytes(&theirs)?;
    println!("\n`badger backup` wrote {size:.1} MB\n");
    println!("| | wall s | CPU s | RSS MiB | asked | measured |\n|---|---|---|---|---|---|");
    if asked.wants("parse") {
        let parse = rounds(asked, || ours_does(&["parse"], &[&theirs]))?;
        let (rate, met) = (size / parse.wall(), met(parse.wall() < 1.0 && parse.rss() < 40.0));
        row("parse that backup", &parse, "< 1 s, < 40 MiB", &format!("{rate:.0} MB/s; {met}"));
    }
    row("`badger restore`", &restore, "", "");
    for ((engine, cpu, rss), rounds) in ENGINES.iter().zip(&import).filter(|(_, rounds)| !rounds.0.is_empty()) {
        let (of_cpu, of_rss) = (rounds.cpu() / restore.cpu(), rounds.rss() / restore.rss());
        let met = met(of_cpu <= *cpu && of_rss <= *rss);
        let measured = format!("{of_cpu:.2} of its CPU, {of_rss:.2} of its RSS; {met}");
        row(&format!("import into {engine}"), rounds, &format!("≤ {cpu} CPU, ≤ {rss} RSS"), &measured);
    }
    row("`badger backup`", &backup, "", &format!("{:.0} MB/s", size / backup.wall()));
    for ((engine, ..), rounds) in ENGINES.iter().zip(&export).filter(|(_, rounds)| !rounds.0.is_empty()) {
        let (rate, met) = (size / rounds.wall(), met(rounds.wall() <= backup.wall()));
        row(&format!("export from {engine}"), rounds, "≥ its speed", &format!("{rate:.0} MB/s; {met}"));
    }
    if asked.wants("directory") {
        directories(asked, &folder, size)?;
    }
    Ok(())
}

/// Directories: what `badger restore` made, whose values lie in the log, and tables that hold them. What is counted is what
/// a backup of them takes, `size` megabytes: files hold more than that, or less.
fn directories(asked: &Asked, restored: &Path, size: f64) -> Result<()> {
    read(asked, "values in the log, as `badger restore` makes it", restored, size)?;
    for compression in ["none", "snappy", "zstd"] {
        let what = format!("values in tables, {compression}");
        match made::tables(&asked.place, asked.records, compression)? {
            Some(folder) => read(asked, &what, &folder, size)?,
            None => {
                println!("| read a directory: {what} | | | | | not measured: tests/peers/badger/build was not run |")
            }
        }
    }
    Ok(())
}

fn read(asked: &Asked, what: &str, folder: &Path, size: f64) -> Result<()> {
    let rounds = rounds(asked, || ours_does(&["read"], &[folder]))?;
    let (rate, by_cpu) = (size / rounds.wall(), size / rounds.cpu());
    let measured = format!("{rate:.0} MB/s of records, {by_cpu:.0} a CPU second; {}", met(rate >= 150.0));
    row(&format!("read a directory: {what}"), &rounds, "≥ 150 MB/s", &measured);
    Ok(())
}

fn rounds(asked: &Asked, mut once: impl FnMut() -> Result<Took>) -> Result<Rounds> {
    (0..asked.rounds).map(|_| once()).collect::<Result<_>>().map(Rounds)
}

fn ours_does(words: &[&str], paths: &[&Path]) -> Result<Took> {
    let words: Vec<_> =
        words.iter().map(|word| word.as_ref()).chain(paths.iter().map(|path| path.as_os_str())).collect();
    child(&words)
}

fn row(name: &str, rounds: &Rounds, asked: &str, measured: &str) {
    let (wall, cpu) = (rounds.spread(|took| took.wall), rounds.spread(|took| took.cpu));
    println!("| {name} | {wall} | {cpu} | {:.0} | {asked} | {measured} |", rounds.rss());
}

fn met(is: bool) -> &'static str {
    if is { "met" } else { "**missed**" }
}

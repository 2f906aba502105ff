//! A process and what it took.

use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4;

use crate::Result;

/// What one process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of all its threads on processors.
    pub(crate) cpu: f64,
    /// The most memory that it had, in MiB.
    pub(crate) rss: f64,
}

/// Runs a command to its end; anything but success is an error. This process is small and stays so: Linux counts what it
/// had before it became the command.
pub(crate) fn run(command: &mut Command) -> Result<Took> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn()?;
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        std::io::Read::read_to_string(&mut stderr, &mut said)?;
    }
    let used = child.wait4()?;
    let wall = start.elapsed().as_secs_f64();
    if !used.status.success() {
        return Err(format!("{command:?} ended with {}:\n{said}", used.status).into());
    }
    let cpu = (used.rusage.utime + used.rusage.stime).as_secs_f64();
    Ok(Took { wall, cpu, rss: used.rusage.maxrss as f64 / f64::from(1 << 20) })
}

/// This program, as one of its own children.
pub(crate) fn child(words: &[&std::ffi::OsStr]) -> Result<Took> {
    run(Command::new(std::env::current_exe()?).arg("child").args(words))
}

/// Rounds of one thing: medians and how far apart they are.
#[derive(Debug, Default)]
pub(crate) struct Rounds(pub(crate) Vec<Took>);

impl Rounds {
    pub(crate) fn wall(&self) -> f64 {
        median(self.0.iter().map(|took| took.wall))
    }

    pub(crate) fn cpu(&self) -> f64 {
        median(self.0.iter().map(|took| took.cpu))
    }

    /// The greatest of all rounds.
    pub(crate) fn rss(&self) -> f64 {
        self.0.iter().map(|took| took.rss).fold(0.0, f64::max)
    }

    /// "1.23 (1.10–1.40)" of the seconds.
    pub(crate) fn spread(&self, of: fn(&Took) -> f64) -> String {
        let least = self.0.iter().map(of).fold(f64::INFINITY, f64::min);
        let most = self.0.iter().map(of).fold(0.0, f64::max);
        format!("{:.2} ({least:.2}–{most:.2})", median(self.0.iter().map(of)))
    }
}

/// The middle one.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

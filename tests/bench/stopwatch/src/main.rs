//! `stopwatch LOG COMMAND [ARG..]` runs one command, its output into LOG, and prints one JSON line about it.
//!
//! A process of its own because Linux counts what a process held *before* it became the command (`ru_maxrss` survives
//! exec): started from Python, everything would seem to need at least Python's memory. This one is small.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use wait4::Wait4;

fn main() -> ExitCode {
    match measure() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stopwatch: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure() -> std::io::Result<String> {
    let mut args = std::env::args_os().skip(1);
    let (Some(log), Some(program)) = (args.next(), args.next()) else {
        return Err(Error::new(ErrorKind::InvalidInput, "usage: stopwatch LOG COMMAND [ARG..]"));
    };
    let log = File::create(log)?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);

    let start = Instant::now();
    let used = command.spawn()?.wait4()?;
    let wall = start.elapsed();

    let cpu = used.rusage.utime + used.rusage.stime;
    Ok(format!(
        r#"{{"wall": {}, "cpu": {}, "rss": {}, "code": {}}}"#,
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        used.rusage.maxrss,
        // A command that a signal ended has no code; the harness wants to see a failure.
        used.status.code().unwrap_or(-1),
    ))
}

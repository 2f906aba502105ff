//! The programs that are measured: built or installed by name, run as children.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// The version of b3sum: that of the `blake3` crate in the product.
const B3SUM: &str = "1.8.7";

/// The repository that this benchmark lies in.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap_or(Path::new(".")).to_owned()
}

/// The released program, built when it is stale.
pub(crate) fn cutover() -> Result<PathBuf> {
    let arguments = ["build", "--release", "--locked", "--quiet", "--package", "cutover-runner"];
    run(Command::new("cargo").args(arguments).current_dir(repository()))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    Ok(target.join("release/cutover"))
}

/// b3sum from crates.io, installed once.
pub(crate) fn b3sum() -> Result<PathBuf> {
    let root = repository().join("target/bench/installed/cargo");
    let arguments = ["install", "b3sum", "--version", B3SUM, "--locked", "--quiet", "--root"];
    run(Command::new("cargo").args(arguments).arg(&root).current_dir(repository()))?;
    Ok(root.join("bin/b3sum"))
}

/// Runs `command` to its end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let ran = command.stdin(Stdio::null()).output()?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    Err(format!("{command:?} ended with {}:\n{}", ran.status, String::from_utf8_lossy(&ran.stderr)).into())
}

/// "2 cores".
pub(crate) fn cores() -> String {
    std::thread::available_parallelism().map_or_else(|_| "unknown cores".to_owned(), |n| format!("{n} cores"))
}

/// The load averages of now.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

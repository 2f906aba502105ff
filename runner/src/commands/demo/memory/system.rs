//! The system of the demo, and the operator's script that starts, stops and asks its programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cutover_demo::memory::program::Entry;
use cutover_demo::memory::{self, SEED};

use super::{PLAN, RECORDS};
use crate::cli::Out;
use crate::demo;
use crate::error::{Result, RunnerError};
use crate::session::shell_words;

/// Where the program's own path is put, and Badger's.
const PROGRAMS: &str = "bin/programs";

/// Builds the system of a shape, with its memory in place and nobody running; without a shape with Badger, where it is there.
pub(super) fn build(shape: Option<&str>, root: &Path, out: &Out) -> Result<()> {
    let badger = badger();
    let shape = shape.unwrap_or(if badger.is_some() { "badger" } else { "stand-in" });
    demo::build(PLAN, shape, root)?;
    let cutover = std::env::current_exe().map_err(|e| RunnerError::io("the program's own file", e))?;
    let badger = match (shape, badger) {
        ("badger", None) => {
            return Err(RunnerError::usage("there is no Badger on this machine").with_help(
                "`tests/peers/badger/build` makes one of Debian's packages, `CUTOVER_BADGER` names it; or `--shape stand-in`",
            ));
        }
        (_, badger) => badger.unwrap_or_default(),
    };
    let file = root.join(PROGRAMS);
    let doing = |e| RunnerError::io(format!("`{}`", file.display()), e);
    let text = fs::read_to_string(&file).map_err(doing)?;
    let text = text.replace("@CUTOVER@", &word(&cutover)).replace("@BADGER@", &word(&badger));
    fs::write(&file, text).map_err(doing)?;
    let records = memory::records(SEED, RECORDS);
    let backup = root.join("data/made.bak");
    let doing = |e| RunnerError::io(format!("`{}`", backup.display()), e);
    fs::create_dir_all(root.join("data")).map_err(doing)?;
    let bytes = memory::backup(&records).map_err(|e| RunnerError::internal(format!("the memory: {e}")))?;
    fs::write(&backup, bytes).map_err(doing)?;
    let system = Commands { root: root.to_owned() };
    system.say(&["v1", "load"], Some(&backup))?;
    fs::remove_file(&backup).map_err(doing)?;
    out.print(&format!(
        "built the version-1 system of {PLAN}, shape {shape}, in {}: {} records in {}\n",
        root.display(),
        records.len(),
        if shape == "badger" { "Badger" } else { "sled, which stands for Badger: that is not on this machine" },
    ));
    Ok(())
}

/// Badger's program: the one that is named, or the one that the tests build beside this program.
fn badger() -> Option<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("peers/badger"));
    std::env::var_os("CUTOVER_BADGER").map(PathBuf::from).or_else(beside).filter(|path| path.is_file())
}

fn word(path: &Path) -> String {
    shell_words([path.to_string_lossy()])
}

/// The operator's script of the system.
pub(super) struct Commands {
    pub(super) root: PathBuf,
}

impl Commands {
    /// What `sh bin/memory WORDS` prints.
    pub(super) fn say(&self, words: &[&str], input: Option<&Path>) -> Result<Vec<u8>> {
        let doing = || format!("`sh bin/memory {}`", words.join(" "));
        let input = match input {
            Some(path) => Stdio::from(File::open(path).map_err(|e| RunnerError::io(doing(), e))?),
            None => Stdio::null(),
        };
        let mut command = Command::new("sh");
        command.arg("bin/memory").args(words).current_dir(&self.root).stdin(input);
        let ran = command.output().map_err(|e| RunnerError::io(doing(), e))?;
        match ran.status.success() {
            true => Ok(ran.stdout),
            false => {
                let why = String::from_utf8_lossy(&ran.stderr).trim_end().to_owned();
                Err(RunnerError::internal(format!("{}: {}: {why}", doing(), ran.status)))
            }
        }
    }

    /// What the living program has committed so far.
    pub(super) fn written(&self) -> Result<Vec<Entry>> {
        Entry::read(&self.root.join("run/written.jsonl")).map_err(|e| RunnerError::internal(format!("the log: {e}")))
    }

    /// Behind how many of these each program began to write, in turn.
    pub(super) fn starts(&self) -> Result<Vec<usize>> {
        let path = self.root.join("run/starts");
        let text = fs::read_to_string(&path).map_err(|e| RunnerError::io(format!("`{}`", path.display()), e))?;
        let of = |line: &str| line.split_whitespace().last().and_then(|count| count.parse().ok());
        let wrong = |line: &str| RunnerError::internal(format!("`{}`: `{line}` is no start", path.display()));
        text.lines().map(|line| of(line).ok_or_else(|| wrong(line))).collect()
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        for generation in ["v1", "v2"] {
            let _ = self.say(&[generation, "stop"], None);
        }
    }
}

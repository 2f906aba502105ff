//! The example plans that travel inside the program, and the version-1 systems that they migrate.
//!
//! A plan's folder holds `demo/common/` and one folder per shape of its system. They are laid into a root one over the
//! other: first the common part, then the shape that a file `BASE` names, then the shape itself. A file `X.db.sql` is
//! not copied but run by SQLite on the database `X.db` (an empty one makes a file of zero bytes).

use std::fs;
use std::path::{Path, PathBuf};

use include_dir::{Dir, DirEntry, include_dir};

use crate::error::{Result, RunnerError};

static PLANS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plans");

const COMMON: &str = "common";
const BASE: &str = "BASE";
const SQL: &str = ".db.sql";

/// The names of the plans with a demo.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = PLANS
        .dirs()
        .filter(|d| d.get_file(d.path().join("plan.toml")).is_some() && d.get_dir(d.path().join("demo")).is_some())
        .filter_map(|d| Some(d.path().file_name()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// The shapes of a plan's system; the first is the default.
pub fn shapes(plan: &str) -> Result<Vec<String>> {
    let demo = PLANS.get_dir(format!("{plan}/demo")).ok_or_else(|| unknown_plan(plan))?;
    let mut shapes: Vec<String> = demo
        .dirs()
        .filter_map(|d| Some(d.path().file_name()?.to_string_lossy().into_owned()))
        .filter(|n| n != COMMON)
        .collect();
    shapes.sort();
    Ok(shapes)
}

/// Writes the plan's own folder (without its demo systems) into `dir` and returns the plan file.
pub fn write_plan(plan: &str, dir: &Path) -> Result<PathBuf> {
    let folder = PLANS.get_dir(plan).ok_or_else(|| unknown_plan(plan))?;
    for entry in folder.entries() {
        if entry.path().file_name().is_some_and(|n| n == "demo") {
            continue;
        }
        copy(entry, folder.path(), dir)?;
    }
    Ok(dir.join("plan.toml"))
}

/// Builds the plan's version-1 system of that shape in `dir`, which must be empty or not there yet.
pub fn build(plan: &str, shape: &str, dir: &Path) -> Result<()> {
    let known = shapes(plan)?;
    if !known.iter().any(|s| s == shape) {
        let help = format!("its shapes: {}", known.join(", "));
        return Err(RunnerError::usage(format!("the demo of `{plan}` has no shape `{shape}`")).with_help(help));
    }
    if dir.exists() && fs::read_dir(dir).map_err(|e| io(dir, &e))?.next().is_some() {
        return Err(RunnerError::usage(format!("`{}` is not empty", dir.display()))
            .with_help("name a folder that is empty or not there yet"));
    }
    fs::create_dir_all(dir).map_err(|e| io(dir, &e))?;
    let base = PLANS.get_file(format!("{plan}/demo/{shape}/{BASE}")).and_then(|f| f.contents_utf8());
    for part in [Some(COMMON), base.map(str::trim), Some(shape)].into_iter().flatten() {
        if let Some(folder) = PLANS.get_dir(format!("{plan}/demo/{part}")) {
            for entry in folder.entries().iter().filter(|e| e.path().file_name().is_none_or(|n| n != BASE)) {
                copy(entry, folder.path(), dir)?;
            }
        }
    }
    Ok(())
}

fn copy(entry: &DirEntry<'_>, from: &Path, into: &Path) -> Result<()> {
    let relative = entry.path().strip_prefix(from).unwrap_or(entry.path());
    let to = into.join(relative);
    match entry {
        DirEntry::Dir(folder) => {
            fs::create_dir_all(&to).map_err(|e| io(&to, &e))?;
            folder.entries().iter().try_for_each(|e| copy(e, from, into))
        }
        DirEntry::File(file) => {
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(|e| io(parent, &e))?;
            }
            match to.to_string_lossy().strip_suffix(SQL) {
                Some(stem) => make_database(Path::new(&format!("{stem}.db")), file.contents()),
                None => fs::write(&to, file.contents()).map_err(|e| io(&to, &e)),
            }
        }
    }
}

fn make_database(path: &Path, script: &[u8]) -> Result<()> {
    let script = String::from_utf8_lossy(script);
    if script.trim().is_empty() {
        return fs::write(path, b"").map_err(|e| io(path, &e));
    }
    let run = || -> rusqlite::Result<()> {
        let connection = rusqlite::Connection::open(path)?;
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "synchronous", "off")?;
        connection.execute_batch(&script)?;
        Ok(())
    };
    run().map_err(|e| RunnerError::internal(format!("making `{}`: {e}", path.display())))
}

fn io(path: &Path, error: &std::io::Error) -> RunnerError {
    RunnerError::io(format!("`{}`", path.display()), error)
}

fn unknown_plan(plan: &str) -> RunnerError {
    RunnerError::usage(format!("there is no demo `{plan}`")).with_help(format!("demos: {}", names().join(", ")))
}

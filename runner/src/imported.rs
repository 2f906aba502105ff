//! The plan folder that a history of another tool becomes: a phase with one script for each migration.
//!
//! Owns its text and how it is written beside what is there. It is the same for the same migrations, whatever database
//! they were applied to, so that one plan serves all of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::builtin::import::{Folder, Migration, Script};
use crate::error::{Result, RunnerError};

/// The plan itself.
const PLAN: &str = "plan.toml";

/// A file of the plan: its path in the plan's folder, and its text.
type PlanFile = (PathBuf, String);

/// A migration as a step of the plan.
#[derive(Debug)]
pub(crate) struct Step<'f> {
    /// Its id; in small letters its phase's name.
    pub id: String,
    pub migration: &'f Migration,
}

/// The migrations with the ids of their steps.
pub(crate) fn steps(folder: &Folder) -> Result<Vec<Step<'_>>> {
    let mut seen = BTreeSet::new();
    let mut steps = Vec::with_capacity(folder.migrations.len());
    for migration in &folder.migrations {
        let id = named(&migration.name);
        if !seen.insert(id.to_ascii_lowercase()) {
            let message = format!("two migrations would become one step, `{id}`: `{}` is one of them", migration.file);
            return Err(RunnerError::usage(message).with_help("their names differ in signs only: rename one of them"));
        }
        steps.push(Step { id, migration });
    }
    Ok(steps)
}

/// The name of a migration in the letters that names of plans are made of.
pub(crate) fn named(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let mut text: String = name.chars().map(plain).collect();
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        text.insert(0, 'm');
    }
    text.truncate(100);
    text
}

/// Every file of the plan `name` on a database at `path` below the root.
pub(crate) fn files(folder: &Folder, steps: &[Step<'_>], name: &str, path: &str) -> Vec<PlanFile> {
    let tool = folder.tool;
    let path = toml::Value::String(path.to_owned());
    let mut text = format!(
        "# Imported from {tool}: a phase for each migration, so that `cutover rollback` undoes the last one.\n\
         name = \"{name}\"\nsummary = \"The migrations of {tool}\"\n\n[targets.db]\nkind = \"sqlite\"\npath = {path}\n"
    );
    let mut files = Vec::new();
    for Step { id, migration } in steps {
        let up = format!("sql/{id}.up.sql");
        let back = match &migration.down {
            Some(_) => format!("down = \"sql/{id}.down.sql\""),
            None => "one-way = true".to_owned(),
        };
        text.push_str(&format!(
            "\n[[phase]]\nname = \"{}\"\nlayer = \"storage\"\n\n[[phase.step]]\nid = \"{id}\"\nuse = \"sqlite.script\"\n\
             target = \"db\"\n",
            id.to_ascii_lowercase()
        ));
        if let Some(why) = migration.one_way.as_ref().filter(|_| migration.down.is_none()) {
            let why = toml::Value::String(format!("the migration {why}"));
            text.push_str(&format!("irreversible = {why}\n"));
        }
        text.push_str(&format!("with = {{ up = \"{up}\", {back} }}\n"));
        files.push((PathBuf::from(up), migration.up.text.clone()));
        if let Some(Script { text, .. }) = &migration.down {
            files.push((PathBuf::from(format!("sql/{id}.down.sql")), text.clone()));
        }
    }
    files.push((PathBuf::from(PLAN), text));
    files
}

/// Writes the files into `dir`: a folder that is empty or not there yet, or one that holds this plan, or its beginning (the
/// history grew, or an import was broken off). Whether it wrote any.
pub(crate) fn write(dir: &Path, files: &[PlanFile]) -> Result<bool> {
    let failed = |path: &Path, e: std::io::Error| RunnerError::io(format!("`{}`", path.display()), e);
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == ErrorKind::NotFound => true,
        Err(e) => return Err(failed(dir, e)),
    };
    let mut missing = Vec::new();
    let refused = |why: String| {
        Err(RunnerError::usage(format!("`{}` is not empty, and does not hold this plan: {why}", dir.display()))
            .with_help("name an empty folder with `--out`, or one that an import of this history wrote"))
    };
    for (path, text) in files {
        let there = match fs::read(dir.join(path)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                missing.push((path, text));
                continue;
            }
            Err(e) => return Err(failed(&dir.join(path), e)),
        };
        // A plan grows at its end only.
        let grew = path == Path::new(PLAN) && text.as_bytes().starts_with(&there);
        if there == text.as_bytes() {
            continue;
        } else if !grew {
            return refused(format!("`{}` is another", path.display()));
        }
        missing.push((path, text));
    }
    if !empty && missing.len() == files.len() {
        return refused(format!("`{PLAN}` is missing"));
    }
    // The plan comes last: without it a folder is no plan, and with it every script is there.
    for (path, text) in &missing {
        let full = dir.join(path);
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
        }
        fs::write(&full, text).map_err(|e| failed(&full, e))?;
    }
    Ok(!missing.is_empty())
}

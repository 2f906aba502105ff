//! What `cutover new` writes: a step crate in a workspace of its own, or a small plan that runs.
//!
//! Owns the templates (real files under `template/`, written for the names `acme-steps` and `first-plan`) and the
//! rules for names and folders. Knows nothing of the command line.

mod name;
mod source;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub(crate) use source::CutoverSource;

/// A template: where it goes, and its text.
type Template = (&'static str, &'static str);

macro_rules! templates {
    ($folder:literal: $($path:literal = $file:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("template/", $folder, "/", $file)))),*]
    };
}

const STEP_CRATE: &[Template] = templates!("step-crate":
    "Cargo.toml" = "Cargo.toml",
    "README.md" = "README.md",
    ".gitignore" = "gitignore",
    "src/lib.rs" = "src/lib.rs",
    "src/main.rs" = "src/main.rs",
    "src/touch.rs" = "src/touch.rs",
    "tests/conformance.rs" = "tests/conformance.rs",
    "plans/hello/plan.toml" = "plans/hello/plan.toml",
);

const PLAN: &[Template] = templates!("plan":
    "plan.toml" = "plan.toml",
    "sql/notes.sql" = "sql/notes.sql",
    "sql/notes.down.sql" = "sql/notes.down.sql",
);

/// The name that the templates of a step crate are written for, and the folder of Cutover in them.
const CRATE_NAME: &str = "acme-steps";
const CHECKOUT: &str = "/path/to/cutover";
/// The name that the template of a plan is written for.
const PLAN_NAME: &str = "first-plan";

/// Why nothing was written.
#[derive(Debug, Error)]
pub(crate) enum NewError {
    /// The name cannot be used.
    #[error("`{name}` cannot be the name of {what}: {why}")]
    Name {
        /// As given.
        name: String,
        /// "a crate", "a plan".
        what: &'static str,
        /// The rule it breaks.
        why: String,
    },
    /// There is something in the folder.
    #[error("`{}` is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// There is a file where the folder should be.
    #[error("`{}` is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Cutover's own sources are not where they should be.
    #[error("no checkout of Cutover in `{}`: it has no `{missing}`", folder.display())]
    NoCheckout {
        /// Where it was looked for.
        folder: PathBuf,
        /// The first file that is not there.
        missing: &'static str,
    },
    /// The disk said no.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl NewError {
    /// What to do next.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::Name { .. } => "use small letters, digits, `-` and `_`, beginning with a letter",
            Self::NotEmpty(_) | Self::NotAFolder(_) => "name a folder that is empty or not there yet",
            Self::NoCheckout { .. } => "clone Cutover and name that folder with `--cutover DIR`",
            Self::Io { .. } => "check the folder's owner and mode, and the space that is left",
        }
    }
}

/// Writes a crate with one step, its conformance test, a plan and a runner. The files written, relative to `dir`.
pub(crate) fn step_crate(name: &str, dir: &Path, cutover: &CutoverSource) -> Result<Vec<PathBuf>, NewError> {
    name::check_crate(name)?;
    let fill = |(path, text): &Template| (PathBuf::from(path), crate_text(path, text, name, cutover));
    let mut files: Vec<_> = STEP_CRATE.iter().map(fill).collect();
    if let Some(lock) = cutover.lock()? {
        // The versions that Cutover itself is tested with; cargo drops what this crate does not need.
        files.push((PathBuf::from("Cargo.lock"), lock));
    }
    write_all(dir, files)
}

/// Writes a small commented plan, its SQL, and an empty database that it runs on. `schema` is what
/// `cutover steps --schema` prints. The files written, relative to `dir`.
pub(crate) fn plan(name: &str, dir: &Path, schema: &str) -> Result<Vec<PathBuf>, NewError> {
    name::check_plan(name)?;
    let fill = |(path, text): &Template| (PathBuf::from(path), text.replace(PLAN_NAME, name));
    let mut files: Vec<_> = PLAN.iter().map(fill).collect();
    files.push((PathBuf::from("plan.schema.json"), schema.to_owned()));
    files.push((PathBuf::from("app.db"), String::new()));
    write_all(dir, files)
}

/// A template's text for this name and this checkout.
fn crate_text(path: &str, text: &str, name: &str, cutover: &CutoverSource) -> String {
    let text = text.replace(CRATE_NAME, name).replace(&ident(CRATE_NAME), &ident(name));
    if path.ends_with(".toml") {
        ["core", "runner", "tests"].iter().fold(text, |text, part| {
            let path = toml::Value::String(cutover.folder().join(part).display().to_string());
            text.replace(&format!("\"{CHECKOUT}/{part}\""), &path.to_string())
        })
    } else {
        text.replace(CHECKOUT, &cutover.folder().display().to_string())
    }
}

/// The crate's name in Rust code.
fn ident(name: &str) -> String {
    name.replace('-', "_")
}

/// Writes every file, or refuses before the first if anything is in the way.
fn write_all(dir: &Path, files: Vec<(PathBuf, String)>) -> Result<Vec<PathBuf>, NewError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| NewError::Io { path, source }
    };
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(NewError::NotEmpty(dir.to_owned())),
        Err(e) if e.kind() == ErrorKind::NotADirectory => return Err(NewError::NotAFolder(dir.to_owned())),
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(dir)(e)),
        _ => {}
    }
    let mut written = Vec::with_capacity(files.len());
    for (path, text) in files {
        let full = dir.join(&path);
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        fs::write(&full, text).map_err(failed(&full))?;
        written.push(path);
    }
    written.sort();
    Ok(written)
}

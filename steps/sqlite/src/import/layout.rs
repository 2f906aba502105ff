//! Whose folder it is, and its files as migrations.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cutover_core::StepError;

use super::clean::cleaned;
use super::sections::{Marks, cut};
use super::{Migration, Script, Tool, history};

/// What `--from` may say, with the names that go with it.
pub(super) const FORMS: &str = "known are `1_name.up.sql` with `1_name.down.sql` (golang-migrate, sqlx), `1_name.sql` (sqlx), \
     `1_name.sql` with `-- migrate:up` (dbmate) or `-- +goose Up` (goose), `V1__name.sql` (refinery) and folders with `up.sql` \
     (diesel); `--from TOOL` says whose it is";

/// A name in the folder.
#[derive(Debug)]
pub(super) enum Entry {
    /// A file that ends with `.sql`.
    Sql(String),
    /// A folder with an `up.sql`.
    Folder(String),
}

/// What is in the folder, sorted; other names are none of ours.
pub(super) fn entries(dir: &Path) -> Result<Vec<Entry>, StepError> {
    let unreadable = |e: std::io::Error| {
        StepError::failed(format!("`{}` cannot be read: {e}", dir.display()))
            .with_help("name the folder of the migrations")
    };
    let mut names: Vec<(String, bool)> = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push((name, entry.path().is_dir()));
        }
    }
    names.sort();
    let known = names.into_iter().filter_map(|(name, is_folder)| {
        if is_folder {
            return dir.join(&name).join("up.sql").is_file().then_some(Entry::Folder(name));
        }
        name.ends_with(".sql").then_some(Entry::Sql(name))
    });
    Ok(known.collect())
}

/// Whose the folder is.
pub(super) fn tool(dir: &Path, entries: &[Entry], database: Option<&Path>) -> Result<Tool, StepError> {
    let mut found: BTreeSet<Tool> = BTreeSet::new();
    for entry in entries {
        let Entry::Sql(name) = entry else {
            found.insert(Tool::Diesel);
            continue;
        };
        if refinery(name).is_some() {
            found.insert(Tool::Refinery);
        } else if name.ends_with(".up.sql") || name.ends_with(".down.sql") {
            found.extend([Tool::GolangMigrate, Tool::Sqlx]);
        } else if numbered(name).is_some() {
            let text = read(dir, name)?;
            found.insert(match Marks::of(&text) {
                Some(Marks::Dbmate) => Tool::Dbmate,
                Some(Marks::Goose) => Tool::Goose,
                None => Tool::Sqlx,
            });
        }
    }
    let mut candidates: Vec<Tool> = found.into_iter().collect();
    // The names are the same; the tables are not.
    if let ([Tool::GolangMigrate, Tool::Sqlx], Some(database)) = (candidates.as_slice(), database) {
        candidates.retain(|tool| history::is_there(*tool, database).unwrap_or(true));
    }
    let shown = dir.display();
    match candidates.as_slice() {
        [one] => Ok(*one),
        [] => Err(StepError::failed(format!("nothing in `{shown}` is named like a migration")).with_help(FORMS)),
        many => {
            let names: Vec<&str> = many.iter().map(|tool| tool.name()).collect();
            let help = format!("say whose they are: `--from {}`", names.join("` or `--from "));
            Err(StepError::failed(format!("the files of `{shown}` fit {}", names.join(" and "))).with_help(help))
        }
    }
}

/// The folder's migrations, in no order yet.
pub(super) fn migrations(dir: &Path, tool: Tool, entries: &[Entry]) -> Result<Vec<Migration>, StepError> {
    let mut downs: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries {
        if let Entry::Sql(name) = entry
            && let Some(stem) = name.strip_suffix(".down.sql")
        {
            downs.insert(stem.to_owned(), name.clone());
        }
    }
    let mut all = Vec::new();
    for entry in entries {
        let made = match (tool, entry) {
            (Tool::Diesel, Entry::Folder(name)) => {
                let digits: String = name.split('_').next().unwrap_or(name).replace('-', "");
                let down = dir.join(name).join("down.sql").is_file().then(|| format!("{name}/down.sql"));
                Some(pair(dir, tool, version(&digits, name)?, name, format!("{name}/up.sql"), down.as_deref())?)
            }
            (Tool::GolangMigrate | Tool::Sqlx, Entry::Sql(name)) if name.ends_with(".up.sql") => {
                let stem = name.strip_suffix(".up.sql").unwrap_or(name);
                match numbered(stem) {
                    Some(digits) => {
                        let down = downs.remove(stem);
                        Some(pair(dir, tool, version(digits, name)?, stem, name.clone(), down.as_deref())?)
                    }
                    None => None,
                }
            }
            (Tool::Sqlx, Entry::Sql(name)) if !name.ends_with(".down.sql") => match numbered(name) {
                Some(digits) => {
                    let stem = name.strip_suffix(".sql").unwrap_or(name);
                    Some(pair(dir, tool, version(digits, name)?, stem, name.clone(), None)?)
                }
                None => None,
            },
            (Tool::Refinery, Entry::Sql(name)) => match refinery(name) {
                Some(digits) => {
                    let stem = name.strip_suffix(".sql").unwrap_or(name);
                    Some(pair(dir, tool, version(digits, name)?, stem, name.clone(), None)?)
                }
                None => None,
            },
            (Tool::Dbmate | Tool::Goose, Entry::Sql(name)) => match numbered(name) {
                Some(digits) => Some(marked(dir, tool, version(digits, name)?, name)?),
                None => None,
            },
            _ => None,
        };
        all.extend(made);
    }
    if let (Tool::GolangMigrate | Tool::Sqlx, Some((_, name))) = (tool, downs.first_key_value()) {
        return Err(StepError::failed(format!("`{name}` has no file that it would undo"))
            .with_help("add its `.up.sql`, or take it away"));
    }
    Ok(all)
}

/// A migration of two files, or of one that goes forward.
fn pair(
    dir: &Path,
    tool: Tool,
    version: u128,
    name: &str,
    file: String,
    down: Option<&str>,
) -> Result<Migration, StepError> {
    let source = read(dir, &file)?;
    let (up, _) = cleaned(&file, &source)?;
    let back = match down {
        Some(path) => Some(cleaned(path, &read(dir, path)?)?),
        None => None,
    };
    let one_way = match (&back, down) {
        (None, _) if tool == Tool::Refinery => Some("is of refinery, which has no down scripts".to_owned()),
        (None, _) => Some("has no down script".to_owned()),
        (Some((_, true)), Some(path)) => Some(format!("has no statement in `{path}`")),
        _ => None,
    };
    let down = back.and_then(|(script, empty)| (!empty).then_some(script));
    Ok(Migration { version, name: name.to_owned(), file, up, down, one_way, source: source.into_bytes() })
}

/// A migration of one file with marks.
fn marked(dir: &Path, tool: Tool, version: u128, file: &str) -> Result<Migration, StepError> {
    let source = read(dir, file)?;
    let marks = if tool == Tool::Dbmate { Marks::Dbmate } else { Marks::Goose };
    let (up, down) = cut(file, &source, marks)?;
    let (up, _) = cleaned(file, &up)?;
    let down = down.map(|down| cleaned(file, &down)).transpose()?;
    let one_way = match &down {
        None => Some("has no part that goes back".to_owned()),
        Some((_, true)) => Some("has no statement in the part that goes back".to_owned()),
        Some(_) => None,
    };
    let down: Option<Script> = down.and_then(|(script, empty)| (!empty).then_some(script));
    let name = file.strip_suffix(".sql").unwrap_or(file).to_owned();
    Ok(Migration { version, name, file: file.to_owned(), up, down, one_way, source: source.into_bytes() })
}

fn read(dir: &Path, file: &str) -> Result<String, StepError> {
    let path = dir.join(file);
    let bytes = fs::read(&path).map_err(|e| StepError::failed(format!("`{}` cannot be read: {e}", path.display())))?;
    String::from_utf8(bytes)
        .map_err(|_| StepError::failed(format!("`{}` is not UTF-8", path.display())).with_help("save it as UTF-8"))
}

/// The digits at the start of `1_name`.
fn numbered(name: &str) -> Option<&str> {
    let end = name.find(|c: char| !c.is_ascii_digit())?;
    (end > 0 && matches!(name.as_bytes()[end], b'_' | b'-' | b'.')).then(|| &name[..end])
}

/// The digits of `V1__name.sql`.
fn refinery(name: &str) -> Option<&str> {
    let (digits, rest) = name.strip_prefix(['V', 'U'])?.split_once("__")?;
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (number && rest.len() > ".sql".len() && rest.ends_with(".sql")).then_some(digits)
}

fn version(digits: &str, name: &str) -> Result<u128, StepError> {
    digits.parse().map_err(|_| {
        StepError::failed(format!("`{name}` begins with no version that is a number"))
            .with_help("rename it as the tool would have named it, or take it out of the folder")
    })
}

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
    /// A program in the language of a tool that runs programs as migrations, too.
    Program(String),
}

/// The tools that run programs as migrations, with the ending of these. The others run SQL alone.
const PROGRAMS: [(Tool, &str); 2] = [(Tool::Goose, ".go"), (Tool::Refinery, ".rs")];

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
            let holds = |file: &str| dir.join(&name).join(file).is_file();
            return holds("up.sql").then_some(Entry::Folder(name));
        }
        if name.ends_with(".sql") {
            return Some(Entry::Sql(name));
        }
        is_program(&name).then_some(Entry::Program(name))
    });
    Ok(known.collect())
}

fn is_program(name: &str) -> bool {
    // Go keeps its tests beside what they test.
    !name.ends_with("_test.go") && PROGRAMS.iter().any(|(_, ending)| name.ends_with(ending))
}

/// Refuses a folder in which programs are named as `tool` names its migrations (of any tool, where it is not known whose
/// the folder is): without them the history would have holes.
pub(super) fn refuse_programs(entries: &[Entry], tool: Option<Tool>) -> Result<(), StepError> {
    let in_order = |name: &str| numbered(name).is_some_and(|digits| name[digits.len()..].starts_with(['_', '-']));
    let named = |name: &str| {
        let mut of =
            PROGRAMS.iter().filter(|(of, ending)| tool.is_none_or(|tool| tool == *of) && name.ends_with(ending));
        of.any(|(of, _)| if *of == Tool::Refinery { versioned(name).is_some() } else { in_order(name) })
    };
    let programs: Vec<String> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Program(name) if named(name) => Some(format!("`{name}`")),
            _ => None,
        })
        .collect();
    let (list, one) = (programs.join(", "), programs.len() == 1);
    if programs.is_empty() {
        return Ok(());
    }
    let is = if one { "is a program" } else { "are programs" };
    let text = match tool {
        // Its table keeps a checksum of the text that the program returned.
        Some(Tool::Refinery) => ", with the very text that the program returns",
        _ => "",
    };
    let message =
        format!("{list} {is}: what a program does cannot become a step of SQL, and the plan would leave it out");
    Err(StepError::failed(message).with_help(format!(
        "write what it does as an SQL migration of the same number in its place{text}; or, where no database has applied it \
         yet, take it out of the folder and write a step of your own for it. Then import again; nothing was written"
    )))
}

/// Whose the folder is.
pub(super) fn tool(dir: &Path, entries: &[Entry], database: Option<&Path>) -> Result<Tool, StepError> {
    let mut found: BTreeSet<Tool> = BTreeSet::new();
    for entry in entries {
        let name = match entry {
            Entry::Sql(name) => name,
            Entry::Folder(_) => {
                found.insert(Tool::Diesel);
                continue;
            }
            Entry::Program(_) => continue,
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
        [] => refuse_programs(entries, None).and_then(|()| {
            Err(StepError::failed(format!("nothing in `{shown}` is named like a migration")).with_help(FORMS))
        }),
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
    let down_source = down.map(|path| read(dir, path)).transpose()?;
    let back = match (down, &down_source) {
        (Some(path), Some(text)) => Some(cleaned(path, text)?),
        _ => None,
    };
    let untied = match tool {
        Tool::Diesel => untied_folder(&dir.join(name))?,
        Tool::Sqlx => [Some(&source), down_source.as_ref()].into_iter().flatten().find_map(|text| untied_file(text)),
        _ => None,
    };
    let one_way = match (&back, down) {
        (None, _) if tool == Tool::Refinery => Some("is of refinery, which has no down scripts".to_owned()),
        (None, _) => Some("has no down script".to_owned()),
        (Some((_, true)), Some(path)) => Some(format!("has no statement in `{path}`")),
        _ => None,
    };
    let down = back.and_then(|(script, empty)| (!empty).then_some(script));
    Ok(Migration { version, name: name.to_owned(), file, up, down, one_way, untied, source: source.into_bytes() })
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
    let untied = marks.untied(&source);
    Ok(Migration { version, name, file: file.to_owned(), up, down, one_way, untied, source: source.into_bytes() })
}

/// sqlx looks at the very beginning of a file.
fn untied_file(text: &str) -> Option<&'static str> {
    const MARK: &str = "-- no-transaction";
    text.starts_with(MARK).then_some(MARK)
}

/// diesel keeps it beside the scripts.
fn untied_folder(dir: &Path) -> Result<Option<&'static str>, StepError> {
    const FILE: &str = "metadata.toml";
    if !dir.join(FILE).is_file() {
        return Ok(None);
    }
    let text = read(dir, FILE)?;
    // The one key that it has; a comment is no key.
    let said = text.lines().filter_map(|line| line.split('#').next()?.split_once('='));
    let mut said = said.filter(|(key, value)| key.trim() == "run_in_transaction" && value.trim() == "false");
    Ok(said.next().map(|_| "run_in_transaction = false"))
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
    let (digits, rest) = versioned(name)?;
    (rest.len() > ".sql".len() && rest.ends_with(".sql")).then_some(digits)
}

/// The digits of `V1__name`, and what is behind the lines.
fn versioned(name: &str) -> Option<(&str, &str)> {
    let (digits, rest) = name.strip_prefix(['V', 'U'])?.split_once("__")?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((digits, rest))
}

fn version(digits: &str, name: &str) -> Result<u128, StepError> {
    digits.parse().map_err(|_| {
        StepError::failed(format!("`{name}` begins with no version that is a number"))
            .with_help("rename it as the tool would have named it, or take it out of the folder")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Folder;

    /// A folder with these files, read as that of `from`.
    fn folder(files: &[(&str, &str)], from: Option<Tool>) -> Result<Folder, StepError> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Folder::read(dir.path(), from, None)
    }

    const GOOSE: (&str, &str) = ("00001_a.sql", "-- +goose Up\nCREATE TABLE a (x);\n");
    const DBMATE: (&str, &str) = ("1_a.sql", "-- migrate:up\nCREATE TABLE a (x);\n");
    const PLAIN: (&str, &str) = ("1_a.sql", "CREATE TABLE a (x);\n");
    const REFINERY: (&str, &str) = ("V1__a.sql", "CREATE TABLE a (x);\n");
    const DIESEL: (&str, &str) = ("2024-01-01-000001_a/up.sql", "CREATE TABLE a (x);\n");
    const GOLANG: (&str, &str) = ("1_a.up.sql", "CREATE TABLE a (x);\n");

    #[test]
    fn a_migration_that_is_a_program_is_refused_by_name() {
        for (tool, sql, program) in [(Tool::Goose, GOOSE, "00002_b.go"), (Tool::Refinery, REFINERY, "V2__b.rs")] {
            for from in [None, Some(tool)] {
                let refused = folder(&[sql, (program, "")], from).unwrap_err();
                assert!(refused.to_string().starts_with(&format!("`{program}` is a program: ")), "{tool}: {refused}");
                assert!(refused.help().is_some_and(|help| help.contains("of the same number")), "{tool}");
            }
            // Alone they tell of no tool, and are no less left out.
            let refused = folder(&[(program, "")], None).unwrap_err();
            assert!(refused.to_string().starts_with(&format!("`{program}` is a program: ")), "{tool}: {refused}");
        }
        let both = folder(&[GOOSE, ("00002_b.go", ""), ("00003_c.go", "")], None).unwrap_err();
        assert!(both.to_string().starts_with("`00002_b.go`, `00003_c.go` are programs: "), "{both}");
        assert!(folder(&[REFINERY, ("V2__b.rs", "")], None).unwrap_err().help().unwrap().contains("the very text"));
    }

    #[test]
    fn other_files_are_no_migrations() {
        let others = [
            ("README.md", ""),
            ("schema.sql", ""),
            ("diesel.toml", ""),
            ("mod.rs", ""),
            ("main.go", ""),
            ("embed.go", ""),
            ("00001_a_test.go", ""),
            ("migrate.sh", ""),
            ("2_notes.md", ""),
            ("3d.py", ""),
            (".keep", ""),
            ("2_b.sh", ""),
            ("scripts/00002_b.go", ""),
        ];
        for (tool, sql) in [
            (Tool::Goose, GOOSE),
            (Tool::Dbmate, DBMATE),
            (Tool::Sqlx, PLAIN),
            (Tool::GolangMigrate, GOLANG),
            (Tool::Refinery, REFINERY),
            (Tool::Diesel, DIESEL),
        ] {
            let found = folder(&[&[sql], others.as_slice()].concat(), Some(tool)).unwrap();
            assert_eq!(found.migrations.len(), 1, "{tool}");
        }
        // What one tool names so is no migration of another.
        assert!(folder(&[REFINERY, ("00002_b.go", "")], None).is_ok());
        assert!(folder(&[GOOSE, ("V2__b.rs", "")], None).is_ok());
    }

    #[test]
    fn a_mark_that_asks_for_no_transaction_is_known() {
        let mark = |files: &[(&str, &str)], tool: Tool| folder(files, Some(tool)).unwrap().migrations[0].untied;
        let goose = "-- +goose no transaction\n-- +goose Up\nCREATE TABLE a (x);\n";
        assert_eq!(mark(&[("1_a.sql", goose)], Tool::Goose), Some("-- +goose NO TRANSACTION"));
        assert_eq!(mark(&[GOOSE], Tool::Goose), None);
        for text in [
            "-- migrate:up transaction:false\nCREATE TABLE a (x);\n",
            "-- migrate:up\nCREATE TABLE a (x);\n-- migrate:down foo:1 transaction:false\nDROP TABLE a;\n",
        ] {
            assert_eq!(mark(&[("1_a.sql", text)], Tool::Dbmate), Some("transaction:false"), "{text}");
        }
        let own = "-- migrate:up transaction:true\nCREATE TABLE a (x); -- transaction:false\n";
        assert_eq!(mark(&[("1_a.sql", own)], Tool::Dbmate), None);
        let first = "-- no-transaction\nCREATE TABLE a (x);\n";
        assert_eq!(mark(&[("1_a.sql", first)], Tool::Sqlx), Some("-- no-transaction"));
        let down = ("1_a.down.sql", "-- no-transaction\nDROP TABLE a;\n");
        assert_eq!(mark(&[GOLANG, down], Tool::Sqlx), Some("-- no-transaction"));
        assert_eq!(mark(&[GOLANG, down], Tool::GolangMigrate), None);
        assert_eq!(mark(&[("1_a.sql", "CREATE TABLE a (x);\n-- no-transaction\n")], Tool::Sqlx), None);
        for (text, untied) in [
            ("run_in_transaction = false\n", Some("run_in_transaction = false")),
            ("run_in_transaction=false # it vacuums\n", Some("run_in_transaction = false")),
            ("run_in_transaction = true\n", None),
            ("# run_in_transaction = false\n", None),
        ] {
            let metadata = ("2024-01-01-000001_a/metadata.toml", text);
            assert_eq!(mark(&[DIESEL, metadata], Tool::Diesel), untied, "{text}");
        }
    }
}

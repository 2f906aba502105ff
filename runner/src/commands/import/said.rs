//! What an import says of itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::builtin::import::{Folder, History};
use crate::cli::{Format, Out};
use crate::imported::Step;
use crate::session::shell_words;
use crate::style::{count, plain};
use crate::warned::Warned;

/// What an import came to.
pub(super) struct Said<'a> {
    pub folder: &'a Folder,
    pub steps: &'a [Step<'a>],
    pub dir: &'a Path,
    pub written: bool,
    pub warned: &'a Warned,
    pub database: Option<Database>,
}

/// What it came to on a database.
pub(super) struct Database {
    pub history: History,
    /// The steps that were not known as applied before.
    pub adopted: Vec<String>,
    /// Where its structure is otherwise than the history makes it, or why that is not known.
    pub other: Result<Vec<String>, String>,
    pub root: PathBuf,
}

impl Said<'_> {
    pub(super) fn print(&self, out: &Out) {
        if out.format == Format::Json {
            out.json(&self.as_json());
        } else {
            out.print(&self.text(out));
        }
    }

    fn is_applied(&self, step: &Step<'_>) -> bool {
        self.database.as_ref().is_some_and(|d| d.history.versions.contains(&step.migration.version))
    }

    /// The steps without a way back.
    fn one_way(&self) -> Vec<&str> {
        self.steps.iter().filter(|s| s.migration.down.is_none()).map(|s| s.id.as_str()).collect()
    }

    /// The command that shows what is left to do.
    fn next(&self) -> String {
        let mut words = vec!["cutover".to_owned(), "plan".to_owned(), self.dir.display().to_string()];
        if let Some(database) = &self.database {
            words.extend(["--root".to_owned(), database.root.display().to_string()]);
        }
        shell_words(words)
    }

    fn text(&self, out: &Out) -> String {
        let (tool, style) = (self.folder.tool, out.style);
        let mut text = self.warned.render(style.color);
        let migrations = count(self.steps.len(), "migration");
        let shown = self.dir.display();
        text.push_str(&match self.written {
            true => format!("{migrations} of {tool} imported into {shown}\n"),
            false => format!("{migrations} of {tool}: {shown} holds this very plan already\n"),
        });
        for step in self.steps {
            for (script, end) in [(Some(&step.migration.up), "up"), (step.migration.down.as_ref(), "down")] {
                for out in script.iter().flat_map(|script| &script.taken_out) {
                    let (id, line, statement, why) = (&step.id, out.line, &out.statement, out.why);
                    let line = format!("taken out: `{statement}` (sql/{id}.{end}.sql:{line}): {why}");
                    text.push_str(&format!("  {}\n", plain(&line)));
                }
            }
        }
        let untied: BTreeMap<&str, Vec<&str>> = self.steps.iter().fold(BTreeMap::new(), |mut by_mark, step| {
            if let Some(mark) = step.migration.untied {
                by_mark.entry(mark).or_insert_with(Vec::new).push(step.id.as_str());
            }
            by_mark
        });
        for (mark, ids) in untied {
            text.push_str(&format!(
                "  {}: `{mark}` in {} does not hold; a step is one transaction, and other writers wait for all of it\n",
                style.warn("in a transaction"),
                listed(&ids)
            ));
        }
        let one_way = self.one_way();
        if !one_way.is_empty() {
            let list = listed(&one_way);
            text.push_str(&format!("  {}: no rollback goes past {list}\n", style.warn("no way back")));
        }
        if let Some(database) = &self.database {
            text.push_str(&self.of_database(database, out));
        } else {
            text.push_str(
                "  the database is `app.db` in the plan's folder: set the target's `path`, or use `--database` here\n",
            );
        }
        if !self.warned.is_empty() {
            text.push_str(&format!(
                "  {}, tried from an empty database on\n",
                style.warn(&count(self.warned.len(), "warning"))
            ));
        }
        text.push_str(&format!("next: {}\n", self.next()));
        text
    }

    fn of_database(&self, database: &Database, out: &Out) -> String {
        let tool = self.folder.tool;
        let applied = self.steps.iter().filter(|s| self.is_applied(s)).count();
        let mut text = String::new();
        if database.history.table {
            let (adopted, pending) = (count(database.adopted.len(), "step"), self.steps.len() - applied);
            let known = match applied - database.adopted.len() {
                0 => String::new(),
                known => format!(", {known} known before"),
            };
            text.push_str(&format!("  adopted {adopted} from `{}`{known}; {pending} to apply\n", tool.table()));
        } else {
            text.push_str(&format!(
                "  there is no `{}`: {tool} has applied nothing, and nothing was adopted\n",
                tool.table()
            ));
        }
        match &database.other {
            Ok(lines) if lines.is_empty() => {
                text.push_str("  the structure of the database is what the applied migrations make\n");
            }
            Ok(lines) => {
                let head = out.style.warn("the structure of the database is not what the applied migrations make");
                text.push_str(&format!("  {head}\n"));
                for line in lines {
                    text.push_str(&format!("    {}\n", plain(line)));
                }
            }
            Err(why) => {
                let head = out.style.warn("the applied migrations do not run on an empty database");
                text.push_str(&format!("  {head}: {}\n", plain(why)));
            }
        }
        text
    }

    fn as_json(&self) -> Value {
        let step = |step: &Step<'_>| {
            let taken_out: Vec<_> = [Some(&step.migration.up), step.migration.down.as_ref()]
                .into_iter()
                .flatten()
                .flat_map(|script| &script.taken_out)
                .map(|out| json!({ "statement": out.statement, "line": out.line, "why": out.why }))
                .collect();
            json!({
                "id": step.id, "file": step.migration.file, "version": step.migration.version.to_string(),
                "applied": self.is_applied(step), "one-way": step.migration.one_way, "taken-out": taken_out,
                "no-transaction": step.migration.untied,
            })
        };
        let database = self.database.as_ref().map(|d| {
            json!({
                "table": d.history.table, "adopted": d.adopted,
                "differences": d.other.as_ref().ok(), "untold": d.other.as_ref().err(),
            })
        });
        json!({
            "version": 1, "tool": self.folder.tool.name(), "plan": self.dir.display().to_string(), "written": self.written,
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(), "database": database,
            "warnings": self.warned.as_json(), "next": self.next(),
        })
    }
}

/// Some names, and how many more there are.
fn listed(names: &[&str]) -> String {
    const MOST: usize = 5;
    let mut text: String = names.iter().take(MOST).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

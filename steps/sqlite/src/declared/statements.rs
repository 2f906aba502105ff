//! The statements that a plan may declare: `CREATE TABLE` and `CREATE INDEX`, each known by its name.
//!
//! Owns cutting a script into them and refusing everything else with the reason. Runs nothing.

use cutover_core::{BuildContext, BuildError};

use super::text;
use crate::sql::tokens;

/// One `CREATE` statement as the plan's author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The text, without the semicolon.
    pub(crate) sql: String,
    /// The name of what it makes.
    pub(crate) name: String,
    /// What it makes.
    pub(crate) kind: Kind,
    /// Where in `with` it comes from.
    pub(crate) field: String,
}

/// What a statement makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table.
    Table,
    /// An index.
    Index {
        /// The table that it is on.
        table: String,
    },
}

impl Statement {
    /// The table that an index is on.
    pub(super) fn table(&self) -> Option<&String> {
        match &self.kind {
            Kind::Table => None,
            Kind::Index { table } => Some(table),
        }
    }

    /// What an index is on, as written: "ON conversations(archived, last_activity DESC)".
    pub(crate) fn written(&self) -> String {
        let Kind::Index { table } = &self.kind else { return format!("table {}", self.name) };
        let all = tokens(&self.sql);
        let (inner, after) = text::parentheses(&all).unwrap_or_default();
        let terms: Vec<String> = text::parts(inner).into_iter().map(text::shown).collect();
        let unique = if text::is(all.get(1), "unique") { "UNIQUE " } else { "" };
        let filter = if after.is_empty() { String::new() } else { format!(" {}", text::shown(after)) };
        format!("{unique}ON {table}({}){filter}", terms.join(", "))
    }
}

/// Statements that one step may declare: SQLite looks through its whole schema for each.
const MOST: usize = 10_000;

/// The statements of `script` or of `create`: exactly one of them must be given.
pub(crate) fn from_config(
    cx: &BuildContext<'_>,
    script: Option<&str>,
    create: &[String],
) -> Result<Vec<Statement>, BuildError> {
    let statements = match (script, create) {
        (Some(path), []) => {
            let text = cx.read_text("script", path)?;
            parse("script", &text)?
        }
        (None, [_, ..]) => {
            let mut all = Vec::new();
            for (i, text) in create.iter().enumerate() {
                all.extend(parse(&format!("create[{i}]"), text)?);
            }
            all
        }
        (Some(_), _) => {
            return Err(BuildError::at("create", "`script` and `create` are both given").with_help("keep one of them"));
        }
        (None, []) => {
            return Err(BuildError::at("", "neither `script` nor `create` is given")
                .with_help("add `script = \"sql/FILE.sql\"` or `create = [\"CREATE ...\"]`"));
        }
    };
    if statements.len() > MOST {
        let message = format!("{} statements are declared; one step takes at most {MOST}", statements.len());
        return Err(BuildError::at("", message).with_help("spread them over several steps"));
    }
    if statements.is_empty() {
        return Err(BuildError::at("script", "the script declares nothing").with_help("add a CREATE statement to it"));
    }
    Ok(statements)
}

/// The statements of the script that `field` names.
pub(crate) fn from_script(cx: &BuildContext<'_>, field: &str, path: &str) -> Result<Vec<Statement>, BuildError> {
    let statements = parse(field, &cx.read_text(field, path)?)?;
    if statements.is_empty() {
        return Err(BuildError::at(field, "the script declares nothing").with_help("add a CREATE statement to it"));
    }
    Ok(statements)
}

fn parse(field: &str, text: &str) -> Result<Vec<Statement>, BuildError> {
    let mut all = Vec::new();
    let mut first = None;
    let mut last = 0;
    for token in tokens(text).into_iter().chain([";"]) {
        if token != ";" {
            // A token is a slice of `text`: its address tells where it stands.
            let start = token.as_ptr() as usize - text.as_ptr() as usize;
            first.get_or_insert(start);
            last = start + token.len();
        } else if let Some(from) = first.take() {
            all.push(statement(field, &text[from..last])?);
        }
    }
    Ok(all)
}

fn statement(field: &str, sql: &str) -> Result<Statement, BuildError> {
    let all = tokens(sql);
    let refused = |why: &str| {
        let shown: String = all.iter().take(4).copied().collect::<Vec<_>>().join(" ");
        BuildError::at(field, format!("`{shown} ...` cannot be declared: {why}"))
            .with_help("only CREATE TABLE and CREATE INDEX can be; use a `sqlite.script` step for everything else")
    };
    let mut rest = all.as_slice();
    let mut take = |words: &[&str]| {
        let hit = words.iter().enumerate().all(|(i, w)| text::is(rest.get(i), w));
        if hit {
            rest = &rest[words.len()..];
        }
        hit
    };
    if !take(&["create"]) {
        return Err(refused("it is not a CREATE statement"));
    }
    if take(&["temp"]) || take(&["temporary"]) {
        return Err(refused("a temporary object ends with the connection"));
    }
    let unique = take(&["unique"]);
    let is_index = take(&["index"]);
    if !is_index && (unique || !take(&["table"])) {
        return Err(refused("it makes neither a table nor an index"));
    }
    take(&["if", "not", "exists"]);
    let [name, rest @ ..] = rest else { return Err(refused("it has no name")) };
    if rest.first() == Some(&".") {
        return Err(refused("a name with a schema leaves the target"));
    }
    let kind = match rest {
        ["(", ..] if !is_index => Kind::Table,
        [on, table, "(", ..] if is_index && on.eq_ignore_ascii_case("on") => {
            Kind::Index { table: text::unquoted(table) }
        }
        [word, ..] if !is_index && word.eq_ignore_ascii_case("as") => {
            return Err(refused("a table made of a query has no definition to compare"));
        }
        _ => return Err(refused("what follows the name is not understood")),
    };
    Ok(Statement { sql: sql.to_owned(), name: text::unquoted(name), kind, field: field.to_owned() })
}

//! What SQLite makes of a declaration, found out in empty in-memory databases.
//!
//! Owns the three questions asked there: what a script of tables and indexes declares, what an index declares on a
//! real table, and which column a definition adds.

use std::cell::Cell;
use std::collections::BTreeMap;

use cutover_core::{BuildError, StepError};
use rusqlite::Connection;

use super::{Column, Index, Kind, Statement, Table, column_names, object, text};
use crate::sql::{quote_ident, sqlite_error, tokens};

/// Tables and indexes as a script declares them, in its order.
#[derive(Debug, Clone)]
pub(crate) struct Declarations(pub(crate) Vec<(Statement, Declared)>);

/// One declared object.
#[derive(Debug, Clone)]
pub(crate) enum Declared {
    /// A table.
    Table(Table),
    /// An index.
    Index(Index),
}

impl Declarations {
    /// What the statements declare: tables, and indexes on these tables only.
    pub(crate) fn of(statements: Vec<Statement>) -> Result<Self, BuildError> {
        scratch(|conn| Self::found_in(conn, statements)).map_err(|e| BuildError::at("", e.to_string()))?
    }

    fn found_in(conn: &Connection, statements: Vec<Statement>) -> Result<Self, BuildError> {
        let mut all = Vec::new();
        // SQLite looks through its whole schema for each name: it is given what a statement can meet, and no more.
        let mut made: BTreeMap<String, Statement> = BTreeMap::new();
        for statement in statements {
            conn.execute_batch("SAVEPOINT one").map_err(|e| BuildError::at("", e.to_string()))?;
            let names = [Some(&statement.name), statement.table()].into_iter().flatten();
            let met: Vec<&Statement> = names.filter_map(|name| made.get(&name.to_ascii_lowercase())).collect();
            let tables = met.iter().filter_map(|other| made.get(&other.table()?.to_ascii_lowercase()));
            let mut before: Vec<&str> = tables.chain(met.iter().copied()).map(|other| other.sql.as_str()).collect();
            before.dedup();
            for sql in before {
                // Twice the same is no harm here, and was an error at its own place.
                let _ = conn.execute_batch(sql);
            }
            let at = |e: &dyn std::fmt::Display| BuildError::at(&statement.field, format!("`{}`: {e}", statement.name));
            if let Kind::Index { table } = &statement.kind
                && object(conn, table).map_err(|e| at(&e))?.is_none()
            {
                return Err(at(&format!("its table `{table}` is not declared before it"))
                    .with_help("declare the table first, or use a `sqlite.indexes` step for a table that exists"));
            }
            conn.execute_batch(&statement.sql).map_err(|e| at(&Plain(e)))?;
            let declared = match &statement.kind {
                Kind::Table => Table::read(conn, &statement.name).map_err(|e| at(&e))?.map(Declared::Table),
                Kind::Index { .. } => Index::read(conn, &statement.name).map_err(|e| at(&e))?.map(Declared::Index),
            };
            let declared = declared.ok_or_else(|| at(&"SQLite made something else of it"))?;
            conn.execute_batch("ROLLBACK TO one; RELEASE one").map_err(|e| at(&e))?;
            made.entry(statement.name.to_ascii_lowercase()).or_insert_with(|| statement.clone());
            all.push((statement, declared));
        }
        Ok(Self(all))
    }
}

/// What an index declares on the table that it names, as the table is now.
#[derive(Debug)]
pub(super) enum OnTable {
    /// There is no such table.
    NoTable(String),
    /// The table lacks these columns.
    NoColumns(String, Vec<String>),
    /// This.
    Index(Index),
}

/// What `statement` declares in the database of `conn`.
pub(super) fn declared_index(conn: &Connection, statement: &Statement) -> Result<OnTable, StepError> {
    let Kind::Index { table } = &statement.kind else {
        return Err(StepError::internal(format!("`{}` is not an index", statement.name)));
    };
    let Some(found) = object(conn, table)?.filter(|o| o.kind == "table") else {
        return Ok(OnTable::NoTable(table.clone()));
    };
    let columns = column_names(conn, table)?;
    let all = tokens(&statement.sql);
    let (inner, _) = text::parentheses(&all).unwrap_or_default();
    let missing: Vec<String> = text::parts(inner)
        .into_iter()
        .filter_map(plain_column)
        .filter(|name| !columns.iter().any(|c| text::same_name(c, name)))
        .collect();
    if !missing.is_empty() {
        return Ok(OnTable::NoColumns(table.clone(), missing));
    }
    let declared = scratch(|copy| {
        copy.execute_batch(&found.sql)
            .map_err(|e| sqlite_error(e, &format!("copying the definition of table `{table}`")))?;
        match copy.execute_batch(&statement.sql) {
            Ok(()) => Ok(Index::read(copy, &statement.name)?.map(OnTable::Index)),
            Err(e) => match unknown_column(&e) {
                Some(name) => Ok(Some(OnTable::NoColumns(table.clone(), vec![name]))),
                None => Err(sqlite_error(e, &format!("index `{}`", statement.name))),
            },
        }
    });
    let declared = declared.map_err(|e| sqlite_error(e, "opening an in-memory database"))??;
    declared.ok_or_else(|| StepError::internal(format!("index `{}` was not made", statement.name)))
}

/// Whether SQLite can parse the statement of an index whose table it does not know yet.
pub(crate) fn check_index_syntax(statement: &Statement) -> Result<(), BuildError> {
    let at = |e: rusqlite::Error| BuildError::at(&statement.field, format!("`{}`: {}", statement.name, Plain(e)));
    match scratch(|conn| conn.execute_batch(&statement.sql)).map_err(at)? {
        Err(e) if !e.to_string().contains("no such table") => Err(at(e)),
        _ => Ok(()),
    }
}

/// A column as `ALTER TABLE ... ADD COLUMN` makes it.
#[derive(Debug, Clone)]
pub(crate) struct AddedColumn {
    /// The definition as written.
    pub(crate) sql: String,
    /// What it declares.
    pub(crate) column: Column,
    /// The foreign keys that come with it.
    pub(crate) rules: Vec<String>,
}

/// What one column definition adds to `table`. Definitions that SQLite refuses for a table with rows are errors.
pub(crate) fn added_column(field: &str, table: &str, definition: &str) -> Result<AddedColumn, BuildError> {
    let at = |why: &dyn std::fmt::Display| BuildError::at(field, format!("`{definition}`: {why}"));
    let words = tokens(definition);
    if words.contains(&";") {
        return Err(at(&"a column definition holds no semicolon").with_help("declare each column by itself in `add`"));
    }
    // SQLite puts the text into the table's own SQL: a comment at its end would swallow what follows there.
    let end = words.last().map_or(0, |t| t.as_ptr() as usize - definition.as_ptr() as usize + t.len());
    let definition = definition.get(..end).unwrap_or(definition).trim_start();
    // The column may refer to others of its table, which is not known here: those that SQLite misses are supplied.
    let mut others = vec!["cutover other".to_owned()];
    loop {
        let tried = scratch(|conn| try_column(conn, table, &others, definition)).map_err(|e| at(&Plain(e)))?;
        match tried.map_err(|e| at(&e))? {
            Tried::Added(column, rules) => return Ok(AddedColumn { sql: definition.to_owned(), column, rules }),
            Tried::Nothing => return Err(at(&"it adds no column")),
            Tried::Refused(e) => match unknown_column(&e) {
                Some(other) if others.len() < 64 && !others.contains(&other) => others.push(other),
                _ => return Err(refused(&Plain(e).to_string(), |why| at(&why))),
            },
        }
    }
}

enum Tried {
    Added(Column, Vec<String>),
    Nothing,
    Refused(rusqlite::Error),
}

/// Adds the column to a table of that name which has these columns and one row.
fn try_column(conn: &Connection, table: &str, others: &[String], definition: &str) -> Result<Tried, StepError> {
    let list = others.iter().map(|o| quote_ident(o)).collect::<Vec<_>>().join(", ");
    let name = quote_ident(table);
    let sql =
        format!("CREATE TABLE {name} ({list}); INSERT INTO {name} DEFAULT VALUES; {}", add_sql(table, definition));
    if let Err(e) = conn.execute_batch(&sql) {
        return Ok(Tried::Refused(e));
    }
    let Some(found) = Table::read(conn, table)? else { return Ok(Tried::Nothing) };
    let added = found.columns.get(others.len()).cloned();
    Ok(added.map_or(Tried::Nothing, |column| {
        let rules = found.rules_of(&column.name);
        Tried::Added(column, rules)
    }))
}

/// The statement that adds a column.
pub(crate) fn add_sql(table: &str, definition: &str) -> String {
    format!("ALTER TABLE {} ADD COLUMN {definition}", quote_ident(table))
}

/// SQLite's reason for refusing a column ("Cannot add a UNIQUE column"), with the remedy.
fn refused(why: &str, at: impl FnOnce(&str) -> BuildError) -> BuildError {
    let remedies = [
        ("PRIMARY KEY", "a key cannot be added to a table; make a new table with it in a `sqlite.script` step"),
        ("UNIQUE", "add the column without UNIQUE, then a unique index in a `sqlite.indexes` step"),
        ("NOT NULL", "give it a constant default other than NULL, or leave NOT NULL out"),
        ("non-constant default", "add it without the default, then fill it in a `sqlite.script` step"),
        ("REFERENCES", "leave the default out, or let the column not refer to another table"),
        ("STORED", "make the generated column VIRTUAL"),
    ];
    let Some(reason) = why.strip_prefix("Cannot add ").or_else(|| why.strip_prefix("cannot add ")) else {
        return at(why).with_help("write one column as CREATE TABLE would have it: `name TYPE DEFAULT value`");
    };
    let error = at(&format!("SQLite cannot add {reason}"));
    match remedies.iter().find(|(word, _)| reason.contains(word)) {
        Some((_, remedy)) => error.with_help(*remedy),
        None => error,
    }
}

/// An index term that is a column's name and nothing more than an order or a collation.
fn plain_column(term: &[&str]) -> Option<String> {
    let (name, rest) = term.split_first()?;
    let plain = rest.iter().all(|t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let is_name = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b >= 0x80 || b"_\"`[".contains(&b));
    let known =
        matches!(rest.first().map(|t| t.to_ascii_lowercase()).as_deref(), None | Some("asc" | "desc" | "collate"));
    (plain && is_name && known).then(|| text::unquoted(name))
}

fn unknown_column(error: &rusqlite::Error) -> Option<String> {
    let text = match error {
        rusqlite::Error::SqlInputError { msg, .. } | rusqlite::Error::SqliteFailure(_, Some(msg)) => msg.as_str(),
        _ => return None,
    };
    let name = text.split("no such column: ").nth(1)?;
    Some(name.split(" in ").next().unwrap_or(name).trim_matches('"').to_owned())
}

thread_local! {
    static SCRATCH: Cell<Option<Connection>> = const { Cell::new(None) };
}

/// Runs `work` in an empty in-memory database. Opening one costs more than all that is asked of it, so the thread's own
/// is used again: what `work` does is rolled back.
fn scratch<T>(work: impl FnOnce(&Connection) -> T) -> rusqlite::Result<T> {
    SCRATCH.with(|slot| {
        let conn = match slot.take() {
            Some(conn) => conn,
            None => Connection::open_in_memory()?,
        };
        conn.execute_batch("BEGIN")?;
        let result = work(&conn);
        if !conn.is_autocommit() {
            conn.execute_batch("ROLLBACK")?;
        }
        slot.set(Some(conn));
        Ok(result)
    })
}

/// An SQLite error without the statement around it.
struct Plain(rusqlite::Error);

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            rusqlite::Error::SqlInputError { msg, .. } | rusqlite::Error::SqliteFailure(_, Some(msg)) => {
                f.write_str(msg)
            }
            other => write!(f, "{other}"),
        }
    }
}

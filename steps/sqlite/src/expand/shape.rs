//! What a table asks of a row that is put into it: columns that must be set, unique keys, checks, types.
//!
//! Owns reading that from a database. Knows nothing of mappings.

use cutover_core::StepError;
use rusqlite::{Connection, OptionalExtension as _};

use crate::sql::{joined, quote_ident, spans, sqlite_error, tokens};
use crate::target::rowid_alias;

/// A table that a mapping names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// As the database spells it.
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) strict: bool,
    /// The column that is the rowid.
    pub(crate) rowid: Option<String>,
    pub(crate) autoincrement: bool,
    /// All unique keys, the primary one too.
    pub(crate) uniques: Vec<Unique>,
    /// The expressions of its CHECK constraints.
    pub(crate) checks: Vec<String>,
    /// Its foreign keys of one column: (column, table, what happens on delete).
    pub(crate) foreign: Vec<(String, String, String)>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) declared: String,
    /// It refuses NULL.
    pub(crate) not_null: bool,
    /// Its default as SQL.
    pub(crate) default: Option<String>,
    /// It is computed, and cannot be written.
    pub(crate) generated: bool,
}

/// A unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unique {
    /// Its columns, each with the collation in which it is unique; none where a term is an expression.
    pub(crate) columns: Option<Vec<(String, String)>>,
    /// The rows that it is about, as SQL; all where there is none.
    pub(crate) filter: Option<String>,
    /// The name of its index.
    pub(crate) index: String,
}

impl Unique {
    /// Rows `alias` of `table` that REPLACE takes away for the row `NEW`: what stands behind FROM, and the conditions. None
    /// where a term is an expression.
    pub(crate) fn like_new(&self, table: &str, alias: &str) -> Option<(String, Vec<String>)> {
        let term = |(name, collation): &(String, String)| {
            let name = quote_ident(name);
            format!("{alias}.{name} = NEW.{name} COLLATE {}", quote_ident(collation))
        };
        let terms = self.columns.as_ref()?.iter().map(term).collect();
        let from = match &self.filter {
            Some(filter) => format!("(SELECT * FROM {table} WHERE {filter}) AS {alias}"),
            None => format!("{table} AS {alias}"),
        };
        Some((from, terms))
    }

    /// Whether it is about exactly these columns, in any order, and all rows.
    pub(crate) fn is_of<'a>(&self, names: &(impl Iterator<Item = &'a str> + Clone)) -> bool {
        let Some(columns) = self.columns.as_ref().filter(|_| self.filter.is_none()) else { return false };
        columns.len() == names.clone().count()
            && columns.iter().all(|(c, _)| names.clone().any(|name| name.eq_ignore_ascii_case(c)))
    }
}

impl Shape {
    /// The table of that name; none where there is none.
    pub(crate) fn read(conn: &Connection, table: &str) -> Result<Option<Self>, StepError> {
        let Some(found) = crate::declared::object(conn, table)?.filter(|o| o.kind == "table") else { return Ok(None) };
        let rowid = rowid_alias(conn, &found.name)?;
        let read = || -> rusqlite::Result<Self> {
            let (wr, strict): (bool, bool) = conn.query_row(
                "SELECT wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE",
                [&found.name],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let columns = conn
                .prepare_cached(
                    "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid",
                )?
                .query_map([&found.name], |row| {
                    let (pk, hidden): (i64, i64) = (row.get(4)?, row.get(5)?);
                    Ok(Column {
                        name: row.get(0)?,
                        declared: row.get(1)?,
                        not_null: row.get::<_, bool>(2)? || (wr && pk > 0),
                        default: row.get(3)?,
                        generated: hidden > 1,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let uniques = uniques(conn, &found.name, rowid.as_deref())?;
            let foreign = conn
                .prepare_cached(
                    "SELECT \"from\", \"table\", on_delete FROM pragma_foreign_key_list(?1) AS f
                     WHERE (SELECT count(*) FROM pragma_foreign_key_list(?1) AS g WHERE g.id = f.id) = 1 ORDER BY id",
                )?
                .query_map([&found.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let autoincrement = tokens(&found.sql).iter().any(|w| w.eq_ignore_ascii_case("autoincrement"));
            let checks = checks(&found.sql);
            Ok(Self { name: found.name.clone(), columns, strict, rowid, autoincrement, uniques, checks, foreign })
        };
        read().map(Some).map_err(|e| sqlite_error(e, &format!("while reading table `{table}`")))
    }

    /// The column of that name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// Whether the column can never hold NULL.
    pub(crate) fn never_null(&self, name: &str) -> bool {
        self.rowid.as_deref().is_some_and(|r| r.eq_ignore_ascii_case(name))
            || self.column(name).is_some_and(|c| c.not_null)
    }

    /// Unique keys other than the one of these columns.
    pub(crate) fn other_uniques<'a>(
        &'a self,
        key: impl Iterator<Item = &'a str> + Clone + 'a,
    ) -> impl Iterator<Item = &'a Unique> + 'a {
        self.uniques.iter().filter(move |u| !u.is_of(&key))
    }

    /// Its name as an identifier.
    pub(crate) fn ident(&self) -> String {
        quote_ident(&self.name)
    }
}

fn uniques(conn: &Connection, table: &str, rowid: Option<&str>) -> rusqlite::Result<Vec<Unique>> {
    let mut found: Vec<Unique> = rowid
        .iter()
        .map(|name| Unique {
            columns: Some(vec![((*name).to_owned(), "BINARY".to_owned())]),
            filter: None,
            index: "the primary key".to_owned(),
        })
        .collect();
    let indexes: Vec<(String, bool)> = conn
        .prepare_cached("SELECT name, partial FROM pragma_index_list(?1) WHERE \"unique\" ORDER BY seq")?
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (index, partial) in indexes {
        let terms: Vec<(Option<String>, String)> = conn
            .prepare_cached("SELECT name, coll FROM pragma_index_xinfo(?1) WHERE \"key\" = 1 ORDER BY seqno")?
            .query_map([&index], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        // The key of a table WITHOUT ROWID has no row of its own there.
        let sql: Option<String> = conn
            .query_row("SELECT sql FROM sqlite_master WHERE name = ?1 AND type = 'index'", [&index], |r| r.get(0))
            .optional()?
            .flatten();
        let filter = sql.filter(|_| partial).and_then(|sql| filter(&sql));
        let columns = terms.into_iter().map(|(name, collation)| Some((name?, collation))).collect();
        found.push(Unique { columns, filter, index });
    }
    Ok(found)
}

/// What stands behind the WHERE of an index.
fn filter(sql: &str) -> Option<String> {
    let mut depth = 0i32;
    for (start, end) in spans(sql) {
        match &sql[start..end] {
            "(" => depth += 1,
            ")" => depth -= 1,
            word if depth == 0 && word.eq_ignore_ascii_case("where") => return Some(joined(&sql[end..])),
            _ => {}
        }
    }
    None
}

/// The expressions of the CHECK constraints of a CREATE TABLE.
fn checks(sql: &str) -> Vec<String> {
    let spans = spans(sql);
    let mut found = Vec::new();
    for (at, (start, end)) in spans.iter().enumerate() {
        let open = spans.get(at + 1).is_some_and(|(start, end)| &sql[*start..*end] == "(");
        if !open || !sql[*start..*end].eq_ignore_ascii_case("check") {
            continue;
        }
        let mut depth = 0i32;
        for (start, end) in &spans[at + 1..] {
            match &sql[*start..*end] {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                found.push(joined(&sql[spans[at + 1].1..*start]));
                break;
            }
        }
    }
    found
}

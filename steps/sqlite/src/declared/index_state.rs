//! Where a database stands with regard to one declared index.

use cutover_core::StepError;
use rusqlite::Connection;

use super::memory::{OnTable, declared_index};
use super::{Index, Mark, Statement, Still, no_such_columns, no_such_table, object};
use crate::sql::{quote_ident, sqlite_error};

/// What is there of a declared index.
#[derive(Debug)]
pub(crate) enum IndexState {
    /// It can be made now.
    Missing,
    /// It is there as declared.
    Same,
    /// Its name belongs to something else: (expected, found).
    Other(String, String),
    /// Its table is not there yet.
    NoTable(String),
    /// Its table lacks these columns.
    NoColumns(String, Vec<String>),
}

/// What is there of the index that `statement` declares.
pub(crate) fn index_state(conn: &Connection, statement: &Statement) -> Result<IndexState, StepError> {
    let there = object(conn, &statement.name)?;
    let existing = Index::read(conn, &statement.name)?;
    let found = match (&there, &existing) {
        (_, Some(index)) => Some(index.definition()),
        (Some(object), None) => Some(format!("the {} `{}`", object.kind, object.name)),
        (None, None) => None,
    };
    let declared = declared_index(conn, statement)?;
    Ok(match (declared, existing, found) {
        (OnTable::Index(declared), Some(index), _) if index.same_as(&declared) => IndexState::Same,
        (OnTable::Index(declared), _, Some(found)) => IndexState::Other(declared.definition(), found),
        // An index that is there cannot be on columns that are not: it is another one.
        (_, _, Some(found)) => IndexState::Other(statement.written(), found),
        (OnTable::Index(_), _, None) => IndexState::Missing,
        (OnTable::NoTable(table), _, None) => IndexState::NoTable(table),
        (OnTable::NoColumns(table, columns), _, None) => IndexState::NoColumns(table, columns),
    })
}

/// What to do about an index of that name with another definition.
pub(crate) const INDEX_REMEDY: &str = "give the declared index another name, or drop the one that is there by a `sqlite.script` step of a plan that runs before";

/// A conflict over an index's name, both definitions named.
pub(crate) fn index_conflict(name: &str, expected: &str, found: &str) -> String {
    format!("index `{name}` is there as `{found}`, the plan declares `{expected}`")
}

/// Makes the index unless it is there as declared. Whether it was made.
pub(crate) fn make_index(conn: &Connection, statement: &Statement) -> Result<bool, StepError> {
    let what = format!("index `{}`", statement.name);
    match index_state(conn, statement)? {
        IndexState::Same => Ok(false),
        IndexState::Missing => {
            conn.execute_batch(&statement.sql).map_err(|e| sqlite_error(e, &format!("making {what}")))?;
            Ok(true)
        }
        IndexState::Other(expected, found) => {
            Err(StepError::conflict(index_conflict(&statement.name, &expected, &found)).with_help(INDEX_REMEDY))
        }
        IndexState::NoTable(table) => Err(no_such_table(conn, &table)?),
        IndexState::NoColumns(table, columns) => Err(no_such_columns(conn, &what, &table, &columns)?),
    }
}

/// The line of a verdict, when the index is not there as declared.
pub(crate) fn index_difference(conn: &Connection, statement: &Statement) -> Result<Option<String>, StepError> {
    let (name, written) = (&statement.name, statement.written());
    Ok(match index_state(conn, statement)? {
        IndexState::Same => None,
        IndexState::Missing => Some(format!("index {name}: expected `{written}`, found none")),
        IndexState::Other(expected, found) => Some(format!("index {name}: expected `{expected}`, found `{found}`")),
        IndexState::NoTable(table) => Some(format!("index {name}: expected `{written}`, found no table `{table}`")),
        IndexState::NoColumns(table, columns) => Some(format!(
            "index {name}: expected `{written}`, found no column {} in table `{table}`",
            columns.join(", ")
        )),
    })
}

/// Drops an index that may be gone already. What else bears the name by now stays: the line that says so.
pub(crate) fn drop_index(conn: &Connection, made: &Mark) -> Result<Option<String>, StepError> {
    let name = &made.name;
    match made.index(conn)? {
        Still::Gone => Ok(None),
        Still::Other(found) => Ok(Some(format!("index {name} is another one now ({found}): kept"))),
        Still::Same | Still::Wider => conn
            .execute_batch(&format!("DROP INDEX {}", quote_ident(name)))
            .map(|()| None)
            .map_err(|e| sqlite_error(e, &format!("dropping index `{name}`"))),
    }
}

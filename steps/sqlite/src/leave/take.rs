//! One batch: rows are written down, read back and compared, and only then deleted.
//!
//! Owns the walk from a row to those that refer to it. A row that is not as it was when it was chosen stays.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::{StepError, fault};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::book::{Book, Mark};
use super::family::{Family, Key};
use super::scratch::Scratch;
use crate::identity::list;
use crate::sql::{quote_ident, sqlite_error, write_literal};
use crate::value::{push_bytes, to_json};
use crate::written::digest;

/// A row that is to go: its key, and the digest of what it was.
pub(super) type Chosen = (Vec<Value>, u64);

/// What a batch took.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Digests of the rows by table, in the order in which they are written down.
    pub(super) rows: BTreeMap<String, Vec<u64>>,
    /// Columns by table.
    pub(super) columns: BTreeMap<String, Vec<String>>,
    /// Rows that were changed since they were chosen.
    pub(super) changed: u64,
    text: Vec<u8>,
    delete: Vec<(String, Vec<Value>)>,
    seen: BTreeSet<(String, Vec<u8>)>,
}

/// Looks whether the chosen rows may go, and touches nothing.
pub(super) fn may_go(conn: &Connection, family: &Family, chosen: &[Chosen]) -> Result<(), StepError> {
    for one in chosen {
        let mut taken = Taken::default();
        taken.row(conn, family, &family.head, &one.0, Some(one.1))?;
    }
    Ok(())
}

/// Takes the chosen rows out of the tables, into a new block of the file.
pub(super) fn take(
    conn: &Connection,
    family: &Family,
    chosen: &[Chosen],
    book: &Book,
    known: &Mark,
) -> Result<(Taken, Mark), StepError> {
    let mut taken = Taken::default();
    for (key, was) in chosen {
        taken.row(conn, family, &family.head, key, Some(*was))?;
    }
    if taken.delete.is_empty() {
        return Ok((taken, known.clone()));
    }
    let mark = book.block(known, &taken.text)?;
    prove(&taken, &book.read_block(known, &mark)?, book)?;
    fault::point(fault::SQLITE_ROWS_KEPT);
    taken.remove(conn, family)?;
    Ok((taken, mark))
}

/// Holds what the file says against what the database has.
fn prove(taken: &Taken, block: &[u8], book: &Book) -> Result<(), StepError> {
    let scratch = Scratch::new(taken.columns.clone())?;
    scratch.load(block)?;
    for (table, digests) in &taken.rows {
        if scratch.digests(table)? != *digests {
            return Err(StepError::failed(format!(
                "rows of `{table}` read back from `{}` are not what they were in the database",
                book.path.display()
            ))
            .with_help("nothing of this batch was deleted; look after the disk, then run the same command again"));
        }
    }
    Ok(())
}

impl Taken {
    /// A row and all that refer to it, those first. One that is gone, or not any more what it `was`, stays.
    fn row(
        &mut self,
        conn: &Connection,
        family: &Family,
        table: &str,
        key: &[Value],
        was: Option<u64>,
    ) -> Result<(), StepError> {
        let member = family.member(table)?;
        let shape = &member.shape;
        // Rows that refer to each other in a ring, or that two keys lead to.
        if !self.seen.insert((shape.name.clone(), bytes(key))) {
            return Ok(());
        }
        let failed = |e| sqlite_error(e, &format!("while reading a row of `{}`", shape.name));
        let sql =
            format!("SELECT {} FROM {} WHERE {}", shape.list.join(", "), quote_ident(&shape.name), at(&shape.key));
        let columns = shape.list.len();
        let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(key)).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(()) };
        let found = digest(row, 0..columns).map_err(failed)?;
        if was.is_some_and(|was| was != found) {
            self.changed += 1;
            return Ok(());
        }
        let values: Vec<Value> = (0..columns).map(|i| row.get(i)).collect::<rusqlite::Result<_>>().map_err(failed)?;
        let mut insert =
            format!("INSERT INTO {} ({}) VALUES (", quote_ident(&shape.name), list(&shape.columns)).into_bytes();
        for i in 0..columns {
            if i > 0 {
                insert.extend_from_slice(b", ");
            }
            let value = row.get_ref(i).unwrap_or(ValueRef::Null);
            write_literal(&mut insert, value).map_err(|e| StepError::internal("a row was not written").caused_by(e))?;
        }
        insert.extend_from_slice(b");\n");
        drop(rows);
        drop(statement);
        for child in &member.children {
            self.children(conn, family, child, &values, &shape.name)?;
        }
        self.delete.push((shape.name.clone(), key.to_vec()));
        self.text.extend_from_slice(&insert);
        self.rows.entry(shape.name.clone()).or_default().push(found);
        self.columns.entry(shape.name.clone()).or_insert_with(|| shape.columns.clone());
        Ok(())
    }

    /// The rows that refer by `key` to a row of `parent` with these values.
    fn children(
        &mut self,
        conn: &Connection,
        family: &Family,
        key: &Key,
        values: &[Value],
        parent: &str,
    ) -> Result<(), StepError> {
        let refers: Vec<&Value> = key.columns.iter().filter_map(|(_, place)| values.get(*place)).collect();
        if refers.len() != key.columns.len() || refers.iter().any(|value| matches!(value, Value::Null)) {
            return Ok(());
        }
        let failed = |e| sqlite_error(e, &format!("while looking for rows of `{}`", key.child));
        let names: Vec<String> = key.columns.iter().map(|(name, _)| quote_ident(name)).collect();
        if !key.goes {
            let sql = format!("SELECT 1 FROM {} WHERE {}", quote_ident(&key.child), at(&names));
            let there =
                conn.prepare_cached(&sql).and_then(|mut s| s.exists(params_from_iter(refers))).map_err(failed)?;
            if !there {
                return Ok(());
            }
            let shown: Vec<String> = key
                .columns
                .iter()
                .filter_map(|(name, place)| Some(format!("{name} = {}", to_json(values.get(*place)?))))
                .collect();
            return Err(StepError::conflict(format!(
                "rows of `{}` refer to a row of `{parent}` that is to go: {}",
                key.child,
                shown.join(", ")
            ))
            .with_help(format!(
                "name `{}` in `cascade` so that they go too, or exclude such rows with `where`",
                key.child
            )));
        }
        let shape = &family.member(&key.child)?.shape;
        let sql = format!("SELECT {} FROM {} WHERE {}", shape.key.join(", "), quote_ident(&shape.name), at(&names));
        let keys: Vec<Vec<Value>> = conn
            .prepare_cached(&sql)
            .and_then(|mut s| {
                s.query_map(params_from_iter(refers), |row| (0..shape.key.len()).map(|i| row.get(i)).collect())?
                    .collect()
            })
            .map_err(failed)?;
        keys.iter().try_for_each(|one| self.row(conn, family, &key.child, one, None))
    }

    /// Deletes what is written down, and makes sure that nothing else went.
    fn remove(&self, conn: &Connection, family: &Family) -> Result<(), StepError> {
        for (table, key) in &self.delete {
            let member = family.member(table)?;
            let sql = format!("DELETE FROM {} WHERE {}", quote_ident(table), at(&member.shape.key));
            let before = conn.total_changes();
            let gone = conn
                .prepare_cached(&sql)
                .and_then(|mut s| s.execute(params_from_iter(key)))
                .map_err(|e| sqlite_error(e, &format!("while deleting a row of `{table}`")))?;
            let all = conn.total_changes().saturating_sub(before);
            if gone != 1 || (all != 1 && !family.triggered()) {
                return Err(StepError::conflict(format!(
                    "deleting one row of `{table}` changed {all} rows: a foreign key acts on rows that are not written down"
                ))
                .with_help("nothing of this batch was deleted; compare the collations of both columns of the key"));
            }
        }
        Ok(())
    }
}

/// A condition on these columns (quoted), each with a parameter.
pub(super) fn at(columns: &[String]) -> String {
    let terms: Vec<String> = columns.iter().enumerate().map(|(i, name)| format!("{name} = ?{}", i + 1)).collect();
    terms.join(" AND ")
}

fn bytes(key: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.iter().for_each(|value| push_bytes(&mut bytes, value.into()));
    bytes
}

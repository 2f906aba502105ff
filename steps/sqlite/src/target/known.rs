//! What steps that are undone together left, as far as they found what the snapshot has.
//!
//! A row that a step found as the snapshot has it, or as another of these steps left it, is theirs as they left it, and
//! so is a row that they inserted. A row that a step found otherwise was written by somebody else before, and stays
//! theirs whatever the step made of it. The same holds for schema objects. Rows that a step inserted may be copies: when
//! rows of others are gone with a table that a step dropped or rebuilt, none of those that it inserted is known as ours.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cutover_core::StepError;
use rusqlite::Row;

use super::loss::Comparison;
use super::objects::{self, Objects};
use crate::written::{Digester, UNREAD, Written, share};

/// Rows of one table, read with the same columns.
type Sets = BTreeMap<Vec<String>, HashSet<u64>>;

/// What is known as ours.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    comparison: &'a Comparison,
    rows: BTreeMap<String, Sets>,
    schema: BTreeMap<String, BTreeSet<Option<String>>>,
}

impl<'a> Known<'a> {
    /// What `changes` wrote, in whatever order they come.
    pub(crate) fn of(comparison: &'a Comparison, changes: &[Written]) -> Result<Self, StepError> {
        let old = comparison.older_objects()?;
        let mut known = Self { comparison, rows: BTreeMap::new(), schema: BTreeMap::new() };
        known.follow_rows(changes, true)?;
        for gone in changes.iter().flat_map(|c| &c.gone) {
            if !known
                .unexplained(&gone.table, &gone.columns, gone.rows.iter().copied().enumerate().collect())?
                .is_empty()
            {
                known.rows.clear();
                known.follow_rows(changes, false)?;
                break;
            }
        }
        known.follow_schema(changes, &old);
        Ok(known)
    }

    fn follow_rows(&mut self, changes: &[Written], inserted: bool) -> Result<(), StepError> {
        let parts = || changes.iter().flat_map(|c| &c.tables);
        for part in parts().filter(|_| inserted) {
            self.grant(&part.table, &part.columns, part.new.iter().copied());
        }
        let mut open: Vec<_> = parts().map(|part| (part, part.before.iter().copied().enumerate().collect())).collect();
        loop {
            let mut left = Vec::new();
            let mut moved = false;
            for (part, rows) in open {
                let rows: Vec<(usize, u64)> = rows;
                let unexplained = self.unexplained(&part.table, &part.was, rows.clone())?;
                let stays: HashSet<usize> = unexplained.iter().map(|(at, _)| *at).collect();
                moved |= unexplained.len() < rows.len();
                let explained = rows.iter().filter(|(at, _)| !stays.contains(at));
                self.grant(&part.table, &part.columns, explained.filter_map(|(at, _)| part.after.get(*at).copied()));
                if !unexplained.is_empty() {
                    left.push((part, unexplained));
                }
            }
            if !moved || left.is_empty() {
                return Ok(());
            }
            open = left;
        }
    }

    fn grant(&mut self, table: &str, columns: &[String], rows: impl Iterator<Item = u64>) {
        self.rows.entry(table.to_owned()).or_default().entry(columns.to_vec()).or_default().extend(rows);
    }

    /// Those of `rows` that neither the snapshot nor a step explains.
    fn unexplained(
        &self,
        table: &str,
        columns: &[String],
        mut rows: Vec<(usize, u64)>,
    ) -> Result<Vec<(usize, u64)>, StepError> {
        if rows.is_empty() {
            return Ok(rows);
        }
        let sets = self.of_table(table, columns)?;
        rows.retain(|(_, row)| *row == UNREAD || !sets.contain(*row));
        if !rows.is_empty() {
            let older = self.comparison.older_digests(table, columns)?;
            rows.retain(|(_, row)| *row == UNREAD || !older.contains(row));
        }
        Ok(rows)
    }

    /// Those of `table`, to look up digests of `columns`.
    fn of_table(&self, table: &str, columns: &[String]) -> Result<KnownRows<'_>, StepError> {
        let mut found = Vec::new();
        for (read, rows) in self.rows.get(table).into_iter().flatten() {
            let has = |list: &[String], name: &str| list.iter().any(|c| c.eq_ignore_ascii_case(name));
            if !read.iter().all(|name| has(columns, name)) {
                continue;
            }
            let mut added = Some(0_u64);
            for name in columns.iter().filter(|name| !has(read, name)) {
                let default = self.comparison.default_of(table, name)?;
                added = added.zip(default).map(|(sum, value)| sum.wrapping_add(share(name, &value)));
            }
            found.extend(added.map(|added| (added, rows)));
        }
        Ok(KnownRows { digester: Digester::new(columns), sets: found })
    }

    /// Those of `table`, for a query that returns `columns`. What was read with a column that is no more is unknown; a
    /// column that was added since has to hold its default.
    pub(crate) fn rows(&self, table: &str, columns: &[String]) -> Result<KnownRows<'_>, StepError> {
        self.of_table(table, columns)
    }

    fn follow_schema(&mut self, changes: &[Written], old: &Objects) {
        let mut open: Vec<_> = changes.iter().flat_map(|c| &c.schema).collect();
        for name in open.iter().map(|(name, _)| *name) {
            let start = old.get(name).map(|sql| objects::print(sql));
            self.schema.entry(name.clone()).or_default().insert(start);
        }
        loop {
            let before = open.len();
            open.retain(|(name, [was, is])| match self.schema.get_mut(*name) {
                Some(states) if states.contains(was) => {
                    states.insert(is.clone());
                    false
                }
                _ => true,
            });
            if open.len() == before {
                return;
            }
        }
    }

    /// Whether the object `name` is as a step left it.
    pub(crate) fn has_object(&self, name: &str, sql: &str) -> bool {
        self.schema.get(name).is_some_and(|states| states.contains(&Some(objects::print(sql))))
    }
}

/// The rows known of one table. Each set comes with what columns that it was read without add to a digest.
#[derive(Debug)]
pub(crate) struct KnownRows<'a> {
    digester: Digester,
    sets: Vec<(u64, &'a HashSet<u64>)>,
}

impl KnownRows<'_> {
    fn contain(&self, digest: u64) -> bool {
        self.sets.iter().any(|(added, rows)| rows.contains(&digest.wrapping_sub(*added)))
    }

    /// Whether the row is one of them, as it was left.
    pub(crate) fn contain_row(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        if self.sets.is_empty() {
            return Ok(false);
        }
        let digest = self.digester.row(row, 0)?;
        Ok(self.contain(digest))
    }
}

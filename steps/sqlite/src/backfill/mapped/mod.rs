//! A backfill by a mapping: old rows that no new row shows yet, from key to key, under the guard that keeps triggers quiet.
//!
//! Owns the batches of this form and their way back. The statements that show a row on the other side are those of the
//! triggers (`expand`); what is remembered of each batch is `kept`'s.
//!
//! A row that is written while the backfill runs is shown by the triggers, behind its cursor as before it. So the way
//! back may take every row away that a batch inserted, whatever became of it: the old row has it all.

use cutover_core::{BuildContext, BuildError, StepError, StepInfo};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

mod kept;
mod range;
mod step;

use crate::declared::same_name;
use crate::expand::{ROW, Side, Weave};
use crate::mapping::names::GUARD;
use crate::mapping::over::over;
use crate::mapping::stage::{self, Stage};
use crate::mapping::{Mapping, Pair};
use crate::sql::{quote_ident, sqlite_error};
use crate::target::{Recorder, bookkeeping};
use crate::value::Exact;
use range::Range;

/// What is filled from what.
#[derive(Debug, Clone)]
pub(super) struct Mapped {
    pub(super) target: String,
    pub(super) mapping: Mapping,
    /// The one table of it that is to be filled.
    only: Option<String>,
}

/// How far it has come: the document in the cursor row, which becomes the receipt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Come {
    /// Pairs of the mapping that are done.
    pairs: usize,
    /// The key of the last row worked on; none before the first of a pair. Not in the receipt, which holds no values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    last: Vec<Exact>,
    /// Batches done.
    batches: u64,
    /// Old rows worked on.
    seen: u64,
    /// New rows inserted, without their parents.
    rows: u64,
    /// Rows that do not fit, and are in the quarantine.
    aside: u64,
    /// What it did is being taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    undoing: bool,
}

impl Come {
    fn parse(text: &str) -> Result<Self, StepError> {
        serde_json::from_str(text).map_err(|e| {
            StepError::failed("the saved cursor of this step cannot be read")
                .with_help("roll the step back by restoring the snapshot taken before it")
                .caused_by(e)
        })
    }

    fn text(&self) -> Result<String, StepError> {
        serde_json::to_string(self)
            .map_err(|e| StepError::internal("a cursor could not be written as JSON").caused_by(e))
    }

    /// What the receipt holds of it.
    fn without_values(&self) -> Self {
        Self { last: Vec::new(), ..self.clone() }
    }
}

/// How far the step has come, by the transaction's own view.
fn come(conn: &Connection, step: &StepInfo) -> Result<Option<Come>, StepError> {
    bookkeeping::cursor(conn, step)?.as_deref().map(Come::parse).transpose()
}

impl Mapped {
    /// The mapping of the file `path`, or the one table of it that is to be filled.
    pub(super) fn build(
        target: &str,
        path: &str,
        table: Option<&str>,
        cx: &BuildContext<'_>,
    ) -> Result<Self, BuildError> {
        let mapping = Mapping::load("mapping", path, cx)?;
        if let Some(table) = table.filter(|table| mapping.pair(table).is_none()) {
            let names: Vec<&str> = mapping.pairs.iter().map(|p| p.name.as_str()).collect();
            let error = BuildError::at("table", format!("the mapping has no table `{table}`"));
            return Err(error.with_help(format!("it has {}", names.join(", "))));
        }
        Ok(Self { target: target.to_owned(), mapping, only: table.map(str::to_owned) })
    }

    /// The pairs with their tables, when both schemas are kept in step.
    fn weaves(&self, conn: &Connection) -> Result<Vec<Weave>, StepError> {
        let at = stage::read(conn, &self.mapping.name)?;
        if !matches!(at, Stage::DualWrite | Stage::PreferNew | Stage::NewOnly) {
            let text = format!(
                "mapping `{}` is at stage `{}`: nothing keeps its tables in step",
                self.mapping.name,
                at.name()
            );
            return Err(StepError::conflict(text).with_help("put a `sqlite.expand` step of this mapping before it"));
        }
        let weaves = self.all(conn)?;
        // What a batch inserts is known by its rowids.
        for weave in &weaves {
            if crate::declared::Table::read(conn, &weave.new.name)?.is_some_and(|t| t.has_rule("WITHOUT ROWID")) {
                return Err(StepError::conflict(format!(
                    "table `{}` is WITHOUT ROWID: a backfill knows the rows that it inserted by their rowid",
                    weave.new.name
                ))
                .with_help("declare the new table with rowids"));
            }
        }
        Ok(weaves)
    }

    /// The pairs that are to be filled.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.mapping.pairs.iter().filter(|pair| self.fills(pair))
    }

    fn fills(&self, pair: &Pair) -> bool {
        self.only.as_ref().is_none_or(|only| *only == pair.name)
    }

    /// The same with their tables.
    fn all(&self, conn: &Connection) -> Result<Vec<Weave>, StepError> {
        let mut weaves = crate::expand::weaves(conn, &self.mapping)?;
        weaves.retain(|weave| self.fills(&weave.pair));
        Ok(weaves)
    }

    /// Old rows of all pairs.
    fn total(&self, conn: &Connection, weaves: &[Weave]) -> Result<u64, StepError> {
        let count = |weave: &Weave| -> rusqlite::Result<u64> {
            let sql = format!("SELECT count(*) FROM {}", weave.table(Side::Old));
            conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(|n| u64::try_from(n).unwrap_or(0))
        };
        weaves.iter().map(count).sum::<rusqlite::Result<u64>>().map_err(|e| sqlite_error(e, "counting the old rows"))
    }

    /// Compiles what the next batch runs, while others may write still: with the triggers that an insertion fires, that
    /// takes longer than the rows do. Later batches find it compiled.
    fn ready(conn: &Connection, step: &StepInfo, weaves: &[Weave], cold: bool) -> Result<(), StepError> {
        let come = come(conn, step)?.unwrap_or_default();
        let (pairs, last) = if come.undoing { (0, &[][..]) } else { (come.pairs, &come.last[..]) };
        if !cold && come.batches >= 2 {
            return Ok(());
        }
        // One batch may go from a pair to the next, which is behind nothing yet.
        let behind = std::iter::once(last).chain(std::iter::repeat(&[][..]));
        weaves
            .iter()
            .skip(pairs)
            .zip(behind)
            .try_for_each(|(weave, after)| Range::compile(conn, weave, after))
            .map_err(|e| sqlite_error(e, "compiling a batch"))
    }

    /// Works on the next `size` rows. None: there are none left.
    fn batch(
        &self,
        conn: &Connection,
        recorder: &Recorder,
        step: &StepInfo,
        weaves: &[Weave],
        size: u64,
    ) -> Result<Option<Come>, StepError> {
        let mut come = come(conn, step)?.unwrap_or_default();
        if come.undoing {
            // What was not taken back yet is there; what was is filled in again.
            come = Come { batches: come.batches, ..Come::default() };
        } else if come.batches == 0 {
            kept::forget(conn, step)?;
        }
        let failed =
            |e, weave: &Weave, seen| sqlite_error(e, &format!("filling `{}` after {seen} old rows", weave.new.name));
        while let Some(weave) = weaves.get(come.pairs) {
            let range = Range::next(conn, weave, &come.last, size).map_err(|e| failed(e, weave, come.seen))?;
            let Some(range) = range else {
                come.pairs += 1;
                come.last = Vec::new();
                continue;
            };
            let (inserted, rows, aside) = range.fill(conn, recorder, weave).map_err(|e| failed(e, weave, come.seen))?;
            come.batches += 1;
            come.seen += range.rows;
            come.rows += rows;
            come.aside += aside;
            // What comes behind the last row is shown by the triggers: whoever ran after it would run for as long as programs
            // write.
            if range.rows < size {
                come.pairs += 1;
                come.last = Vec::new();
            } else {
                come.last = range.upto;
            }
            kept::save(conn, step, come.batches, &inserted)?;
            bookkeeping::set_cursor(conn, step, &come.text()?)?;
            return Ok(Some(come));
        }
        Ok(None)
    }

    /// Takes back what the last batch inserted. Whether there was one.
    fn undo_batch(&self, conn: &Connection, step: &StepInfo, state: &Come) -> Result<bool, StepError> {
        let Some((key, inserted)) = kept::last(conn, step)? else { return Ok(false) };
        let undo = || -> rusqlite::Result<()> {
            let Some(pair) = self.mapping.pair(&inserted.pair) else { return Ok(()) };
            guard(conn, pair, Some("backfill"))?;
            let new = |column: &str| format!("{}.{}", quote_ident(&pair.new), quote_ident(column));
            let same: Vec<String> =
                pair.key.iter().map(|k| format!("r.{} = {}", quote_ident(&k.old), k.across(&new(&k.new)))).collect();
            // A row that only the new table has (its old one was not to be shown) is nobody's to delete; one that others
            // have made the parent of theirs is no longer ours alone.
            let old = format!("EXISTS (SELECT 1 FROM {} AS r WHERE {})", quote_ident(&pair.old), same.join(" AND "));
            let conditions = [old].into_iter().chain(self.alone(conn, &pair.new)?);
            take(conn, &pair.new, &inserted.rows, &conditions.collect::<Vec<_>>().join(" AND "))?;
            if let Some(parent) = &pair.parent {
                let shown = self.mapping.shown_of(&parent.new).map(|shown| {
                    let table = quote_ident(&parent.new);
                    format!("NOT coalesce(({}), 0)", over(shown, |_, c| format!("{table}.{}", quote_ident(c))))
                });
                let conditions = self.alone(conn, &parent.new)?.into_iter().chain(shown);
                take(conn, &parent.new, &inserted.parents, &conditions.collect::<Vec<_>>().join(" AND "))?;
            }
            guard(conn, pair, None)
        };
        undo().map_err(|e| sqlite_error(e, "taking back the rows that were filled in"))?;
        kept::drop(conn, &key)?;
        let state = Come { undoing: true, last: Vec::new(), ..state.clone() };
        bookkeeping::set_cursor(conn, step, &state.text()?)?;
        Ok(true)
    }

    /// The conditions that no row of the mapping has a row of `table` for its parent.
    fn alone(&self, conn: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
        let children = self.mapping.pairs.iter().filter_map(|pair| Some((pair, pair.parent.as_ref()?)));
        let mut found = Vec::new();
        for (pair, parent) in children.filter(|(_, parent)| same_name(&parent.new, table)) {
            if there(conn, &pair.new)? {
                let (child, refers) = (quote_ident(&pair.new), quote_ident(&parent.refers));
                let id = format!("{}.{}", quote_ident(table), quote_ident(&parent.id));
                found.push(format!("NOT EXISTS (SELECT 1 FROM {child} AS c WHERE c.{refers} = {id})"));
            }
        }
        Ok(found)
    }

    /// Old rows that no new row shows, and that are not in the quarantine either.
    fn missing(&self, conn: &Connection) -> Result<Vec<String>, StepError> {
        let mut lines = Vec::new();
        match stage::read(conn, &self.mapping.name)? {
            // The old tables are gone by design.
            Stage::Contracted | Stage::Retired => return Ok(lines),
            Stage::OldOnly => {
                return Ok(vec![format!("mapping {}: expected stage dual-write, found none", self.mapping.name)]);
            }
            Stage::DualWrite | Stage::PreferNew | Stage::NewOnly => {}
        }
        for weave in self.all(conn)? {
            let condition = format!(
                "NOT EXISTS (SELECT 1 FROM {} AS there WHERE {}) AND NOT {}",
                weave.table(Side::New),
                weave.same_key((Side::New, "there"), (Side::Old, ROW)),
                weave.quarantined(Side::Old, (Side::Old, ROW))
            );
            let first = weave.key_text(Side::Old, ROW);
            let sql = format!("SELECT count(*), min({first}) {}", weave.rows(Side::Old, &condition));
            let (count, first): (i64, Option<String>) =
                conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(|e| {
                    sqlite_error(e, &format!("looking for old rows that `{}` does not show", weave.new.name))
                })?;
            if count > 0 {
                lines.push(format!(
                    "table {}: expected a row for each of {}, found none for {count} (one has the key {})",
                    weave.new.name,
                    weave.old.name,
                    first.unwrap_or_default()
                ));
            }
        }
        Ok(lines)
    }
}

/// Tells the triggers who writes.
fn guard(conn: &Connection, pair: &Pair, origin: Option<&str>) -> rusqlite::Result<()> {
    let mut set = conn.prepare_cached(&format!("UPDATE {GUARD} SET origin = ?1 WHERE pair = ?2"))?;
    set.execute((origin, &pair.name)).map(|_| ())
}

fn there(conn: &Connection, table: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE")?
        .exists([table])
}

/// Deletes the rows of `table` in these ranges of rowids that meet `condition`.
fn take(conn: &Connection, table: &str, ranges: &[(i64, i64)], condition: &str) -> rusqlite::Result<()> {
    if !there(conn, table)? {
        return Ok(());
    }
    let mut statement = conn
        .prepare_cached(&format!("DELETE FROM {} WHERE rowid BETWEEN ?1 AND ?2 AND {condition}", quote_ident(table)))?;
    ranges.iter().rev().try_for_each(|(from, to)| statement.execute([from, to]).map(|_| ()))
}

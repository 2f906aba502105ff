//! All that parity asks of a mapping, and what came of it.
//!
//! Owns which questions there are and that all answers are told at once. Only reads, in whatever transaction it is in:
//! what it says is of one moment.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::StepError;
use rusqlite::Connection;

use super::compare::{Differing, compare, differing};
use super::part::Part;
use super::sides::Sides;
use super::{groups, log, quarantine, values};
use crate::declared;
use crate::mapping::{Mapping, Pair};
use crate::sql::sqlite_error;

/// What is asked beyond the mapping itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// How many rows may be in quarantine.
    pub(crate) quarantined: u64,
    /// By pair, the old columns by which readers ask; where a pair is not named, its [usual](groups::usual) ones.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// Writers wait: only what decides is asked, the quickest way.
    pub(crate) quick: bool,
    /// Figures out of their range are told, and in nobody's way.
    pub(crate) any_figure: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What is not as it has to be; empty when both schemas show the same.
    pub(crate) failures: Vec<String>,
    /// What is lost on one of the ways, and what is in quarantine by leave.
    pub(crate) notes: Vec<String>,
    /// Rows that were compared.
    pub(crate) rows: u64,
    /// What can be done about the failures.
    helps: BTreeSet<&'static str>,
}

const MISSING: &str = "run `sqlite.backfill` to its end for rows that are missing";
const UNLIKE: &str = "mend the rows that are named, on the side that is wrong";
const ORPHANS: &str = "give the rows without a parent one, or delete them";
const HELD_OLD: &str =
    "mend or delete the old rows in quarantine (`_cutover_quarantine` has them all), or allow them with `quarantined`";
const HELD_NEW: &str =
    "mend or delete the new rows in quarantine (`_cutover_quarantine` has them all), or allow them with `quarantined`";

impl Report {
    /// Adds what came of rows that were written since.
    pub(super) fn add(&mut self, more: Self) {
        self.failures.extend(more.failures);
        self.helps.extend(more.helps);
        self.rows += more.rows;
    }

    /// An error of all failures; none when there is none.
    pub(crate) fn error(&self, what: &str) -> Option<StepError> {
        if self.failures.is_empty() {
            return None;
        }
        let text = format!("{what}: {}", self.failures.join("; "));
        let helps: Vec<&str> = self.helps.iter().copied().chain(["then run the same command again"]).collect();
        Some(StepError::failed(text).with_help(helps.join("; ")))
    }
}

/// Asks it all. `progress` is called with the rows compared so far.
pub(crate) fn parity(
    conn: &Connection,
    mapping: &Mapping,
    asked: &Asked,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, StepError> {
    let mut report = Report::default();
    for pair in &mapping.pairs {
        one(conn, pair, asked, progress, &mut report)?;
    }
    Ok(report)
}

fn one(
    conn: &Connection,
    pair: &Pair,
    asked: &Asked,
    progress: &dyn Fn(u64, u64),
    report: &mut Report,
) -> Result<(), StepError> {
    let tables = [Some(&pair.old), Some(&pair.new), pair.parent.as_ref().map(|p| &p.new)];
    for table in tables.into_iter().flatten() {
        if declared::object(conn, table)?.is_none_or(|object| object.kind != "table") {
            let error = declared::no_such_table(conn, table)?;
            return Err(error.with_help("apply the `sqlite.expand` step of this mapping first"));
        }
    }
    let sides = Sides::of(conn, pair)?;
    let failed = |e| sqlite_error(e, "while counting the rows");
    let rows = values::one(conn, &format!("SELECT count(*) {}", sides.old_from())).map_err(failed)?;
    let differing =
        compare(conn, &sides, asked.quick, &|done| progress(report.rows + done.min(rows), report.rows + rows))?;
    report.helps.extend(remedies(&differing));
    let differing = differing.lines(pair);
    // Where each row is the same on both sides, so are the rows of each group.
    let implied = asked.quick && differing.is_empty();
    report.failures.extend(differing);
    report.rows += rows;
    let held = beside(conn, pair, &sides, asked, &Part::default(), report)?;
    if implied && held == 0 {
        return Ok(());
    }
    let by = asked.groups.get(&pair.name).cloned().unwrap_or_else(|| groups::usual(pair));
    let hidden = groups::hidden(conn, &sides, &by, held > asked.quarantined)?;
    report.helps.extend((!hidden.is_empty()).then_some(MISSING));
    report.failures.extend((!hidden.is_empty()).then(|| format!("{}: {}", pair.name, hidden.join("; "))));
    if !asked.quick {
        report.notes.extend(values::lossy(conn, pair, &sides)?);
    }
    Ok(())
}

/// Asks it of the rows alone that are in the logs. What all rows together have to fulfil follows when all others did: a
/// group is whole when each of its rows is there.
pub(crate) fn rest(conn: &Connection, mapping: &Mapping, asked: &Asked) -> Result<Report, StepError> {
    let mut report = Report::default();
    for pair in &mapping.pairs {
        let sides = Sides::of(conn, pair)?;
        let (_, keys) = log::last(conn, pair)?;
        let part = log::part(pair, &sides);
        let found = differing(conn, &sides, &part)?;
        report.helps.extend(remedies(&found));
        report.failures.extend(found.lines(pair));
        report.rows += keys;
        beside(conn, pair, &sides, asked, &part, &mut report)?;
    }
    Ok(report)
}

fn remedies(differing: &Differing) -> impl Iterator<Item = &'static str> {
    let missing = differing.has_missing().then_some(MISSING);
    missing.into_iter().chain(differing.has_others().then_some(UNLIKE))
}

fn orphans_of(conn: &Connection, pair: &Pair, sides: &Sides, part: &Part) -> Result<Option<String>, StepError> {
    let (Some(orphans), Some(parent)) = (sides.orphans(), &pair.parent) else { return Ok(None) };
    let count = values::one(conn, &format!("SELECT count(*) {orphans}{}", part.new));
    Ok(match count.map_err(|e| sqlite_error(e, "while counting the rows"))? {
        0 => None,
        n => Some(format!("{}: rows of `{}` that belong to no row of `{}`: {n}", pair.name, pair.new, parent.new)),
    })
}

/// What is asked of rows beside the comparison. Returns how many rows are in quarantine.
fn beside(
    conn: &Connection,
    pair: &Pair,
    sides: &Sides,
    asked: &Asked,
    part: &Part,
    report: &mut Report,
) -> Result<u64, StepError> {
    let orphans = orphans_of(conn, pair, sides, part)?;
    report.helps.extend(orphans.is_some().then_some(ORPHANS));
    report.failures.extend(orphans);
    let outside = values::out_of_range(conn, pair, sides, part)?;
    if asked.any_figure {
        report.notes.extend(outside);
    } else {
        report.helps.extend((!outside.is_empty()).then_some(UNLIKE));
        report.failures.extend(outside);
    }
    let held = quarantine::of(conn, pair)?;
    if held.count > 0 {
        let rows = if held.count == 1 { "1 row is".to_owned() } else { format!("{} rows are", held.count) };
        let more = if held.count > held.named.len() as u64 { "; …" } else { "" };
        let line = format!("{}: {rows} in quarantine: {}{more}", pair.name, held.named.join("; "));
        if held.count > asked.quarantined {
            report.helps.extend((held.old > 0).then_some(HELD_OLD));
            report.helps.extend((held.count > held.old).then_some(HELD_NEW));
            report.failures.push(line);
        } else {
            report.notes.push(line);
        }
    }
    Ok(held.count)
}

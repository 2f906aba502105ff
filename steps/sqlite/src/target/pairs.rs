//! Rows of one table before and after a change, side by side.
//!
//! Owns which row after is which row before. Rows that a change left as they were are none of its doing.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::StepError;

use super::reader::{Key, NONE, Reader};
use crate::written::{Gone, Part};

/// The columns as they were, none where they are the same: an unchanged row shows by its digest only then.
fn same_columns(before: &Reader<'_>, after: &Reader<'_>) -> bool {
    let folded = |r: &Reader<'_>| r.columns.names().iter().map(|n| n.to_ascii_lowercase()).collect::<BTreeSet<_>>();
    folded(before) == folded(after)
}

/// A part for the table of `after`, with no rows yet.
pub(crate) fn part(before: Option<&Reader<'_>>, after: &Reader<'_>) -> Part {
    Part {
        table: after.columns.table().to_owned(),
        columns: after.columns.names().to_vec(),
        was: before.map(|b| b.columns.names().to_vec()).unwrap_or_default(),
        ..Part::default()
    }
}

/// Sorts, and leaves out what need not be said. None: there is nothing to say.
pub(crate) fn finish(mut part: Part, before: Option<&Reader<'_>>, after: &Reader<'_>) -> Option<Part> {
    let same = before.is_some_and(|before| same_columns(before, after));
    let mut rows: Vec<(u64, u64)> = part.before.drain(..).zip(part.after.drain(..)).collect();
    rows.retain(|(was, is)| !same || was != is);
    rows.sort_unstable();
    rows.dedup();
    (part.before, part.after) = rows.into_iter().unzip();
    part.new.sort_unstable();
    part.new.dedup();
    if part.before.is_empty() {
        part.was.clear();
    }
    (!part.new.is_empty() || !part.before.is_empty()).then_some(part)
}

/// Every row of a table, before and after. `in_place`: it is the table that it was, so rows keep their rowids.
pub(crate) fn whole(
    before: Option<&Reader<'_>>,
    after: &Reader<'_>,
    in_place: bool,
) -> Result<(Option<Part>, Option<Gone>), StepError> {
    let mut old: BTreeMap<Key, u64> = BTreeMap::new();
    if let Some(before) = before {
        before.read("1", [NONE], |key, digest| {
            old.insert(key, digest);
        })?;
    }
    let by_key = before.is_some_and(|before| {
        before.key == after.key && (in_place || after.key.is_some() || !(before.is_implicit() || after.is_implicit()))
    });
    let mut made = part(before, after);
    if by_key {
        after.read("1", [NONE], |key, digest| match old.remove(&key) {
            Some(was) => {
                made.before.push(was);
                made.after.push(digest);
            }
            None => made.new.push(digest),
        })?;
    } else {
        let same = before.is_some_and(|before| same_columns(before, after));
        let mut was: BTreeSet<u64> = old.values().copied().collect();
        let mut kept = BTreeSet::new();
        after.read("1", [NONE], |_, digest| {
            if same && was.remove(&digest) {
                kept.insert(digest);
            } else {
                made.new.push(digest);
            }
        })?;
        old.retain(|_, digest| !kept.contains(digest));
    }
    let gone = before.and_then(|before| left_behind(before, old.into_values().collect()));
    Ok((finish(made, before, after), gone))
}

/// Every row of a table that is no more.
pub(crate) fn dropped(before: &Reader<'_>) -> Result<Option<Gone>, StepError> {
    let mut rows = Vec::new();
    before.read("1", [NONE], |_, digest| rows.push(digest))?;
    Ok(left_behind(before, rows))
}

fn left_behind(before: &Reader<'_>, mut rows: Vec<u64>) -> Option<Gone> {
    rows.sort_unstable();
    let (table, columns) = (before.columns.table().to_owned(), before.columns.names().to_vec());
    (!rows.is_empty()).then_some(Gone { table, columns, rows })
}

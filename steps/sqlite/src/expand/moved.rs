//! An update carried over: only what changed is written.
//!
//! Owns what becomes of a row's image on the other side when the row is updated: a row of a view, like the image of a new
//! row (`views`), that also says which row it was. Whether it fits is asked once.

use crate::mapping::names::QUARANTINE;
use crate::sql::{quote_ident, quote_text};

use super::image::parent_column;
use super::triggers::Part;
use super::views::{instead, parent_names, parent_view, view};
use super::weave::{BEFORE, LATE_ROW, PARENT, ROW, Side, THERE, WAS, WHY, Weave};

/// An old row belongs to another parent than before.
pub(super) const REGROUPS: &str = "\"row:regroups\"";
/// The row has another key than before.
const MOVED: &str = "\"row:moved\"";
/// A new row was shown on the old side before.
const MAPPED: &str = "\"was:mapped\"";

/// The view for rows of side `from` and its triggers.
pub(super) fn of(weave: &Weave, from: Side) -> [Part; 3] {
    let names: Vec<String> = parts(weave, from).into_iter().map(|(name, _)| name).collect();
    let name = moved_view(weave, from);
    [view(&name, &names), fits(weave, from, &name), unfit(weave, from, &name)]
}

fn moved_view(weave: &Weave, from: Side) -> String {
    weave.helper(&format!("{}_moved", from.name()))
}

/// The view's columns, each with its value in a query over the image `i` in a trigger of an update.
fn parts(weave: &Weave, from: Side) -> Vec<(String, String)> {
    let (columns, values) = weave.image_columns(from, "i");
    let mut parts: Vec<(String, String)> = columns.into_iter().zip(values).collect();
    if let (Some(parent), Side::Old) = (&weave.pair.parent, from) {
        let asked = parent.key.iter().chain(&parent.set).map(|c| parent_column(&c.name));
        parts.extend(asked.map(|name| (name.clone(), format!("i.{name}"))));
        parts.push((REGROUPS.to_owned(), format!("i.{REGROUPS}")));
    }
    parts.extend(weave.key_of(from, "OLD").into_iter().enumerate().map(|(at, key)| (format!("\"was:{at}\""), key)));
    if from == Side::New {
        parts.push((MOVED.to_owned(), weave.key_moved(from)));
        parts.push((MAPPED.to_owned(), weave.scope(from, "OLD").unwrap_or_else(|| "1".to_owned())));
    }
    // What refers to the new row by its key stays with it: under another key there is another row.
    let why = match weave.referred((from, "OLD")).filter(|_| from == Side::Old && !weave.pair.gone.is_empty()) {
        Some(referred) => {
            format!("CASE WHEN ({}) AND ({referred}) THEN 'others refer to it' ELSE i.{WHY} END", weave.key_moved(from))
        }
        None => format!("i.{WHY}"),
    };
    parts.push((WHY.to_owned(), why));
    parts
}

/// Where the row still fits, what changed of it is written into the other side's row.
fn fits(weave: &Weave, from: Side, view: &str) -> Part {
    let other = from.other();
    let table = weave.table(other);
    let before = weave.same_key((other, &table), (from, WAS));
    let (columns, values) = weave.image_columns(from, "NEW");
    let mut sets: Vec<String> = columns.iter().zip(values).map(|(name, value)| format!("{name} = {value}")).collect();
    let mut body = Vec::new();
    if let (Some(parent), Side::Old) = (&weave.pair.parent, from) {
        body.extend(weave.leaving(&format!("{before} AND NEW.{REGROUPS}")));
        let asked = parent.key.iter().chain(&parent.set).map(|c| format!("NEW.{}", parent_column(&c.name)));
        body.push(format!(
            "INSERT INTO {} ({}) SELECT {} WHERE NEW.{REGROUPS}",
            quote_ident(&parent_view(weave)),
            parent_names(parent).join(", "),
            asked.collect::<Vec<_>>().join(", ")
        ));
        let refers = quote_ident(&parent.refers);
        sets.push(format!(
            "{refers} = CASE WHEN NEW.{REGROUPS} THEN {} ELSE {refers} END",
            weave.parent_of_image("NEW")
        ));
    }
    let ours = match from {
        Side::Old => format!("NOT ({})", weave.strange((from, WAS))),
        Side::New => weave.mirrored((from, WAS)),
    };
    body.push(format!("UPDATE {table} SET {} WHERE {before} AND {ours}", sets.join(", ")));
    instead(view, "fits", Some(&format!("NEW.{WHY} IS NULL")), &body)
}

/// Where it does not fit any more, an old row is shown no longer; an old row that cannot follow stays as it was, unless
/// its key is another one now.
fn unfit(weave: &Weave, from: Side, view: &str) -> Part {
    let other = from.other();
    let table = weave.table(other);
    let before = weave.same_key((other, &table), (from, WAS));
    let body = match from {
        Side::Old => weave.withdraw(&before, (from, WAS)),
        Side::New => vec![format!(
            "DELETE FROM {table} WHERE {before} AND NEW.{MOVED} AND NEW.{MAPPED} AND {}",
            weave.mirrored((from, WAS))
        )],
    };
    instead(view, "unfit", Some(&format!("NEW.{WHY} IS NOT NULL")), &body)
}

impl Weave {
    /// Carries an update of a row of side `from` over.
    pub(super) fn carry(&self, from: Side) -> Vec<String> {
        let other = from.other();
        let (names, values): (Vec<_>, Vec<_>) = parts(self, from).into_iter().unzip();
        let image = self.image_moved(from);
        let mut all = vec![format!(
            "INSERT INTO {} ({}) SELECT {} FROM {image} AS i",
            quote_ident(&moved_view(self, from)),
            names.join(", "),
            values.join(", ")
        )];
        // What is not mapped any more has no image.
        if let Some(scope) = self.scope(from, ROW) {
            let table = self.table(other);
            let here = self.same_key((from, ROW), (from, "NEW"));
            let ceases = format!(
                "{} AND EXISTS (SELECT 1 FROM {} AS {ROW} WHERE {here} AND NOT coalesce(({scope}), 0))",
                self.same_key((other, &table), (from, "OLD")),
                self.table(from)
            );
            match from {
                Side::Old => all.extend(self.withdraw(&ceases, (from, "OLD"))),
                Side::New => {
                    let then = self.scope(from, "OLD").unwrap_or_default();
                    let mirrored = self.mirrored((from, "OLD"));
                    all.push(format!("DELETE FROM {table} WHERE {ceases} AND ({then}) AND {mirrored}"));
                }
            }
        }
        all
    }

    /// The condition that an old row, before and after, belongs to different parents.
    pub(crate) fn parent_changed(&self) -> String {
        let keys = self.pair.parent.iter().flat_map(|p| &p.key);
        keys.map(|k| changed(&k.sql, PARENT, PARENT)).collect::<Vec<_>>().join(" OR ")
    }

    /// Like [`Self::rows`], with what the other side has, with the parent that a new row had before an update, and with what the
    /// quarantine says of it.
    pub(crate) fn rows_before(&self, from: Side, condition: &str) -> String {
        let rows = self.rows(from, condition);
        let other = from.other();
        let mut joins =
            format!(" LEFT JOIN {} AS {THERE} ON {}", self.table(other), self.same_key((other, THERE), (from, "OLD")));
        if let (Some(parent), Some(shape), Side::New) = (&self.pair.parent, &self.parent, from) {
            joins += &format!(
                " LEFT JOIN {} AS {BEFORE} ON {BEFORE}.{} = OLD.{}",
                shape.ident(),
                quote_ident(&parent.id),
                quote_ident(&parent.refers)
            );
        }
        if from == Side::New {
            joins += &self.late((from, "OLD"));
        }
        rows.replacen(" WHERE ", &format!("{joins} WHERE "), 1)
    }

    /// What the quarantine says of the new row whose key is that of `row` (of side `of`), as a join: asked once for a row
    /// of which [`LATE`] is said of each column.
    pub(super) fn late(&self, (of, row): (Side, &str)) -> String {
        format!(
            " LEFT JOIN {QUARANTINE} AS {LATE_ROW} ON {LATE_ROW}.pair = {} AND {LATE_ROW}.side = 'new' AND {LATE_ROW}.key = {}",
            quote_text(&self.pair.name),
            self.key_text(of, row)
        )
    }
}

/// The condition that an expression gives another value for the row `OLD` and its parent `before` than for [`ROW`] and its
/// parent `parent`. Byte for byte: the collation of a column would hide a change of case.
pub(crate) fn changed(expression: &str, parent: &'static str, before: &'static str) -> String {
    let now = Weave::speak(expression, ROW, parent);
    let then = Weave::speak(expression, "OLD", before);
    differ(&then, &now)
}

/// The condition that two expressions have different values.
pub(crate) fn differ(a: &str, b: &str) -> String {
    format!("(({a}) IS NOT ({b}) COLLATE BINARY OR typeof({a}) <> typeof({b}))")
}

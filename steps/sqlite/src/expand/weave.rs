//! The words of which all triggers of a pair are made: sides, keys, rows that are mapped.
//!
//! Owns no trigger. Every name is quoted, every expression speaks of rows by names of ours.

use crate::mapping::names::{PREFIX, QUARANTINE};
use crate::mapping::over::{self, Row};
use crate::mapping::{Column, Pair};
use crate::sql::{quote_ident, quote_text};

use super::shape::Shape;

/// A pair with the tables as the database has them.
#[derive(Debug, Clone)]
pub(crate) struct Weave {
    pub(crate) pair: Pair,
    pub(crate) old: Shape,
    pub(crate) new: Shape,
    pub(crate) parent: Option<Shape>,
    /// Every column that refers to the parent's id: (table, column).
    pub(crate) children: Vec<(String, String)>,
    /// Every column that refers to the key of the new table.
    pub(crate) referring: Vec<(String, String)>,
    /// Conditions over `new`, under each of which the parent's row is shown by a pair of its own.
    pub(crate) parent_shown: Vec<String>,
}

/// A side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Old,
    New,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Old => "old",
            Side::New => "new",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Side::Old => Side::New,
            Side::New => Side::Old,
        }
    }
}

/// Of how many rows a condition is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    OfOne,
    OfMany,
}

impl Asked {
    /// Of the rows called `row`: one where that is the row of a trigger.
    pub(crate) fn of(row: &str) -> Self {
        if [WAS, "NEW", "OLD"].contains(&row) { Self::OfOne } else { Self::OfMany }
    }
}

/// The row of the table in a query of ours.
pub(crate) const ROW: &str = "_cutover_row";
/// The parent of that row.
pub(crate) const PARENT: &str = "_cutover_parent";
/// The parent that a row had before.
pub(crate) const BEFORE: &str = "_cutover_before";
/// What the other side shows of the row before.
pub(crate) const THERE: &str = "_cutover_there";
/// What the quarantine says of the new row.
pub(super) const LATE_ROW: &str = "_cutover_late";
/// That it says something: the old row could not follow an earlier change, and has all of it to catch up.
pub(super) const LATE: &str = "_cutover_late.key IS NOT NULL";
/// The row that an image was before an update, of which a row of a view knows no more than the key.
pub(super) const WAS: &str = "_cutover_was";
/// That row as it was, as it is, and as the other side has it.
pub(super) const SEEN: &str = "_cutover_seen";
/// Its image on the other side.
pub(super) const IMAGE: &str = "_cutover_image";
/// Why an image does not fit, as a column of it. Our columns have a colon in their names, so that a table may have columns of
/// any other.
pub(super) const WHY: &str = "\"row:why\"";

impl Weave {
    pub(crate) fn shape(&self, side: Side) -> &Shape {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    pub(crate) fn table(&self, side: Side) -> String {
        self.shape(side).ident()
    }

    /// The key's columns in the table of that side, as identifiers.
    pub(crate) fn keys(&self, side: Side) -> Vec<String> {
        self.key_names(side).map(quote_ident).collect()
    }

    pub(crate) fn key_names(&self, side: Side) -> impl Iterator<Item = &str> + Clone {
        self.pair.key.iter().map(move |key| match side {
            Side::Old => key.old.as_str(),
            Side::New => key.new.as_str(),
        })
    }

    /// The name of a helper of the pair.
    pub(super) fn helper(&self, what: &str) -> String {
        format!("{PREFIX}{}_{what}", self.pair.name)
    }

    /// The key of the row `row` of side `of`, as that side has it.
    pub(crate) fn key_of(&self, of: Side, row: &str) -> Vec<String> {
        if row == WAS {
            return (0..self.pair.key.len()).map(|at| format!("NEW.\"was:{at}\"")).collect();
        }
        self.keys(of).iter().map(|key| format!("{row}.{key}")).collect()
    }

    /// Values of the key's columns on side `of`, as side `to` has them.
    pub(crate) fn across(&self, of: Side, to: Side, values: Vec<String>) -> Vec<String> {
        let each = self.pair.key.iter().zip(values);
        each.map(|(key, value)| if of == to { value } else { key.across(&value) }).collect()
    }

    /// That the row `a` of side `of_a` has the key of the row `b` of side `of_b`: as an index of `a` can find it.
    pub(crate) fn same_key(&self, (of_a, a): (Side, &str), (of_b, b): (Side, &str)) -> String {
        let pairs = self.key_of(of_a, a).into_iter().zip(self.across(of_b, of_a, self.key_of(of_b, b)));
        pairs.map(|(a, b)| format!("{a} = {b}")).collect::<Vec<_>>().join(" AND ")
    }

    /// That the key moved between the rows `a` and `b` of side `of`.
    pub(crate) fn key_moved(&self, of: Side) -> String {
        let keys = self.keys(of);
        keys.iter().map(|k| format!("OLD.{k} IS NOT NEW.{k}")).collect::<Vec<_>>().join(" OR ")
    }

    /// The key of a row as the quarantine has it: the old side's.
    pub(crate) fn key_text(&self, of: Side, row: &str) -> String {
        self.quoted(of, self.key_of(of, row))
    }

    /// Values of the key's columns on side `of`, as the quarantine has them.
    pub(crate) fn quoted(&self, of: Side, values: Vec<String>) -> String {
        let key = self.across(of, Side::Old, values);
        key.iter().map(|k| format!("quote({k})")).collect::<Vec<_>>().join(" || ',' || ")
    }

    /// `prefix0, prefix1`: names that the columns of a key have in a query of ours.
    pub(crate) fn numbered(&self, prefix: &str) -> Vec<String> {
        (0..self.pair.key.len()).map(|at| format!("{prefix}{at}")).collect()
    }

    /// The key of the row of which `of` has an image, in a query over the image.
    pub(crate) fn image_key(&self, image: &str) -> Vec<String> {
        (0..self.pair.key.len()).map(|at| format!("{image}.\"key:{at}\"")).collect()
    }

    /// The condition that the quarantine has a row of side `side` with the key of `row`, which is of side `of`.
    pub(crate) fn quarantined(&self, side: Side, (of, row): (Side, &str)) -> String {
        self.found_quarantined(side, Asked::of(row), &self.quarantine_key(side, (of, row)))
    }

    /// The condition that the quarantine has a row of side `side` that meets `condition`. Of many rows it is asked only where
    /// the quarantine has any.
    pub(crate) fn found_quarantined(&self, side: Side, asked: Asked, condition: &str) -> String {
        let found = format!("EXISTS (SELECT 1 FROM {QUARANTINE} WHERE {condition})");
        match asked {
            Asked::OfOne => found,
            Asked::OfMany => format!("({} AND {found})", self.any_quarantined(side)),
        }
    }

    /// The condition that the quarantine has any row of side `side`: asked once in a statement, and mostly there is none.
    pub(crate) fn any_quarantined(&self, side: Side) -> String {
        let pair = quote_text(&self.pair.name);
        format!("EXISTS (SELECT 1 FROM {QUARANTINE} WHERE pair = {pair} AND side = '{}')", side.name())
    }

    /// Whether old and new rows have the same rowids, by which the rows between two keys are found on both sides.
    pub(crate) fn same_rowids(&self) -> bool {
        let [key] = &self.pair.key[..] else { return false };
        let is = |shape: &Shape, name: &str| shape.rowid.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(name));
        is(&self.old, &key.old)
            && is(&self.new, &key.new)
            && self.same_key((Side::New, "n"), (Side::Old, "o"))
                == format!("n.{} = o.{}", quote_ident(&key.new), quote_ident(&key.old))
    }

    /// The condition on the quarantine's own columns.
    pub(crate) fn quarantine_key(&self, side: Side, (of, row): (Side, &str)) -> String {
        let (pair, key) = (quote_text(&self.pair.name), self.key_text(of, row));
        format!("pair = {pair} AND side = '{}' AND key = {key}", side.name())
    }

    /// The columns that the other side's row gets from a row of side `from`, besides key and parent.
    pub(crate) fn columns(&self, from: Side) -> &[Column] {
        match from {
            Side::Old => &self.pair.forth,
            Side::New => &self.pair.back,
        }
    }

    /// An expression over a row of side `from` called `row`, whose parent is called `parent`.
    pub(crate) fn speak(expression: &str, row: &'static str, parent: &'static str) -> String {
        over::named(expression, |which| if which == Row::Parent { parent } else { row })
    }

    /// The rows of side `from` that meet `condition`, with their parents, as a FROM clause. The row is [`ROW`].
    pub(crate) fn rows(&self, from: Side, condition: &str) -> String {
        let table = self.table(from);
        let parent = match (&self.pair.parent, &self.parent, from) {
            (Some(p), Some(shape), Side::New) if self.speaks_of_parent() => format!(
                " LEFT JOIN {} AS {PARENT} ON {PARENT}.{} = {ROW}.{}",
                shape.ident(),
                quote_ident(&p.id),
                quote_ident(&p.refers)
            ),
            _ => String::new(),
        };
        let scope = self.scope(from, ROW).map(|scope| format!(" AND ({scope})")).unwrap_or_default();
        format!("FROM {table} AS {ROW}{parent} WHERE {condition}{scope}")
    }

    /// Whether a way back needs the parent.
    pub(super) fn speaks_of_parent(&self) -> bool {
        self.pair.back.iter().any(|c| over::speaks_of(&c.sql, Row::Parent))
    }

    /// The condition that a row of that side is mapped at all.
    pub(crate) fn scope(&self, side: Side, row: &'static str) -> Option<String> {
        let when = match side {
            Side::Old => self.pair.when.as_ref(),
            Side::New => self.pair.when_new.as_ref(),
        }?;
        Some(Self::speak(when, row, PARENT))
    }

    /// The condition that a row of `side` with the key `key` (as `of` has it) is there and not mapped.
    pub(crate) fn unmapped(&self, side: Side, (of, key): (Side, Vec<String>)) -> Option<String> {
        let scope = self.scope(side, ROW)?;
        let same = self.key_of(side, ROW).into_iter().zip(self.across(of, side, key));
        let same = same.map(|(a, b)| format!("{a} = {b}")).collect::<Vec<_>>().join(" AND ");
        Some(format!(
            "EXISTS (SELECT 1 FROM {} AS {ROW} WHERE {same} AND NOT coalesce(({scope}), 0))",
            self.table(side)
        ))
    }

    /// The id of the parent that an old row belongs to, which `speak` says expressions over; NULL while there is none.
    pub(crate) fn parent_id(&self, speak: &dyn Fn(&str) -> String) -> Option<String> {
        let (parent, shape) = (self.pair.parent.as_ref()?, self.parent.as_ref()?);
        let same = parent.key.iter().map(|k| format!("p.{} IS {}", quote_ident(&k.name), speak(&k.sql)));
        let same = same.collect::<Vec<_>>().join(" AND ");
        Some(format!("(SELECT min(p.{}) FROM {} AS p WHERE {same})", quote_ident(&parent.id), shape.ident()))
    }

    /// Whether a mirrored row of that side has the column set.
    pub(crate) fn writes(&self, side: Side, name: &str) -> bool {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        self.key_names(side).any(same)
            || self.columns(side.other()).iter().any(|c| same(&c.name))
            || (side == Side::New && self.pair.parent.as_ref().is_some_and(|p| same(&p.refers)))
    }
}

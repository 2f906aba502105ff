//! The image of a row on the other side: what its columns would be there.

use crate::mapping::Range;
use crate::mapping::over::{self, Row};
use crate::sql::{quote_ident, row_json};

use super::shape::{Column, Unique};
use super::weave::{IMAGE, PARENT, ROW, Side, WHY, Weave};

/// What an image is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The rows [`ROW`] of a query.
    Rows,
    /// The row `NEW` of a trigger, which has just been inserted.
    New,
}

impl Weave {
    /// The columns of an image of a row of side `from`, each with its value: those of the other side's row, `parent:…` for
    /// what its parent gets, `key:…` for the key of the row itself.
    pub(super) fn parts(&self, from: Side, of: Of) -> Vec<(String, String)> {
        let other = from.other();
        let row = if of == Of::New { "NEW" } else { ROW };
        let speak = |expression: &str| match of {
            Of::New => self.speak_of_new(from, expression),
            Of::Rows => format!("({})", Self::speak(expression, ROW, PARENT)),
        };
        let keys = self.across(from, other, self.key_of(from, row));
        let mut parts: Vec<(String, String)> = self.keys(other).into_iter().zip(keys).collect();
        parts.extend(self.columns(from).iter().map(|c| (quote_ident(&c.name), speak(&c.sql))));
        if let (Some(parent), Side::Old) = (&self.pair.parent, from) {
            parts.extend(parent.key.iter().chain(&parent.set).map(|c| (parent_column(&c.name), speak(&c.sql))));
            if self.checked_parent() {
                parts.push((quote_ident(&parent.refers), self.parent_id(&speak).unwrap_or_default()));
            }
        }
        parts.extend(self.key_columns().into_iter().zip(self.key_of(from, row)));
        let alone = self.left_alone(other);
        parts.extend(alone.map(|c| (quote_ident(&c.name), c.default.clone().unwrap_or_else(|| "NULL".to_owned()))));
        parts
    }

    /// The image on the other side of those rows of side `from` that meet `condition`: a subquery with the columns of
    /// [`Self::parts`]. `why` is NULL where the image fits.
    pub(crate) fn image(&self, from: Side, condition: &str) -> String {
        let (columns, rows) = (select(&self.parts(from, Of::Rows)), self.rows(from, condition));
        let why = self.why(from, false, IMAGE).unwrap_or_else(|| "NULL".to_owned());
        format!("(SELECT *, {why} AS {WHY} FROM (SELECT {columns} {rows}) AS {IMAGE})")
    }

    /// The columns of an image that are the key of the row itself.
    pub(super) fn key_columns(&self) -> Vec<String> {
        self.numbered("key:").iter().map(|name| quote_ident(name)).collect()
    }

    /// The columns of that side's table that are left to their defaults and that an image has all the same.
    pub(super) fn left_alone(&self, side: Side) -> impl Iterator<Item = &Column> {
        let all = self.shape(side).columns.iter().filter(move |_| self.whole_image(side));
        all.filter(move |c| !c.generated && !self.writes(side, &c.name))
    }

    /// An expression over the row `NEW` of side `from`, which has just been inserted. A column of a table is compared by
    /// its affinity, which `NEW` has not: an expression that compares is asked of the row itself.
    fn speak_of_new(&self, from: Side, expression: &str) -> String {
        if over::compares(expression) {
            let here = self.same_key((from, ROW), (from, "NEW"));
            return format!("(SELECT {} {})", Self::speak(expression, ROW, PARENT), self.rows(from, &here));
        }
        let said = over::over(expression, |which, column| match (which, &self.pair.parent, &self.parent) {
            (Row::Parent, Some(parent), Some(shape)) => format!(
                "(SELECT p.{} FROM {} AS p WHERE p.{} = NEW.{})",
                quote_ident(column),
                shape.ident(),
                quote_ident(&parent.id),
                quote_ident(&parent.refers)
            ),
            _ => format!("NEW.{}", quote_ident(column)),
        });
        format!("({said})")
    }

    /// The ranges that a column of the new table, or of a parent, must lie in.
    pub(super) fn ranges<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Range> {
        self.pair.check.iter().filter(move |range| range.column.eq_ignore_ascii_case(name))
    }

    /// Whether an image on that side has the columns too that are left to their defaults.
    pub(super) fn whole_image(&self, side: Side) -> bool {
        !self.shape(side).checks.is_empty() || (side == Side::New && self.pair.when_new.is_some())
    }

    /// Whether the image must know the parent's id to say whether it fits.
    pub(super) fn checked_parent(&self) -> bool {
        let Some(parent) = &self.pair.parent else { return false };
        let names = |u: &Unique| u.columns.iter().flatten().any(|(c, _)| c.eq_ignore_ascii_case(&parent.refers));
        self.new.other_uniques(self.key_names(Side::New)).any(names) || !self.new.checks.is_empty()
    }

    /// The row of side `of` as JSON.
    pub(crate) fn json(&self, of: Side, row: &str) -> String {
        row_json(self.shape(of).columns.iter().map(|column| column.name.as_str()), row)
    }
}

/// `value AS name, …`
pub(super) fn select(parts: &[(String, String)]) -> String {
    parts.iter().map(|(name, value)| format!("{value} AS {name}")).collect::<Vec<_>>().join(", ")
}

/// A column of an image as the row alone makes it, whatever the other side has.
pub(super) fn asked_column(name: &str) -> String {
    quote_ident(&format!("asked:{name}"))
}

/// A column of an image that is the parent's.
pub(crate) fn parent_column(name: &str) -> String {
    quote_ident(&format!("parent:{name}"))
}

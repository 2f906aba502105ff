//! The image of a row on the other side: what its columns would be there.

use crate::mapping::Range;
use crate::mapping::over::{self, Row};
use crate::sql::{quote_ident, row_json};

use super::moved::changed;
use super::shape::Unique;
use super::weave::{BEFORE, IMAGE, PARENT, ROW, Side, THERE, Weave};

/// What an image is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The rows [`ROW`] of a query.
    Rows,
    /// The row `NEW` of a trigger, which has just been inserted.
    New,
    /// The row [`ROW`] that was `OLD`: what did not change is as the other side has it.
    Moved,
}

impl Weave {
    /// The columns of an image of a row of side `from`, each with its value: those of the other side's row, `parent:…` for
    /// what its parent gets, `key:…` for the key of the row itself.
    pub(super) fn parts(&self, from: Side, of: Of) -> Vec<(String, String)> {
        let other = from.other();
        let row = if of == Of::New { "NEW" } else { ROW };
        let speak = |expression: &str| match of {
            Of::New => self.speak_of_new(from, expression),
            Of::Rows | Of::Moved => format!("({})", Self::speak(expression, ROW, PARENT)),
        };
        let absent = self.key_of(other, THERE).first().map(|key| format!("{key} IS NULL")).unwrap_or_default();
        let follow = |name: &str, changed: &dyn Fn() -> String, value: String| match of {
            Of::Moved => format!("CASE WHEN {absent} OR {} THEN {value} ELSE {THERE}.{name} END", changed()),
            Of::Rows | Of::New => value,
        };
        let keys = self.across(from, other, self.key_of(from, row));
        let mut parts: Vec<(String, String)> = self.keys(other).into_iter().zip(keys).collect();
        for column in self.columns(from) {
            let (name, value) = (quote_ident(&column.name), speak(&column.sql));
            let changed = || {
                let changed = changed(&column.sql, PARENT, BEFORE);
                match from {
                    Side::Old => changed,
                    // A row that could not follow an earlier change has all of it to catch up.
                    Side::New => format!("{changed} OR {}", self.quarantined(Side::New, (from, "OLD"))),
                }
            };
            let followed = follow(&name, &changed, value.clone());
            parts.push((name, followed));
            if of == Of::Moved && from == Side::Old && self.ranges(&column.name).next().is_some() {
                parts.push((asked_column(&column.name), value));
            }
        }
        if let (Some(parent), Side::Old) = (&self.pair.parent, from) {
            parts.extend(parent.key.iter().chain(&parent.set).map(|c| (parent_column(&c.name), speak(&c.sql))));
            if of == Of::Moved || self.checked_parent() {
                let (name, id) = (quote_ident(&parent.refers), self.parent_id(&speak).unwrap_or_default());
                let followed = follow(&name, &|| self.parent_changed(), id);
                parts.push((name, followed));
            }
        }
        parts.extend(self.key_of(from, row).into_iter().enumerate().map(|(at, key)| (format!("\"key:{at}\""), key)));
        let shape = self.shape(other);
        if self.whole_image(other) {
            for column in shape.columns.iter().filter(|c| !c.generated && !self.writes(other, &c.name)) {
                let (name, value) = (quote_ident(&column.name), column.default.clone().unwrap_or("NULL".to_owned()));
                let followed = follow(&name, &|| "0".to_owned(), value);
                parts.push((name, followed));
            }
        }
        parts
    }

    /// The image on the other side of those rows of side `from` that meet `condition`: a subquery with the columns of
    /// [`Self::parts`]. `why` is NULL where the image fits. With `moving`, it is the image of the row `NEW` that was `OLD`.
    pub(crate) fn image(&self, from: Side, condition: &str, moving: bool) -> String {
        let parts = self.parts(from, if moving { Of::Moved } else { Of::Rows });
        let columns = parts.iter().map(|(name, value)| format!("{value} AS {name}")).collect::<Vec<_>>().join(", ");
        let rows = if moving { self.rows_before(from, condition) } else { self.rows(from, condition) };
        let why = self.why(from, moving, IMAGE).unwrap_or_else(|| "NULL".to_owned());
        format!("(SELECT *, {why} AS why FROM (SELECT {columns} {rows}) AS {IMAGE})")
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

/// A column of an image as the row alone makes it, whatever the other side has.
pub(super) fn asked_column(name: &str) -> String {
    quote_ident(&format!("asked:{name}"))
}

/// A column of an image that is the parent's.
pub(crate) fn parent_column(name: &str) -> String {
    quote_ident(&format!("parent:{name}"))
}

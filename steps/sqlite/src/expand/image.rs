//! The image of a row on the other side: what its columns would be there.

use crate::mapping::Range;
use crate::sql::{quote_ident, row_json};

use super::carry::changed;
use super::shape::Unique;
use super::weave::{BEFORE, IMAGE, PARENT, ROW, Side, THERE, Weave};

impl Weave {
    /// The image on the other side of those rows of side `from` that meet `condition`: a subquery with the other table's
    /// columns, and `parent:…` for what its parent gets. `why` is NULL where the image fits. With `moving`, it is the image
    /// of the row `NEW` that was `OLD`: what did not change is as the other side has it.
    pub(crate) fn image(&self, from: Side, condition: &str, moving: bool) -> String {
        let other = from.other();
        let keys = self.across(from, other, self.key_of(from, ROW));
        let mut columns: Vec<String> =
            keys.into_iter().zip(self.keys(other)).map(|(value, name)| format!("{value} AS {name}")).collect();
        let absent = self.key_of(other, THERE).first().map(|key| format!("{key} IS NULL")).unwrap_or_default();
        let follow = |name: &str, changed: &dyn Fn() -> String, value: &str| match moving {
            true => format!("CASE WHEN {absent} OR {} THEN {value} ELSE {THERE}.{name} END AS {name}", changed()),
            false => format!("({value}) AS {name}"),
        };
        for column in self.columns(from) {
            let value = Self::speak(&column.sql, ROW, PARENT);
            let changed = || {
                let changed = changed(&column.sql, PARENT, BEFORE);
                match from {
                    Side::Old => changed,
                    // A row that could not follow an earlier change has all of it to catch up.
                    Side::New => format!("{changed} OR {}", self.quarantined(Side::New, (from, "OLD"))),
                }
            };
            columns.push(follow(&quote_ident(&column.name), &changed, &value));
            if moving && from == Side::Old && self.ranges(&column.name).next().is_some() {
                columns.push(format!("({value}) AS {}", asked_column(&column.name)));
            }
        }
        if let (Some(parent), Side::Old) = (&self.pair.parent, from) {
            for column in parent.key.iter().chain(&parent.set) {
                let value = Self::speak(&column.sql, ROW, PARENT);
                columns.push(format!("({value}) AS {}", parent_column(&column.name)));
            }
            if moving || self.checked_parent() {
                let id = self.parent_id(ROW).unwrap_or_default();
                columns.push(follow(&quote_ident(&parent.refers), &|| self.parent_changed(), &id));
            }
        }
        columns
            .extend(self.key_of(from, ROW).into_iter().enumerate().map(|(at, key)| format!("{key} AS \"key:{at}\"")));
        let shape = self.shape(other);
        if self.whole_image(other) {
            for column in shape.columns.iter().filter(|c| !c.generated && !self.writes(other, &c.name)) {
                let value = column.default.as_deref().unwrap_or("NULL");
                columns.push(follow(&quote_ident(&column.name), &|| "0".to_owned(), value));
            }
        }
        let rows = if moving { self.rows_before(from, condition) } else { self.rows(from, condition) };
        let inner = format!("SELECT {} {rows}", columns.join(", "));
        match self.why(from, moving) {
            Some(why) => format!("(SELECT *, {why} AS why FROM ({inner}) AS {IMAGE})"),
            None => format!("(SELECT *, NULL AS why FROM ({inner}) AS {IMAGE})"),
        }
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

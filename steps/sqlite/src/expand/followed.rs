//! The image of a row that was updated: what did not change of it is as the other side has it.
//!
//! Owns how that is computed: the columns of [`SEEN`] say of the one row what each expression was before, what it is now
//! and what the other side has, each computed once. SQLite writes the expression of a subquery's column into each place
//! that speaks of it, which a program pays for whenever it compiles a statement; a subquery with an OFFSET it leaves as it
//! is.

use crate::mapping::over::{self, Row};
use crate::sql::quote_ident;

use super::image::{asked_column, parent_column, select};
use super::moved::{REGROUPS, differ};
use super::weave::{BEFORE, IMAGE, LATE, PARENT, ROW, SEEN, Side, THERE, WHY, Weave};

/// Behind a subquery of one row: its columns are computed once.
const ONCE: &str = "LIMIT 1 OFFSET 0";
/// The other side has no row for it.
const ABSENT: &str = "absent";
/// The row could not follow an earlier change.
const BEHIND: &str = "behind";

/// A column of [`SEEN`]: `now`, `then` or `there`, of a column of the other side.
fn column(what: &str, name: &str) -> String {
    quote_ident(&format!("{what}:{name}"))
}

impl Weave {
    /// The image on the other side of the row `NEW` of side `from`, which was `OLD`: a subquery like [`Self::image`], of one
    /// row at most.
    pub(super) fn image_moved(&self, from: Side) -> String {
        let columns = select(&self.followed(from));
        let why = self.why(from, true, IMAGE).unwrap_or_else(|| "NULL".to_owned());
        let seen = self.seen(from);
        format!("(SELECT *, {why} AS {WHY} FROM (SELECT {columns} FROM ({seen}) AS {SEEN} {ONCE}) AS {IMAGE})")
    }

    /// The columns of the image, each with its value in a query over [`SEEN`].
    fn followed(&self, from: Side) -> Vec<(String, String)> {
        let other = from.other();
        let seen = |what: &str, name: &str| format!("{SEEN}.{}", column(what, name));
        let follow = |name: &str, changed: &str, value: &str| {
            format!("CASE WHEN {SEEN}.{ABSENT}{changed} THEN {value} ELSE {} END", seen("there", name))
        };
        let keys = self.across(from, other, self.image_key(SEEN));
        let mut parts: Vec<(String, String)> = self.keys(other).into_iter().zip(keys).collect();
        for c in self.columns(from) {
            let now = seen("now", &c.name);
            let late = if from == Side::New { format!(" OR {SEEN}.{BEHIND}") } else { String::new() };
            let differs =
                if speaks(&c.sql) { format!(" OR {}", differ(&seen("then", &c.name), &now)) } else { String::new() };
            parts.push((quote_ident(&c.name), follow(&c.name, &format!("{late}{differs}"), &now)));
            if from == Side::Old && self.ranges(&c.name).next().is_some() {
                parts.push((asked_column(&c.name), now));
            }
        }
        if let (Some(parent), Side::Old) = (&self.pair.parent, from) {
            let asked = parent.key.iter().chain(&parent.set).map(|c| parent_column(&c.name));
            parts.extend(asked.map(|name| (name.clone(), format!("{SEEN}.{name}"))));
            let regroups = format!("{SEEN}.{REGROUPS}");
            if self.checked_parent() {
                let id = follow(&parent.refers, &format!(" OR {regroups}"), &self.parent_of_image(SEEN));
                parts.push((quote_ident(&parent.refers), id));
            }
            parts.push((REGROUPS.to_owned(), regroups));
        }
        parts.extend(self.key_columns().into_iter().zip(self.image_key(SEEN)));
        for c in self.left_alone(other) {
            parts.push((quote_ident(&c.name), follow(&c.name, "", c.default.as_deref().unwrap_or("NULL"))));
        }
        parts
    }

    /// The query whose row is [`SEEN`].
    fn seen(&self, from: Side) -> String {
        let other = from.other();
        let there = |name: &str| (column("there", name), format!("{THERE}.{}", quote_ident(name)));
        let absent: Vec<String> = self.key_of(other, THERE).iter().map(|key| format!("{key} IS NULL")).collect();
        let mut parts = vec![(ABSENT.to_owned(), absent.join(" AND "))];
        for c in self.columns(from) {
            parts.push((column("now", &c.name), Self::speak(&c.sql, ROW, PARENT)));
            if speaks(&c.sql) {
                parts.push((column("then", &c.name), Self::speak(&c.sql, "OLD", BEFORE)));
            }
            parts.push(there(&c.name));
        }
        match (&self.pair.parent, from) {
            (Some(parent), Side::Old) => {
                let asked = parent.key.iter().chain(&parent.set);
                parts.extend(asked.map(|c| (parent_column(&c.name), Self::speak(&c.sql, ROW, PARENT))));
                parts.push((REGROUPS.to_owned(), self.parent_changed()));
                parts.extend(self.checked_parent().then(|| there(&parent.refers)));
            }
            (_, Side::New) => parts.push((BEHIND.to_owned(), LATE.to_owned())),
            _ => {}
        }
        parts.extend(self.key_columns().into_iter().zip(self.key_of(from, ROW)));
        parts.extend(self.left_alone(other).map(|c| there(&c.name)));
        let rows = self.rows_before(from, &self.same_key((from, ROW), (from, "NEW")));
        format!("SELECT {} {rows} {ONCE}", select(&parts))
    }
}

/// Whether an expression can have another value for another row.
fn speaks(expression: &str) -> bool {
    [Row::Old, Row::New, Row::Parent].into_iter().any(|row| over::speaks_of(expression, row))
}

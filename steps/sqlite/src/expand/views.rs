//! Views that are written into: what becomes of the image of a row is decided by their INSTEAD OF triggers.
//!
//! Owns the views of a pair and what stands in their triggers. The image of a row is a row of such a view: it is computed
//! once, stored nowhere, and what is to be done with it stands in one place, which all triggers of the tables share.
//! SQLite compiles a trigger once for a statement however often others lead to it, and gives each that fires registers of
//! its own: many small ones cost less than one large one that mostly does nothing.

use crate::mapping::Parent;
use crate::mapping::names::QUARANTINE;
use crate::sql::{quote_ident, quote_text};

use super::fits::OTHERS;
use super::image::{Of, parent_column};
use super::put::NOW;
use super::shape::Shape;
use super::triggers::Part;
use super::weave::{IMAGE, ROW, Side, Weave};

/// The views of the pair and their triggers, in the order in which they are made.
pub(super) fn of(weave: &Weave) -> Vec<Part> {
    let mut all = Vec::new();
    if let (Some(parent), Some(shape)) = (&weave.pair.parent, &weave.parent) {
        all.push(view(&parent_view(weave), &parent_names(parent)));
        all.push(missing_parent(weave, parent, shape));
    }
    for side in [Side::Old, Side::New] {
        all.push(view(&image_view(weave, side), &names(weave, side)));
        all.extend([fits(weave, side), unfit(weave, side)]);
        all.push(view(
            &row_view(weave, side),
            &weave.keys(side).into_iter().chain([TAKEN.to_owned()]).collect::<Vec<_>>(),
        ));
        all.push(put(weave, side));
        all.extend(super::moved::of(weave, side));
        all.extend(super::withdraw::of(weave, side));
    }
    all
}

/// The view whose rows are images of rows of side `from`.
fn image_view(weave: &Weave, from: Side) -> String {
    weave.helper(&format!("{}_image", from.name()))
}

/// The view whose rows are keys of rows of side `from`, whose images are asked for.
fn row_view(weave: &Weave, from: Side) -> String {
    weave.helper(&format!("{}_row", from.name()))
}

/// The view whose rows are parents that images ask for.
pub(super) fn parent_view(weave: &Weave) -> String {
    weave.helper("parent_image")
}

/// There is a row with its key on the other side, which nobody knew when it got that key: SQLite has chosen it.
const TAKEN: &str = "\"row:taken\"";

fn names(weave: &Weave, from: Side) -> Vec<String> {
    let names = weave.parts(from, Of::Rows).into_iter().map(|(name, _)| name);
    names.chain([TAKEN.to_owned()]).collect()
}

pub(super) fn parent_names(parent: &Parent) -> Vec<String> {
    parent.key.iter().chain(&parent.set).map(|c| quote_ident(&c.name)).collect()
}

pub(super) fn instead(view: &str, what: &str, condition: Option<&str>, statements: &[String]) -> Part {
    let name = format!("{view}_{what}");
    let condition = condition.map(|c| format!(" WHEN {c}")).unwrap_or_default();
    let sql = format!(
        "CREATE TRIGGER {} INSTEAD OF INSERT ON {}{condition}\nBEGIN\n  {};\nEND",
        quote_ident(&name),
        quote_ident(view),
        statements.join(";\n  ")
    );
    Part::trigger(name, view, sql)
}

/// A view of these columns that shows no row.
pub(super) fn view(name: &str, columns: &[String]) -> Part {
    let columns = columns.iter().map(|column| format!("NULL AS {column}")).collect::<Vec<_>>().join(", ");
    Part::view(name, format!("CREATE VIEW {} AS SELECT {columns}", quote_ident(name)))
}

/// The image of a row that is there, by its key.
fn put(weave: &Weave, from: Side) -> Part {
    let (names, values) = weave.columns_of_view(from, Of::Rows, format!("NEW.{TAKEN}"));
    let rows = weave.rows(from, &weave.same_key((from, ROW), (from, "NEW")));
    let body = format!("INSERT INTO {} ({names}) SELECT {values} {rows}", quote_ident(&image_view(weave, from)));
    instead(&row_view(weave, from), "put", None, &[body])
}

/// An image that fits and is not there yet is put there, its parent first.
fn fits(weave: &Weave, from: Side) -> Part {
    let other = from.other();
    let absent = format!(
        "NOT EXISTS (SELECT 1 FROM {} AS there WHERE {})",
        weave.table(other),
        weave.same_key((other, "there"), (other, "NEW"))
    );
    let condition = format!("{absent} AND {} IS NULL", weave.why_of_view(from));
    let mut body = Vec::new();
    let (mut columns, mut values) = weave.image_columns(from, "NEW");
    if let (Some(parent), Side::Old) = (&weave.pair.parent, from) {
        let asked = parent.key.iter().chain(&parent.set).map(|c| format!("NEW.{}", parent_column(&c.name)));
        body.push(format!(
            "INSERT INTO {} ({}) VALUES ({})",
            quote_ident(&parent_view(weave)),
            parent_names(parent).join(", "),
            asked.collect::<Vec<_>>().join(", ")
        ));
        columns.push(quote_ident(&parent.refers));
        values.push(weave.parent_of_image("NEW"));
    }
    body.push(format!("INSERT INTO {} ({}) VALUES ({})", weave.table(other), columns.join(", "), values.join(", ")));
    instead(&image_view(weave, from), "fits", Some(&condition), &body)
}

/// An image that does not fit goes into the quarantine, with the reason.
fn unfit(weave: &Weave, from: Side) -> Part {
    let why = weave.why_of_view(from);
    let mut body = vec![format!(
        "INSERT INTO {QUARANTINE} (pair, side, key, reason, shown, row, at) VALUES ({}, '{}', {}, {why}, {}, {}, {NOW})",
        quote_text(&weave.pair.name),
        from.name(),
        weave.quoted(from, weave.image_key("NEW")),
        weave.shown_of_image(from, "NEW"),
        weave.row_of_image(from, "NEW"),
    )];
    if let (Side::Old, [key]) = (from, &weave.image_key("NEW")[..]) {
        body.extend(weave.count_ids(key));
    }
    instead(&image_view(weave, from), "unfit", Some(&format!("{why} IS NOT NULL")), &body)
}

/// A parent that an image asks for is made where there is none.
fn missing_parent(weave: &Weave, parent: &Parent, shape: &Shape) -> Part {
    let same = parent.key.iter().map(|c| format!("p.{0} IS NEW.{0}", quote_ident(&c.name))).collect::<Vec<_>>();
    let absent = format!("NOT EXISTS (SELECT 1 FROM {} AS p WHERE {})", shape.ident(), same.join(" AND "));
    let names = parent_names(parent);
    let values = names.iter().map(|name| format!("NEW.{name}")).collect::<Vec<_>>().join(", ");
    let body = format!("INSERT INTO {} ({}) VALUES ({values})", shape.ident(), names.join(", "));
    instead(&parent_view(weave), "missing", Some(&absent), &[body])
}

impl Weave {
    /// Puts the image of the row of side `from` whose key is that of `row` (of side `of`) on the other side where it is not
    /// there yet, or into the quarantine.
    pub(super) fn put(&self, from: Side, (of, row): (Side, &str)) -> String {
        let key = self.across(of, from, self.key_of(of, row)).join(", ");
        format!("INSERT INTO {} VALUES ({key}, 0)", quote_ident(&row_view(self, from)))
    }

    /// The same for each row of side `from` that meets `condition`, where it is called `c`.
    pub(super) fn put_each(&self, from: Side, condition: &str) -> String {
        let key = self.key_of(from, "c").join(", ");
        let rows = format!("{} AS c WHERE {condition}", self.table(from));
        format!("INSERT INTO {} SELECT {key}, 0 FROM {rows}", quote_ident(&row_view(self, from)))
    }

    /// The same for the row `NEW` of side `from`, just inserted: what has its key on the other side is another one.
    pub(super) fn put_inserted(&self, from: Side) -> String {
        let (key, taken) = (self.key_of(from, "NEW").join(", "), self.taken_by(from));
        format!("INSERT INTO {} VALUES ({key}, {taken})", quote_ident(&row_view(self, from)))
    }

    /// The same for the row `NEW` of side `from`, which is mapped. SQLite would keep the rows of a query aside first, in a
    /// table that it makes for it.
    pub(super) fn put_new(&self, from: Side) -> String {
        let (names, values) = self.columns_of_view(from, Of::New, self.taken_by(from));
        format!("INSERT INTO {} ({names}) VALUES ({values})", quote_ident(&image_view(self, from)))
    }

    fn columns_of_view(&self, from: Side, of: Of, taken: String) -> (String, String) {
        let parts = self.parts(from, of).into_iter().chain([(TAKEN.to_owned(), taken)]);
        let (names, values): (Vec<_>, Vec<_>) = parts.unzip();
        (names.join(", "), values.join(", "))
    }

    /// That the other side has a row with the key of `NEW`.
    fn taken_by(&self, from: Side) -> String {
        let other = from.other();
        let same = self.same_key((other, "there"), (from, "NEW"));
        format!("EXISTS (SELECT 1 FROM {} AS there WHERE {same})", self.table(other))
    }

    /// Why the view's row `NEW` does not fit. A CHECK speaks of columns without saying whose.
    fn why_of_view(&self, from: Side) -> String {
        let why = if self.shape(from.other()).checks.is_empty() {
            self.why(from, false, "NEW")
        } else {
            let columns = names(self, from).iter().map(|name| format!("NEW.{name} AS {name}")).collect::<Vec<_>>();
            let why = self.why(from, false, IMAGE);
            why.map(|why| format!("(SELECT {why} FROM (SELECT {}) AS {IMAGE})", columns.join(", ")))
        };
        let otherwise = why.map(|why| format!(" ELSE {why}")).unwrap_or_default();
        format!("CASE WHEN NEW.{TAKEN} THEN {}{otherwise} END", quote_text(OTHERS))
    }
}

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
        all.extend(super::moved::of(weave, side));
    }
    all
}

/// The view whose rows are images of rows of side `from`.
fn image_view(weave: &Weave, from: Side) -> String {
    weave.helper(&format!("{}_image", from.name()))
}

/// The view whose rows are parents that images ask for.
pub(super) fn parent_view(weave: &Weave) -> String {
    weave.helper("parent_image")
}

/// There is a row with its key on the other side, which nobody knew when it got that key: SQLite has chosen it.
const TAKEN: &str = "\"taken\"";

fn names(weave: &Weave, from: Side) -> Vec<String> {
    let names = weave.parts(from, Of::Rows).into_iter().map(|(name, _)| name);
    names.chain([TAKEN.to_owned()]).collect()
}

pub(super) fn parent_names(parent: &Parent) -> Vec<String> {
    parent.key.iter().chain(&parent.set).map(|c| quote_ident(&c.name)).collect()
}

pub(super) fn instead(view: &str, what: &str, condition: &str, statements: &[String]) -> Part {
    let name = format!("{view}_{what}");
    let sql = format!(
        "CREATE TRIGGER {} INSTEAD OF INSERT ON {} WHEN {condition}\nBEGIN\n  {};\nEND",
        quote_ident(&name),
        quote_ident(view),
        statements.join(";\n  ")
    );
    Part::trigger(name, sql)
}

/// A view of these columns that shows no row.
pub(super) fn view(name: &str, columns: &[String]) -> Part {
    let columns = columns.iter().map(|column| format!("NULL AS {column}")).collect::<Vec<_>>().join(", ");
    Part::view(name.to_owned(), format!("CREATE VIEW {} AS SELECT {columns}", quote_ident(name)))
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
    instead(&image_view(weave, from), "fits", &condition, &body)
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
    instead(&image_view(weave, from), "unfit", &format!("{why} IS NOT NULL"), &body)
}

/// A parent that an image asks for is made where there is none.
fn missing_parent(weave: &Weave, parent: &Parent, shape: &Shape) -> Part {
    let same = parent.key.iter().map(|c| format!("p.{0} IS NEW.{0}", quote_ident(&c.name))).collect::<Vec<_>>();
    let absent = format!("NOT EXISTS (SELECT 1 FROM {} AS p WHERE {})", shape.ident(), same.join(" AND "));
    let names = parent_names(parent);
    let values = names.iter().map(|name| format!("NEW.{name}")).collect::<Vec<_>>().join(", ");
    let body = format!("INSERT INTO {} ({}) VALUES ({values})", shape.ident(), names.join(", "));
    instead(&parent_view(weave), "missing", &absent, &[body])
}

impl Weave {
    /// Puts the images of those rows of side `from` that meet `condition` on the other side where they are not there yet,
    /// or into the quarantine.
    pub(super) fn put(&self, from: Side, condition: &str) -> String {
        self.put_rows(from, condition, "0".to_owned())
    }

    /// The same for a row that has just been inserted: what has its key on the other side is another one.
    pub(super) fn put_inserted(&self, from: Side, condition: &str) -> String {
        self.put_rows(from, condition, self.taken_by(from, ROW))
    }

    fn put_rows(&self, from: Side, condition: &str, taken: String) -> String {
        let (names, values) = self.columns_of_view(from, Of::Rows, taken);
        format!(
            "INSERT INTO {} ({names}) SELECT {values} {}",
            quote_ident(&image_view(self, from)),
            self.rows(from, condition)
        )
    }

    /// The same for the row `NEW` of side `from`, which is mapped. SQLite would keep the rows of a query aside first, in a
    /// table that it makes for it.
    pub(super) fn put_new(&self, from: Side) -> String {
        let (names, values) = self.columns_of_view(from, Of::New, self.taken_by(from, "NEW"));
        format!("INSERT INTO {} ({names}) VALUES ({values})", quote_ident(&image_view(self, from)))
    }

    fn columns_of_view(&self, from: Side, of: Of, taken: String) -> (String, String) {
        let parts = self.parts(from, of).into_iter().chain([(TAKEN.to_owned(), taken)]);
        let (names, values): (Vec<_>, Vec<_>) = parts.unzip();
        (names.join(", "), values.join(", "))
    }

    fn taken_by(&self, from: Side, row: &str) -> String {
        let other = from.other();
        let same = self.same_key((other, "there"), (from, row));
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

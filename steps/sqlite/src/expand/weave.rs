//! The words of which all triggers of a pair are made: keys, images of a row on the other side, and why an image does not
//! fit there.
//!
//! Owns no trigger. Every name is quoted, every expression speaks of rows by names of ours.

use crate::mapping::names::QUARANTINE;
use crate::mapping::over::{self, Row};
use crate::mapping::{Column, Pair, Range, is_literal, is_null};
use crate::parity::columns::{Affinity, affine};
use crate::sql::{joined, quote_ident, quote_text};

use super::put::changed;
use super::shape::{Shape, Unique};

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

/// The row of the table in a query of ours.
pub(crate) const ROW: &str = "_cutover_row";
/// The parent of that row.
pub(crate) const PARENT: &str = "_cutover_parent";
/// The parent that a row had before.
pub(crate) const BEFORE: &str = "_cutover_before";
/// What the other side shows of the row before.
pub(crate) const THERE: &str = "_cutover_there";
/// Its image on the other side.
const IMAGE: &str = "_cutover_image";

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

    /// The key of the row `row` of side `of`, as that side has it.
    pub(crate) fn key_of(&self, of: Side, row: &str) -> Vec<String> {
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
        format!(
            "({} AND EXISTS (SELECT 1 FROM {QUARANTINE} WHERE {}))",
            self.any_quarantined(side),
            self.quarantine_key(side, (of, row))
        )
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
    fn speaks_of_parent(&self) -> bool {
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

    /// The id of the parent that the row [`ROW`] of the old side belongs to; NULL while there is none.
    pub(crate) fn parent_id(&self, row: &'static str) -> Option<String> {
        let (parent, shape) = (self.pair.parent.as_ref()?, self.parent.as_ref()?);
        let same =
            parent.key.iter().map(|k| format!("p.{} IS ({})", quote_ident(&k.name), Self::speak(&k.sql, row, PARENT)));
        let same = same.collect::<Vec<_>>().join(" AND ");
        Some(format!("(SELECT min(p.{}) FROM {} AS p WHERE {same})", quote_ident(&parent.id), shape.ident()))
    }

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
    fn ranges<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Range> {
        self.pair.check.iter().filter(move |range| range.column.eq_ignore_ascii_case(name))
    }

    /// Whether an image on that side has the columns too that are left to their defaults.
    fn whole_image(&self, side: Side) -> bool {
        !self.shape(side).checks.is_empty() || (side == Side::New && self.pair.when_new.is_some())
    }

    /// Whether the image must know the parent's id to say whether it fits.
    fn checked_parent(&self) -> bool {
        let Some(parent) = &self.pair.parent else { return false };
        let names = |u: &Unique| u.columns.iter().flatten().any(|(c, _)| c.eq_ignore_ascii_case(&parent.refers));
        self.new.other_uniques(self.key_names(Side::New)).any(names) || !self.new.checks.is_empty()
    }

    /// Whether a mirrored row of that side has the column set.
    pub(crate) fn writes(&self, side: Side, name: &str) -> bool {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        self.key_names(side).any(same)
            || self.columns(side.other()).iter().any(|c| same(&c.name))
            || (side == Side::New && self.pair.parent.as_ref().is_some_and(|p| same(&p.refers)))
    }

    /// Why an image of a row of side `from` does not fit on the other side, as SQL; none where every image fits.
    /// With `moving`, the other row with the key `OLD` is the same row.
    fn why(&self, from: Side, moving: bool) -> Option<String> {
        let other = from.other();
        let shape = self.shape(other);
        let mut reasons: Vec<(String, String)> = Vec::new();
        for (here, there) in self.key_names(from).zip(self.key_names(other)) {
            if !self.shape(from).never_null(here) {
                reasons.push((format!("{} IS NULL", quote_ident(there)), format!("its key `{here}` is NULL")));
            }
        }
        for (key, there) in self.pair.key.iter().zip(self.keys(other)).filter(|(key, _)| key.negated) {
            // The lowest of all whole numbers.
            let name = if from == Side::Old { &key.old } else { &key.new };
            reasons.push((format!("typeof({there}) <> 'integer'"), format!("its key `{name}` has no negative")));
        }
        for column in self.columns(from) {
            let name = quote_ident(&column.name);
            // A new program may have written what no old row comes to.
            let asked = if moving { asked_column(&column.name) } else { name.clone() };
            self.fits(from, column, shape, (&name, &asked), &mut reasons);
        }
        if let (Some(parent), Some(shape), Side::Old) = (&self.pair.parent, &self.parent, from) {
            for column in parent.key.iter().chain(&parent.set) {
                let name = parent_column(&column.name);
                self.fits(from, column, shape, (&name, &name), &mut reasons);
            }
        }
        for check in &shape.checks {
            reasons.push((format!("NOT coalesce(({check}), 1)"), format!("CHECK ({check}) does not hold")));
        }
        for unique in shape.other_uniques(self.key_names(other)) {
            reasons.extend(self.taken(other, unique, moving));
        }
        if let (Some(when), Side::Old) = (&self.pair.when_new, from) {
            let image = over::over(when, |_, name| {
                let affinity = shape.column(name).map(|c| Affinity::of(&c.declared)).unwrap_or_default();
                affine(&format!("{IMAGE}.{}", quote_ident(name)), affinity)
            });
            reasons.push((format!("NOT coalesce(({image}), 0)"), format!("`{}` does not hold of it", joined(when))));
        }
        let key = self.quoted(from, self.image_key(IMAGE));
        let pair = quote_text(&self.pair.name);
        let unmapped = self.unmapped(other, (from, self.image_key(IMAGE))).map(|sql| format!("{sql} OR "));
        let shown = if from == Side::Old { " AND shown = 0" } else { "" };
        let stranger = format!(
            "{}({} AND EXISTS (SELECT 1 FROM {QUARANTINE} WHERE pair = {pair} AND side = '{}' AND key = {key}{shown}))",
            unmapped.unwrap_or_default(),
            self.any_quarantined(other),
            other.name()
        );
        reasons.push((stranger, "its key belongs to another row there".to_owned()));
        let cases = reasons.iter().map(|(when, then)| format!("WHEN {when} THEN {}", quote_text(then)));
        Some(format!("CASE {} END", cases.collect::<Vec<_>>().join(" ")))
    }

    /// What a column of an image may be that its table would refuse, or that is out of its range.
    fn fits(
        &self,
        from: Side,
        column: &Column,
        shape: &Shape,
        (value, asked): (&str, &str),
        reasons: &mut Vec<(String, String)>,
    ) {
        let name = &column.name;
        let source = over::plain(&column.sql).filter(|(row, _)| (*row == Row::Old) == (from == Side::Old));
        let plain = source.as_ref().filter(|(row, _)| *row != Row::Parent);
        let never_null = plain.is_some_and(|(_, c)| self.shape(from).never_null(c))
            || (is_literal(&column.sql) && !is_null(&column.sql));
        if shape.never_null(name) && !never_null {
            reasons.push((format!("{value} IS NULL"), format!("`{name}` is NULL")));
        }
        if shape.strict {
            let declared = shape.column(name).map(|c| c.declared.to_ascii_uppercase()).unwrap_or_default();
            let types = match declared.as_str() {
                "INT" | "INTEGER" => "'integer', 'null'",
                "REAL" => "'real', 'integer', 'null'",
                "TEXT" => "'text', 'integer', 'real', 'null'",
                "BLOB" => "'blob', 'null'",
                _ => return,
            };
            reasons.push((format!("typeof({value}) NOT IN ({types})"), format!("`{name}` is no {declared}")));
        }
        if from == Side::Old {
            for range in self.ranges(name) {
                reasons.push((
                    format!("{asked} IS NOT NULL AND NOT ({asked} >= {} AND {asked} < {})", range.from, range.to),
                    format!("`{name}` is outside of {}", range.said),
                ));
            }
        }
    }

    /// That another row of `side` has the image's values in a unique key.
    fn taken(&self, side: Side, unique: &Unique, moving: bool) -> Option<(String, String)> {
        let columns = unique.columns.as_ref()?;
        let known = |name: &str| self.writes(side, name) || self.whole_image(side);
        if !columns.iter().all(|(name, _)| known(name)) {
            return None;
        }
        let terms = columns.iter().map(|(name, collation)| {
            let name = quote_ident(name);
            format!("taken.{name} = {IMAGE}.{name} COLLATE {}", quote_ident(collation))
        });
        let itself = |row: &str| {
            let key = if row == "OLD" { self.key_of(side.other(), row) } else { self.image_key(IMAGE) };
            let keys = self.keys(side).into_iter().zip(self.across(side.other(), side, key));
            keys.map(|(k, value)| format!("taken.{k} IS {value}")).collect::<Vec<_>>().join(" AND ")
        };
        let mut conditions: Vec<String> = terms.collect();
        conditions.push(format!("NOT ({})", itself("image")));
        if moving {
            conditions.push(format!("NOT ({})", itself("OLD")));
        }
        let names = columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let filter = unique.filter.as_ref().map(|f| format!(" WHERE {f}")).unwrap_or_default();
        let table = self.table(side);
        let from = if filter.is_empty() { table } else { format!("(SELECT * FROM {table}{filter})") };
        Some((
            format!("EXISTS (SELECT 1 FROM {from} AS taken WHERE {})", conditions.join(" AND ")),
            format!("another row has its ({names})"),
        ))
    }

    /// The row of side `of` as JSON: blobs in hexadecimal.
    pub(crate) fn json(&self, of: Side, row: &str) -> String {
        let columns = self.shape(of).columns.iter().map(|column| {
            let value = format!("{row}.{}", quote_ident(&column.name));
            format!("{}, CASE typeof({value}) WHEN 'blob' THEN hex({value}) ELSE {value} END", quote_text(&column.name))
        });
        // A function has at most 127 arguments (100 in older builds): wide rows are put together of pieces.
        let columns: Vec<String> = columns.collect();
        let pieces = columns.chunks(40).map(|piece| format!("json_object({})", piece.join(", ")));
        pieces.reduce(|all, piece| format!("json_patch({all}, {piece})")).unwrap_or_else(|| "'{}'".to_owned())
    }
}

/// A column of an image as the row alone makes it, whatever the other side has.
fn asked_column(name: &str) -> String {
    quote_ident(&format!("asked:{name}"))
}

/// A column of an image that is the parent's.
pub(crate) fn parent_column(name: &str) -> String {
    quote_ident(&format!("parent:{name}"))
}

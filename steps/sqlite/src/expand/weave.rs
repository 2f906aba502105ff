//! The words of which all triggers of a pair are made: keys, images of a row on the other side, and why an image does not
//! fit there.
//!
//! Owns no trigger. Every name is quoted, every expression speaks of rows by names of ours.

use crate::mapping::names::QUARANTINE;
use crate::mapping::over::{self, Row};
use crate::mapping::{Column, Pair};
use crate::sql::{quote_ident, quote_text};

use super::shape::{Shape, Unique};

/// A pair with the tables as the database has them.
#[derive(Debug, Clone)]
pub(crate) struct Weave {
    pub(crate) pair: Pair,
    pub(crate) old: Shape,
    pub(crate) new: Shape,
    pub(crate) parent: Option<Shape>,
    /// Every column that refers to the parent's id: (table, column), the pair's own first.
    pub(crate) children: Vec<(String, String)>,
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

    /// The key of the row `row` of side `of`.
    fn key_of(&self, of: Side, row: &str) -> Vec<String> {
        self.keys(of).iter().map(|key| format!("{row}.{key}")).collect()
    }

    /// That the row `a` of side `of_a` has the key of the row `b` of side `of_b`.
    pub(crate) fn same_key(&self, (of_a, a): (Side, &str), (of_b, b): (Side, &str)) -> String {
        let pairs = self.key_of(of_a, a).into_iter().zip(self.key_of(of_b, b));
        pairs.map(|(a, b)| format!("{a} = {b}")).collect::<Vec<_>>().join(" AND ")
    }

    /// That the key moved between the rows `a` and `b` of side `of`.
    pub(crate) fn key_moved(&self, of: Side) -> String {
        let keys = self.keys(of);
        keys.iter().map(|k| format!("OLD.{k} IS NOT NEW.{k}")).collect::<Vec<_>>().join(" OR ")
    }

    /// The key of a row as the quarantine has it.
    pub(crate) fn key_text(&self, of: Side, row: &str) -> String {
        self.key_of(of, row).iter().map(|k| format!("quote({k})")).collect::<Vec<_>>().join(" || ',' || ")
    }

    /// The condition that the quarantine has a row of side `side` with the key of `row`, which is of side `of`.
    pub(crate) fn quarantined(&self, side: Side, (of, row): (Side, &str)) -> String {
        format!("EXISTS (SELECT 1 FROM {QUARANTINE} WHERE {})", self.quarantine_key(side, (of, row)))
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
            Side::New => None,
        }?;
        Some(Self::speak(when, row, PARENT))
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
    /// columns, and `parent:…` for what its parent gets. `why` is NULL where the image fits.
    pub(crate) fn image(&self, from: Side, condition: &str, moving: bool) -> String {
        let other = from.other();
        let mut columns: Vec<String> = self
            .key_of(from, ROW)
            .into_iter()
            .zip(self.keys(other))
            .map(|(value, name)| format!("{value} AS {name}"))
            .collect();
        for column in self.columns(from) {
            let value = Self::speak(&column.sql, ROW, PARENT);
            columns.push(format!("({value}) AS {}", quote_ident(&column.name)));
        }
        if let (Some(parent), Side::Old) = (&self.pair.parent, from) {
            for column in parent.key.iter().chain(&parent.set) {
                let value = Self::speak(&column.sql, ROW, PARENT);
                columns.push(format!("({value}) AS {}", parent_column(&column.name)));
            }
            if self.checked_parent() {
                let id = self.parent_id(ROW).unwrap_or_default();
                columns.push(format!("{id} AS {}", quote_ident(&parent.refers)));
            }
        }
        columns
            .extend(self.key_of(from, ROW).into_iter().enumerate().map(|(at, key)| format!("{key} AS \"key:{at}\"")));
        let shape = self.shape(other);
        if !shape.checks.is_empty() {
            for column in shape.columns.iter().filter(|c| !c.generated && !self.writes(other, &c.name)) {
                let value = column.default.as_deref().unwrap_or("NULL");
                columns.push(format!("({value}) AS {}", quote_ident(&column.name)));
            }
        }
        let inner = format!("SELECT {} {}", columns.join(", "), self.rows(from, condition));
        match self.why(from, moving) {
            Some(why) => format!("(SELECT *, {why} AS why FROM ({inner}) AS {IMAGE})"),
            None => format!("(SELECT *, NULL AS why FROM ({inner}) AS {IMAGE})"),
        }
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
        for column in self.columns(from) {
            self.fits(from, &column.name, column, shape, &quote_ident(&column.name), &mut reasons);
        }
        if let (Some(parent), Some(shape), Side::Old) = (&self.pair.parent, &self.parent, from) {
            for column in parent.key.iter().chain(&parent.set) {
                self.fits(from, &column.name, column, shape, &parent_column(&column.name), &mut reasons);
            }
        }
        for check in &shape.checks {
            reasons.push((format!("NOT coalesce(({check}), 1)"), format!("CHECK ({check}) does not hold")));
        }
        for unique in shape.other_uniques(self.key_names(other)) {
            reasons.extend(self.taken(other, unique, moving));
        }
        let key = self.pair.key.iter().enumerate().map(|(at, _)| format!("quote(\"key:{at}\")"));
        let key = key.collect::<Vec<_>>().join(" || ',' || ");
        let pair = quote_text(&self.pair.name);
        let stranger = match from {
            Side::Old => format!(
                "EXISTS (SELECT 1 FROM {QUARANTINE} WHERE pair = {pair} AND side = 'new' AND key = {key} AND shown = 0)"
            ),
            Side::New => {
                let unmapped = self.pair.when.as_ref().map(|when| {
                    let same = self.keys(Side::Old).into_iter().enumerate();
                    let same =
                        same.map(|(at, k)| format!("{ROW}.{k} = \"key:{at}\"")).collect::<Vec<_>>().join(" AND ");
                    let when = Self::speak(when, ROW, PARENT);
                    format!(
                        "EXISTS (SELECT 1 FROM {} AS {ROW} WHERE {same} AND NOT coalesce(({when}), 0)) OR ",
                        self.table(Side::Old)
                    )
                });
                format!(
                    "{}EXISTS (SELECT 1 FROM {QUARANTINE} WHERE pair = {pair} AND side = 'old' AND key = {key})",
                    unmapped.unwrap_or_default()
                )
            }
        };
        reasons.push((stranger, "its key belongs to another row there".to_owned()));
        let cases = reasons.iter().map(|(when, then)| format!("WHEN {when} THEN {}", quote_text(then)));
        Some(format!("CASE {} END", cases.collect::<Vec<_>>().join(" ")))
    }

    /// What a column of an image may be that its table would refuse.
    fn fits(
        &self,
        from: Side,
        name: &str,
        column: &Column,
        shape: &Shape,
        value: &str,
        reasons: &mut Vec<(String, String)>,
    ) {
        let source = over::plain(&column.sql).filter(|(row, _)| (*row == Row::Old) == (from == Side::Old));
        let plain = source.as_ref().filter(|(row, _)| *row != Row::Parent);
        let never_null = plain.is_some_and(|(_, c)| self.shape(from).never_null(c)) || is_literal(&column.sql);
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
            for range in self.pair.check.iter().filter(|r| r.column.eq_ignore_ascii_case(name)) {
                reasons.push((
                    format!("{value} IS NOT NULL AND NOT ({value} >= {} AND {value} < {})", range.from, range.to),
                    format!("`{name}` is outside of {}", range.said),
                ));
            }
        }
    }

    /// That another row of `side` has the image's values in a unique key.
    fn taken(&self, side: Side, unique: &Unique, moving: bool) -> Option<(String, String)> {
        let columns = unique.columns.as_ref()?;
        let known = |name: &str| self.writes(side, name) || !self.shape(side).checks.is_empty();
        if !columns.iter().all(|(name, _)| known(name)) {
            return None;
        }
        let terms = columns.iter().map(|(name, collation)| {
            let name = quote_ident(name);
            format!("taken.{name} = {IMAGE}.{name} COLLATE {}", quote_ident(collation))
        });
        let itself = |row: &str| {
            let keys = self.keys(side).into_iter().enumerate();
            match row {
                "OLD" => keys
                    .zip(self.keys(side.other()))
                    .map(|((_, k), o)| format!("taken.{k} IS OLD.{o}"))
                    .collect::<Vec<_>>(),
                _ => keys.map(|(at, k)| format!("taken.{k} IS {IMAGE}.\"key:{at}\"")).collect(),
            }
            .join(" AND ")
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

/// A column of an image that is the parent's.
pub(crate) fn parent_column(name: &str) -> String {
    quote_ident(&format!("parent:{name}"))
}

/// A number or a text as it stands.
fn is_literal(sql: &str) -> bool {
    match crate::sql::tokens(sql)[..] {
        [one] => one.starts_with('\'') || one.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

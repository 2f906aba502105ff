//! Why an image does not fit on the other side: NULLs, types, ranges, checks, unique keys, and keys that others have.

use crate::mapping::over::{self, Row};
use crate::mapping::{Column, is_literal, is_null};
use crate::parity::columns::{Affinity, affine};
use crate::sql::{joined, quote_ident, quote_text};

use super::image::{asked_column, parent_column};
use super::shape::{Shape, Unique};
use super::weave::{Asked, Side, Weave};

/// The reason where the place of an image is not its own.
pub(super) const OTHERS: &str = "its key belongs to another row there";

impl Weave {
    /// Why the image `image` of a row of side `from` does not fit on the other side, as SQL; none where every image fits.
    /// With `moving`, the other row with the key `OLD` is the same row.
    pub(super) fn why(&self, from: Side, moving: bool, image: &str) -> Option<String> {
        let other = from.other();
        let shape = self.shape(other);
        let mut reasons: Vec<(String, String)> = Vec::new();
        for (here, there) in self.key_names(from).zip(self.key_names(other)) {
            if !self.shape(from).never_null(here) {
                reasons.push((format!("{image}.{} IS NULL", quote_ident(there)), format!("its key `{here}` is NULL")));
            }
        }
        for (key, there) in self.pair.key.iter().zip(self.keys(other)).filter(|(key, _)| key.negated) {
            // The lowest of all whole numbers.
            let name = if from == Side::Old { &key.old } else { &key.new };
            reasons
                .push((format!("typeof({image}.{there}) <> 'integer'"), format!("its key `{name}` has no negative")));
        }
        for column in self.columns(from) {
            let name = quote_ident(&column.name);
            // A new program may have written what no old row comes to.
            let asked = if moving { asked_column(&column.name) } else { name.clone() };
            self.fits(from, column, shape, (&format!("{image}.{name}"), &format!("{image}.{asked}")), &mut reasons);
        }
        if let (Some(parent), Some(shape), Side::Old) = (&self.pair.parent, &self.parent, from) {
            for column in parent.key.iter().chain(&parent.set) {
                let name = format!("{image}.{}", parent_column(&column.name));
                self.fits(from, column, shape, (&name, &name), &mut reasons);
            }
        }
        for check in &shape.checks {
            reasons.push((format!("NOT coalesce(({check}), 1)"), format!("CHECK ({check}) does not hold")));
        }
        for unique in shape.other_uniques(self.key_names(other)) {
            reasons.extend(self.taken(other, unique, moving, image));
        }
        if let (Some(when), Side::Old) = (&self.pair.when_new, from) {
            let shown = over::over(when, |_, name| {
                let affinity = shape.column(name).map(|c| Affinity::of(&c.declared)).unwrap_or_default();
                affine(&format!("{image}.{}", quote_ident(name)), affinity)
            });
            reasons.push((format!("NOT coalesce(({shown}), 0)"), format!("`{}` does not hold of it", joined(when))));
        }
        let key = self.quoted(from, self.image_key(image));
        let pair = quote_text(&self.pair.name);
        let unmapped = self.unmapped(other, (from, self.image_key(image))).map(|sql| format!("{sql} OR "));
        let shown = if from == Side::Old { " AND shown = 0" } else { "" };
        let there = format!("pair = {pair} AND side = '{}' AND key = {key}{shown}", other.name());
        let asked = if moving { Asked::OfOne } else { Asked::of(image) };
        let stranger = format!("{}{}", unmapped.unwrap_or_default(), self.found_quarantined(other, asked, &there));
        reasons.push((stranger, OTHERS.to_owned()));
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
    fn taken(&self, side: Side, unique: &Unique, moving: bool, image: &str) -> Option<(String, String)> {
        let columns = unique.columns.as_ref()?;
        let known = |name: &str| self.writes(side, name) || self.whole_image(side);
        if !columns.iter().all(|(name, _)| known(name)) {
            return None;
        }
        let terms = columns.iter().map(|(name, collation)| {
            let name = quote_ident(name);
            format!("taken.{name} = {image}.{name} COLLATE {}", quote_ident(collation))
        });
        let itself = |row: &str| {
            let key = if row == "OLD" { self.key_of(side.other(), row) } else { self.image_key(image) };
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
}

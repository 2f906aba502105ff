//! A row put on the other side, or into the quarantine; with the words of guard and keys that all triggers share.

use crate::mapping::names::{GUARD, QUARANTINE};
use crate::sql::{quote_ident, quote_text};

use super::helpers::gone;
use super::image::parent_column;
use super::weave::{Asked, ROW, Side, WHY, Weave};

/// When a row was set aside.
pub(super) const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')";

impl Weave {
    /// What a trigger of the pair asks before it does anything. What a trigger of another pair writes is shown like what
    /// a program writes: both may be about the same new table.
    pub(crate) fn unguarded(&self) -> String {
        format!("(SELECT origin FROM {GUARD} WHERE pair = {}) IS NULL", quote_text(&self.pair.name))
    }

    /// Statements between guard and guard.
    pub(crate) fn guarded(&self, origin: &str, statements: Vec<String>) -> Vec<String> {
        let pair = quote_text(&self.pair.name);
        let mut all = vec![format!("UPDATE {GUARD} SET origin = '{origin}' WHERE pair = {pair}")];
        all.extend(statements);
        all.push(format!("UPDATE {GUARD} SET origin = NULL WHERE pair = {pair}"));
        all
    }

    pub(crate) fn gone(&self) -> String {
        quote_ident(&gone(&self.pair))
    }

    /// `k0, k1`: the columns of [`Self::gone`].
    pub(crate) fn gone_keys(&self) -> String {
        self.numbered("k").join(", ")
    }

    /// The key of a table as one value of SQL: `id`, or `(a, b)`.
    pub(crate) fn tuple(&self, side: Side) -> String {
        match &self.keys(side)[..] {
            [one] => one.clone(),
            many => format!("({})", many.join(", ")),
        }
    }

    /// The condition that the old row whose key is that of `row` (of side `of`) is shown on the new side.
    pub(crate) fn mirrored(&self, (of, row): (Side, &str)) -> String {
        let scope = self.scope(Side::Old, ROW).map(|when| {
            format!(
                "EXISTS (SELECT 1 FROM {} AS {ROW} WHERE {} AND ({when})) AND ",
                self.table(Side::Old),
                self.same_key((Side::Old, ROW), (of, row))
            )
        });
        format!("{}NOT {}", scope.unwrap_or_default(), self.quarantined(Side::Old, (of, row)))
    }

    /// The condition that the new row whose key is that of `row` (of side `of`) is not an old row's image, but another one.
    pub(crate) fn strange(&self, (of, row): (Side, &str)) -> String {
        let unmapped = self.unmapped(Side::New, (of, self.key_of(of, row))).map(|sql| format!("{sql} OR "));
        format!(
            "{}{} OR {}",
            unmapped.unwrap_or_default(),
            self.quarantined(Side::Old, (of, row)),
            self.found_quarantined(
                Side::New,
                Asked::of(row),
                &format!("{} AND shown = 0", self.quarantine_key(Side::New, (of, row)))
            )
        )
    }

    /// The condition that nobody has shown the old row `row` on the new side yet, or put it into the quarantine.
    pub(crate) fn absent(&self, row: &str) -> String {
        format!(
            "NOT EXISTS (SELECT 1 FROM {} AS t WHERE {}) AND NOT {}",
            self.table(Side::New),
            self.same_key((Side::New, "t"), (Side::Old, row)),
            self.quarantined(Side::Old, (Side::Old, row))
        )
    }

    /// The statements that put the old rows that meet `condition` on the new side, all at once: their parents, the rows
    /// themselves, and those that do not fit into the quarantine. Without `looked` none of them is there yet: SQLite
    /// writes the rows of a query that reads the table it fills aside first, which costs as much again.
    pub(crate) fn put_all(&self, condition: &str, looked: bool) -> Vec<String> {
        let image = self.image(Side::Old, condition);
        let mut all: Vec<String> = self.put_parents(&image).into_iter().collect();
        let (mut columns, mut values) = self.image_columns(Side::Old, "i");
        if let Some(parent) = &self.pair.parent {
            columns.push(quote_ident(&parent.refers));
            values.push(self.parent_of_image("i"));
        }
        let absent = format!(
            " AND NOT EXISTS (SELECT 1 FROM {} AS there WHERE {})",
            self.table(Side::New),
            self.same_key((Side::New, "there"), (Side::New, "i"))
        );
        all.push(format!(
            "INSERT INTO {} ({}) SELECT {} FROM {image} AS i WHERE i.{WHY} IS NULL{}",
            self.table(Side::New),
            columns.join(", "),
            values.join(", "),
            if looked { absent } else { String::new() }
        ));
        all.push(format!(
            "INSERT INTO {QUARANTINE} (pair, side, key, reason, shown, row, at) \
             SELECT {}, 'old', {}, i.{WHY}, {}, {}, {NOW} FROM {image} AS i WHERE i.{WHY} IS NOT NULL",
            quote_text(&self.pair.name),
            self.quoted(Side::Old, self.image_key("i")),
            self.shown_of_image(Side::Old, "i"),
            self.row_of_image(Side::Old, "i"),
        ));
        all
    }

    /// The columns of the other side's row that an image of side `from` has, and their values in the image `image`.
    pub(super) fn image_columns(&self, from: Side, image: &str) -> (Vec<String>, Vec<String>) {
        let mut columns = self.keys(from.other());
        columns.extend(self.columns(from).iter().map(|c| quote_ident(&c.name)));
        let values = columns.iter().map(|c| format!("{image}.{c}")).collect();
        (columns, values)
    }

    /// Whether the other side shows something of the row whose image does not fit.
    pub(super) fn shown_of_image(&self, from: Side, image: &str) -> String {
        let key = self.image_key(image);
        let same = self.key_of(Side::Old, "there").into_iter().zip(self.across(from, Side::Old, key));
        match from {
            Side::Old => "0".to_owned(),
            Side::New => format!(
                "EXISTS (SELECT 1 FROM {} AS there WHERE {} AND {})",
                self.table(Side::Old),
                same.map(|(a, b)| format!("{a} = {b}")).collect::<Vec<_>>().join(" AND "),
                self.mirrored((Side::Old, "there"))
            ),
        }
    }

    /// The row of which `image` is an image, as JSON.
    pub(super) fn row_of_image(&self, from: Side, image: &str) -> String {
        let same = self.key_of(from, "r").into_iter().zip(self.image_key(image));
        format!(
            "coalesce((SELECT {} FROM {} AS r WHERE {}), '{{}}')",
            self.json(from, "r"),
            self.table(from),
            same.map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(" AND ")
        )
    }

    /// Makes the parents of the rows of the image, where they are not there.
    fn put_parents(&self, image: &str) -> Option<String> {
        let (parent, shape) = (self.pair.parent.as_ref()?, self.parent.as_ref()?);
        let all = || parent.key.iter().chain(&parent.set);
        let names = all().map(|c| quote_ident(&c.name)).collect::<Vec<_>>().join(", ");
        let values = all().map(|c| format!("i.{}", parent_column(&c.name))).collect::<Vec<_>>().join(", ");
        let same = parent.key.iter().map(|c| format!("p.{} IS i.{}", quote_ident(&c.name), parent_column(&c.name)));
        let keys = parent.key.iter().map(|c| format!("i.{}", parent_column(&c.name)));
        Some(format!(
            "INSERT INTO {0} ({names}) SELECT {values} FROM {image} AS i WHERE i.{WHY} IS NULL \
             AND NOT EXISTS (SELECT 1 FROM {0} AS p WHERE {1}) GROUP BY {2}",
            shape.ident(),
            same.collect::<Vec<_>>().join(" AND "),
            keys.collect::<Vec<_>>().join(", ")
        ))
    }

    /// The id of the parent of the image `image`.
    pub(super) fn parent_of_image(&self, image: &str) -> String {
        let (Some(parent), Some(shape)) = (&self.pair.parent, &self.parent) else { return "NULL".to_owned() };
        let same =
            parent.key.iter().map(|c| format!("p.{} IS {image}.{}", quote_ident(&c.name), parent_column(&c.name)));
        format!(
            "(SELECT min(p.{}) FROM {} AS p WHERE {})",
            quote_ident(&parent.id),
            shape.ident(),
            same.collect::<Vec<_>>().join(" AND ")
        )
    }

    /// The id of an old row that is not shown on the new side is taken all the same.
    pub(crate) fn count_ids(&self, id: &str) -> Option<String> {
        let [key] = &self.pair.key[..] else { return None };
        if key.negated {
            return None;
        }
        let rowid = self.new.rowid.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(&key.new));
        let name = quote_text(&self.new.name);
        (rowid && self.new.autoincrement).then(|| {
            format!(
                "UPDATE sqlite_sequence SET seq = {id} WHERE name = {name} AND seq < {id} \
                 AND NOT EXISTS (SELECT 1 FROM {} AS t WHERE t.{} = {id})",
                self.table(Side::New),
                quote_ident(&key.new)
            )
        })
    }
}

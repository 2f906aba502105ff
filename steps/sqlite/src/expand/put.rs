//! A row put on the other side, or into the quarantine; with the words of guard and keys that all triggers share.

use crate::mapping::names::{GUARD, QUARANTINE};
use crate::sql::{quote_ident, quote_text};

use super::helpers::gone;
use super::image::parent_column;
use super::weave::{ROW, Side, Weave};

/// When a row was set aside.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')";

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
            "{}{} OR ({} AND EXISTS (SELECT 1 FROM {QUARANTINE} WHERE {} AND shown = 0))",
            unmapped.unwrap_or_default(),
            self.quarantined(Side::Old, (of, row)),
            self.any_quarantined(Side::New),
            self.quarantine_key(Side::New, (of, row))
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

    /// Puts the rows of side `from` that meet `condition` on the other side, where they are not there yet; those that do
    /// not fit go into the quarantine. With `many`, rows may share a parent that is not there.
    pub(crate) fn put(&self, from: Side, condition: &str, many: bool) -> Vec<String> {
        self.put_where(from, condition, many, true)
    }

    /// The same; without `looked` none of them is there yet. SQLite writes the rows of a query that reads the table it
    /// fills aside first, which costs as much again.
    pub(crate) fn put_where(&self, from: Side, condition: &str, many: bool, looked: bool) -> Vec<String> {
        let other = from.other();
        let image = self.image(from, condition, false);
        let mut all = Vec::new();
        if from == Side::Old {
            all.extend(self.put_parent(&image, "1", many));
        }
        let mut columns = self.keys(other);
        columns.extend(self.columns(from).iter().map(|c| quote_ident(&c.name)));
        let mut values: Vec<String> = columns.iter().map(|c| format!("i.{c}")).collect();
        if let (Some(parent), Side::Old) = (&self.pair.parent, from) {
            columns.push(quote_ident(&parent.refers));
            values.push(self.parent_of_image());
        }
        let absent = format!(
            " AND NOT EXISTS (SELECT 1 FROM {} AS there WHERE {})",
            self.table(other),
            self.same_key((other, "there"), (other, "i"))
        );
        all.push(format!(
            "INSERT INTO {} ({}) SELECT {} FROM {image} AS i WHERE i.why IS NULL{}",
            self.table(other),
            columns.join(", "),
            values.join(", "),
            if looked { absent } else { String::new() }
        ));
        all.push(self.set_aside(from, &image, many));
        all
    }

    /// Puts into the quarantine what does not fit. Unless there may be `many`, this is not looked into where the statement
    /// before has just shown the row.
    fn set_aside(&self, from: Side, image: &str, many: bool) -> String {
        let left = if many { "" } else { "changes() = 0 AND " };
        let keys = self.quoted(from, self.image_key("i"));
        let shown = match from {
            Side::Old => "0".to_owned(),
            Side::New => format!(
                "EXISTS (SELECT 1 FROM {} AS there WHERE {} AND {})",
                self.table(Side::Old),
                self.same_key((Side::Old, "there"), (Side::Old, "i")),
                self.mirrored((Side::Old, "there"))
            ),
        };
        let row = format!(
            "(SELECT {} FROM {} AS r WHERE {})",
            self.json(from, "r"),
            self.table(from),
            self.key_of(from, "r")
                .iter()
                .zip(self.image_key("i"))
                .map(|(key, value)| format!("{key} = {value}"))
                .collect::<Vec<_>>()
                .join(" AND ")
        );
        format!(
            "INSERT INTO {QUARANTINE} (pair, side, key, reason, shown, row, at) \
             SELECT {}, '{}', {keys}, i.why, {shown}, coalesce({row}, '{{}}'), {NOW} FROM {image} AS i \
             WHERE {left}i.why IS NOT NULL",
            quote_text(&self.pair.name),
            from.name()
        )
    }

    /// Makes the parents of the image's rows, where they are not there and `condition` holds.
    pub(crate) fn put_parent(&self, image: &str, condition: &str, many: bool) -> Option<String> {
        let (parent, shape) = (self.pair.parent.as_ref()?, self.parent.as_ref()?);
        let all = || parent.key.iter().chain(&parent.set);
        let names = all().map(|c| quote_ident(&c.name)).collect::<Vec<_>>().join(", ");
        let values = all().map(|c| format!("i.{}", parent_column(&c.name))).collect::<Vec<_>>().join(", ");
        let same = parent.key.iter().map(|c| format!("p.{} IS i.{}", quote_ident(&c.name), parent_column(&c.name)));
        let group = if many {
            let keys = parent.key.iter().map(|c| format!("i.{}", parent_column(&c.name))).collect::<Vec<_>>();
            format!(" GROUP BY {}", keys.join(", "))
        } else {
            String::new()
        };
        Some(format!(
            "INSERT INTO {0} ({names}) SELECT {values} FROM {image} AS i WHERE i.why IS NULL AND ({condition}) \
             AND NOT EXISTS (SELECT 1 FROM {0} AS p WHERE {1}){group}",
            shape.ident(),
            same.collect::<Vec<_>>().join(" AND ")
        ))
    }

    /// The id of the parent of the image `i`.
    fn parent_of_image(&self) -> String {
        let (Some(parent), Some(shape)) = (&self.pair.parent, &self.parent) else { return "NULL".to_owned() };
        let same = parent.key.iter().map(|c| format!("p.{} IS i.{}", quote_ident(&c.name), parent_column(&c.name)));
        format!(
            "(SELECT min(p.{}) FROM {} AS p WHERE {})",
            quote_ident(&parent.id),
            shape.ident(),
            same.collect::<Vec<_>>().join(" AND ")
        )
    }

    /// Ids of old rows that are not shown on the new side are taken all the same.
    pub(crate) fn count_ids(&self, row: &str) -> Option<String> {
        let [key] = &self.pair.key[..] else { return None };
        if key.negated {
            return None;
        }
        let rowid = self.new.rowid.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(&key.new));
        let (id, name) = (quote_ident(&key.old), quote_text(&self.new.name));
        (rowid && self.new.autoincrement).then(|| {
            format!(
                "UPDATE sqlite_sequence SET seq = {row}.{id} WHERE name = {name} AND seq < {row}.{id} \
                 AND NOT EXISTS (SELECT 1 FROM {} AS t WHERE {})",
                self.table(Side::New),
                self.same_key((Side::New, "t"), (Side::Old, row))
            )
        })
    }
}

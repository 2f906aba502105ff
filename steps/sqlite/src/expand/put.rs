//! The statements that all triggers of a pair share: a row is put on the other side, or into the quarantine; its image is
//! taken away; parents that are left empty go.

use crate::mapping::names::{GUARD, QUARANTINE};
use crate::mapping::over::{self, Row};
use crate::sql::{quote_ident, quote_text};

use super::helpers::gone;
use super::weave::{BEFORE, PARENT, ROW, Side, THERE, Weave, parent_column};

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

    /// The condition that a column somewhere refers to the key of the new row whose key is that of `row` (of side `of`).
    fn referred(&self, (of, row): (Side, &str)) -> Option<String> {
        let key = self.across(of, Side::New, self.key_of(of, row)).into_iter().next()?;
        let each = self.referring.iter().map(|(table, column)| {
            format!("EXISTS (SELECT 1 FROM {} AS c WHERE c.{} = {key})", quote_ident(table), quote_ident(column))
        });
        Some(each.collect::<Vec<_>>().join(" OR ")).filter(|sql| !sql.is_empty())
    }

    /// Takes away the new rows that meet `there`, which their old rows do no longer ask for. `row` (of side `of`) has
    /// their key. What a new program made or needs stays as another row.
    pub(crate) fn withdraw(&self, there: &str, (of, row): (Side, &str)) -> Vec<String> {
        let table = self.table(Side::New);
        let mut all: Vec<String> = self.leaving(there).into_iter().collect();
        let ours = format!("{there} AND NOT ({})", self.strange((of, row)));
        if !self.pair.gone.is_empty() {
            let sets = self.pair.gone.iter().map(|c| format!("{} = {}", quote_ident(&c.name), c.sql));
            let sets = sets.collect::<Vec<_>>().join(", ");
            // Where ids are copied nobody can tell who made it.
            let theirs = match &self.pair.key[..] {
                [key] if key.negated => {
                    let made = format!("{table}.{} > 0", quote_ident(&key.new));
                    let referred = self.referred((Side::New, &table)).map(|sql| format!(" OR {sql}"));
                    format!(" AND ({made}{})", referred.unwrap_or_default())
                }
                _ => String::new(),
            };
            all.push(format!("UPDATE {table} SET {sets} WHERE {ours}{theirs}"));
        }
        // What still shows is deleted.
        all.push(format!("DELETE FROM {table} WHERE {ours}"));
        all
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

    /// Remembers the parents of the new rows that meet `condition`, to see later whether they are left empty.
    pub(crate) fn leaving(&self, condition: &str) -> Option<String> {
        let parent = self.pair.parent.as_ref()?;
        let table = self.table(Side::New);
        Some(format!(
            "INSERT INTO {} (side, k0) SELECT 'parent', {table}.{} FROM {table} WHERE {condition}",
            self.gone(),
            quote_ident(&parent.refers)
        ))
    }

    /// Takes away the parents that [`Self::leaving`] remembered and that nobody refers to or has written to.
    pub(crate) fn sweep_parents(&self) -> Vec<String> {
        let (Some(parent), Some(shape)) = (&self.pair.parent, &self.parent) else { return Vec::new() };
        let table = shape.ident();
        let id = quote_ident(&parent.id);
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        let ours = |name: &str| {
            same(name, &parent.id)
                || parent.key.iter().any(|c| same(&c.name, name))
                || parent.set.iter().any(|c| same(&c.name, name) && over::speaks_of(&c.sql, Row::Old))
        };
        let mut conditions = vec![format!("{table}.{id} IN (SELECT k0 FROM {} WHERE side = 'parent')", self.gone())];
        for (child, column) in &self.children {
            let (child, column) = (quote_ident(child), quote_ident(column));
            conditions.push(format!("NOT EXISTS (SELECT 1 FROM {child} AS c WHERE c.{column} = {table}.{id})"));
        }
        for column in shape.columns.iter().filter(|c| !c.generated && !ours(&c.name)) {
            let set = parent.set.iter().find(|s| same(&s.name, &column.name)).map(|s| s.sql.as_str());
            let made = set.or(column.default.as_deref()).unwrap_or("NULL");
            conditions.push(format!("{table}.{} IS ({made})", quote_ident(&column.name)));
        }
        for shown in &self.parent_shown {
            let shown = over::over(shown, |_, column| format!("{table}.{}", quote_ident(column)));
            conditions.push(format!("NOT coalesce(({shown}), 0)"));
        }
        vec![
            format!("DELETE FROM {table} WHERE {}", conditions.join(" AND ")),
            format!("DELETE FROM {} WHERE side = 'parent'", self.gone()),
        ]
    }

    /// Takes away what the other side shows of the row `row` of side `from`, which is gone, or is not mapped any more.
    pub(crate) fn take(&self, from: Side, row: &str, condition: &str) -> Vec<String> {
        let other = from.other();
        let table = self.table(other);
        let there = format!("{} AND ({condition})", self.same_key((other, &table), (from, row)));
        let mut all = Vec::new();
        match from {
            Side::Old => {
                all.extend(self.withdraw(&there, (from, row)));
                let shown = self.quarantine_key(Side::New, (from, row));
                all.push(format!("DELETE FROM {QUARANTINE} WHERE {shown} AND shown = 1 AND ({condition})"));
            }
            Side::New => all.push(format!("DELETE FROM {table} WHERE {there} AND {}", self.mirrored((from, row)))),
        }
        all.push(format!(
            "DELETE FROM {QUARANTINE} WHERE {} AND ({condition})",
            self.quarantine_key(from, (from, row))
        ));
        all
    }

    /// Before a row is written: the rows with the same unique keys, which REPLACE would take away.
    pub(crate) fn foresee(&self, side: Side, updated: bool) -> Vec<String> {
        let table = self.table(side);
        let keys = self.keys(side).iter().map(|k| format!("t.{k}")).collect::<Vec<_>>().join(", ");
        let uniques = self.shape(side).other_uniques(self.key_names(side));
        let each = uniques.filter_map(|unique| {
            let terms = unique.columns.as_ref()?.iter().map(|(name, collation)| {
                let name = quote_ident(name);
                format!("t.{name} = NEW.{name} COLLATE {}", quote_ident(collation))
            });
            let mut terms = terms.collect::<Vec<_>>().join(" AND ");
            if updated {
                terms = format!("{terms} AND NOT ({})", self.same_key((side, "t"), (side, "OLD")));
            }
            let from = match &unique.filter {
                Some(filter) => format!("(SELECT * FROM {table} WHERE {filter})"),
                None => table.clone(),
            };
            Some(format!(
                "INSERT INTO {} (side, {}) SELECT '{}', {keys} FROM {from} AS t WHERE {terms}",
                self.gone(),
                self.gone_keys(),
                side.name()
            ))
        });
        each.collect()
    }

    /// Afterwards: those that were taken away indeed are gone on the other side too.
    pub(crate) fn sweep(&self, side: Side) -> Vec<String> {
        if self.shape(side).other_uniques(self.key_names(side)).next().is_none() {
            return Vec::new();
        }
        let (other, gone) = (side.other(), self.gone());
        let here = self.keys(side).iter().enumerate().map(|(at, k)| format!("h.{k} = g.k{at}")).collect::<Vec<_>>();
        let vanished = format!(
            "FROM {gone} AS g WHERE g.side = '{}' AND NOT EXISTS (SELECT 1 FROM {} AS h WHERE {})",
            side.name(),
            self.table(side),
            here.join(" AND ")
        );
        let keys = self.across(side, other, self.numbered("g.k")).join(", ");
        let table = self.table(other);
        let there = format!("{} IN (SELECT {keys} {vanished})", self.tuple(other));
        let mut all = Vec::new();
        match side {
            Side::Old => {
                all.extend(self.withdraw(&there, (other, &table)));
            }
            Side::New => all.push(format!("DELETE FROM {table} WHERE {there} AND {}", self.mirrored((other, &table)))),
        }
        let text = self.quoted(side, self.numbered("g.k"));
        all.push(format!(
            "DELETE FROM {QUARANTINE} WHERE pair = {} AND side = '{}' AND key IN (SELECT {text} {vanished})",
            quote_text(&self.pair.name),
            side.name()
        ));
        all.push(format!("DELETE FROM {gone} WHERE side = '{}'", side.name()));
        all
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

    /// Carries an update of a row of side `from` over: only columns whose image changed are written.
    pub(crate) fn carry(&self, from: Side) -> Vec<String> {
        let other = from.other();
        let table = self.table(other);
        let mut columns = self.keys(other);
        columns.extend(self.columns(from).iter().map(|c| quote_ident(&c.name)));
        columns.extend(self.pair.parent.iter().filter(|_| from == Side::Old).map(|p| quote_ident(&p.refers)));
        let values = columns.iter().map(|c| format!("i.{c}")).collect::<Vec<_>>().join(", ");
        let image = self.image(from, &self.same_key((from, ROW), (from, "NEW")), true);
        let there = match from {
            Side::Old => format!("NOT ({})", self.strange((from, "OLD"))),
            Side::New => self.mirrored((from, "OLD")),
        };
        let before = self.same_key((other, &table), (from, "OLD"));
        let columns = if columns.len() == 1 { columns.concat() } else { format!("({})", columns.join(", ")) };
        vec![format!(
            "UPDATE {table} SET {columns} = (SELECT {values} FROM {image} AS i) WHERE {before} AND {there} AND {}",
            self.fits_now(from)
        )]
    }

    /// The condition that the row `NEW` of side `from` fits on the other side.
    pub(crate) fn fits_now(&self, from: Side) -> String {
        let image = self.image(from, &self.same_key((from, ROW), (from, "NEW")), true);
        let fits = format!("EXISTS (SELECT 1 FROM {image} AS i WHERE i.why IS NULL)");
        match self.referred((from, "OLD")).filter(|_| from == Side::Old && !self.pair.gone.is_empty()) {
            // What refers to the new row by its key stays with it: under another key there is another row.
            Some(referred) => format!("({fits} AND NOT (({}) AND ({referred})))", self.key_moved(from)),
            None => fits,
        }
    }

    /// The condition that an old row, before and after, belongs to different parents.
    pub(crate) fn parent_changed(&self) -> String {
        let keys = self.pair.parent.iter().flat_map(|p| &p.key);
        keys.map(|k| changed(&k.sql, PARENT, PARENT)).collect::<Vec<_>>().join(" OR ")
    }

    /// Like [`Self::rows`], with what the other side has, and with the parent that the row had before an update.
    pub(crate) fn rows_before(&self, from: Side, condition: &str) -> String {
        let rows = self.rows(from, condition);
        let other = from.other();
        let mut joins =
            format!(" LEFT JOIN {} AS {THERE} ON {}", self.table(other), self.same_key((other, THERE), (from, "OLD")));
        if let (Some(parent), Some(shape), Side::New) = (&self.pair.parent, &self.parent, from) {
            joins += &format!(
                " LEFT JOIN {} AS {BEFORE} ON {BEFORE}.{} = OLD.{}",
                shape.ident(),
                quote_ident(&parent.id),
                quote_ident(&parent.refers)
            );
        }
        rows.replacen(" WHERE ", &format!("{joins} WHERE "), 1)
    }
}

/// The condition that an expression gives another value for the row `OLD` and its parent `before` than for [`ROW`] and its
/// parent `parent`. Byte for byte: the collation of a column would hide a change of case.
pub(crate) fn changed(expression: &str, parent: &'static str, before: &'static str) -> String {
    let now = Weave::speak(expression, ROW, parent);
    let then = Weave::speak(expression, "OLD", before);
    differ(&then, &now)
}

/// The condition that two expressions have different values.
pub(crate) fn differ(a: &str, b: &str) -> String {
    format!("(({a}) IS NOT ({b}) COLLATE BINARY OR typeof({a}) <> typeof({b}))")
}

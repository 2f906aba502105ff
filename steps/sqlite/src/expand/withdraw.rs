//! What an old or a new row showed on the other side goes with it; so do parents that are left empty.

use crate::mapping::names::QUARANTINE;
use crate::mapping::over::{self, Row};
use crate::sql::quote_ident;

use super::triggers::Part;
use super::views::{instead, view};
use super::weave::{Side, Weave};

/// The view whose rows are keys of rows of side `from` that are gone.
fn away_view(weave: &Weave, from: Side) -> String {
    weave.helper(&format!("{}_away", from.name()))
}

/// That view and its trigger.
pub(super) fn of(weave: &Weave, from: Side) -> [Part; 2] {
    let name = away_view(weave, from);
    let other = from.other();
    let table = weave.table(other);
    let there = weave.same_key((other, &table), (from, "NEW"));
    let forget = |side: Side| format!("DELETE FROM {QUARANTINE} WHERE {}", weave.quarantine_key(side, (from, "NEW")));
    let mut body = match from {
        Side::Old => weave.withdraw(&there, (from, "NEW")),
        Side::New => vec![format!("DELETE FROM {table} WHERE {there} AND {}", weave.mirrored((from, "NEW")))],
    };
    body.extend((from == Side::Old).then(|| format!("{} AND shown = 1", forget(Side::New))));
    body.push(forget(from));
    [view(&name, &weave.keys(from)), instead(&name, "take", None, &body)]
}

impl Weave {
    /// The condition that a column somewhere refers to the key of the new row whose key is that of `row` (of side `of`).
    pub(super) fn referred(&self, (of, row): (Side, &str)) -> Option<String> {
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

    /// Takes away what the other side shows of the row of side `from` with the key of the trigger's row `row`, where
    /// `condition` holds: that row is gone.
    pub(crate) fn take(&self, from: Side, row: &str, condition: &str) -> String {
        let key = self.key_of(from, row).join(", ");
        format!("INSERT INTO {} SELECT {key} WHERE {condition}", quote_ident(&away_view(self, from)))
    }

    /// The same for all rows of side `from` whose keys a query over `g`, the table of [`Self::gone`], finds.
    pub(super) fn take_all(&self, from: Side, vanished: &str) -> String {
        let key = self.numbered("g.k").join(", ");
        format!("INSERT INTO {} SELECT DISTINCT {key} {vanished}", quote_ident(&away_view(self, from)))
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
}

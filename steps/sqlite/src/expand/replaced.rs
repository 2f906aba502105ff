//! Rows that REPLACE takes away over another unique key than the primary one, which no delete trigger sees.

use crate::mapping::names::QUARANTINE;
use crate::sql::{quote_ident, quote_text};

use super::weave::{Side, Weave};

impl Weave {
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
}

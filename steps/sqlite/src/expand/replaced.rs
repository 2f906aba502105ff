//! Rows that REPLACE takes away over another unique key than the primary one, which no delete trigger sees.

use crate::mapping::names::QUARANTINE;
use crate::sql::{quote_ident, quote_text};

use super::weave::{Side, Weave};

impl Weave {
    /// Before a row is written: the condition that REPLACE would take others away for it, and what remembers those. One
    /// with the same primary key needs no remembering before an update: its new key says it.
    pub(crate) fn foresee(&self, side: Side, updated: bool) -> Option<(String, Vec<String>)> {
        let table = self.table(side);
        let keys = self.keys(side).iter().map(|k| format!("t.{k}")).collect::<Vec<_>>().join(", ");
        let shape = self.shape(side);
        let uniques = shape.uniques.iter().filter(|u| !(updated && u.is_of(&self.key_names(side))));
        let found = uniques.filter_map(|unique| {
            let columns = unique.columns.as_ref()?;
            let (from, mut terms) = unique.like_new(&table, "t")?;
            if updated {
                terms.push(format!("NOT ({})", self.same_key((side, "t"), (side, "OLD"))));
            } else {
                terms.extend(
                    self.unknown(side)
                        .filter(|(name, _)| columns.iter().any(|(c, _)| c == name))
                        .map(|u| format!("NOT {}", u.1)),
                );
            }
            Some(format!("FROM {from} WHERE {}", terms.join(" AND ")))
        });
        let found: Vec<String> = found.collect();
        let any = found.iter().map(|rows| format!("EXISTS (SELECT 1 {rows})")).collect::<Vec<_>>().join(" OR ");
        let remember = found.iter().map(|rows| {
            format!("INSERT INTO {} (side, {}) SELECT '{}', {keys} {rows}", self.gone(), self.gone_keys(), side.name())
        });
        (!found.is_empty()).then(|| (format!("({any})"), remember.collect()))
    }

    /// The rowid's column, and the condition that nobody can say before an insert whether there is a row with it: SQLite
    /// says -1 of an id that it has yet to choose.
    pub(crate) fn unknown(&self, side: Side) -> Option<(String, String)> {
        let name =
            self.shape(side).rowid.clone().filter(|name| self.key_names(side).any(|k| k.eq_ignore_ascii_case(name)))?;
        let condition = format!("NEW.{} = -1", quote_ident(&name));
        Some((name, condition))
    }

    /// The condition that the row `NEW` of `side` may have been put in the place of another with its key.
    pub(crate) fn replaced(&self, side: Side) -> String {
        let unknown = self.unknown(side).map(|(_, unknown)| format!(" OR {unknown}")).unwrap_or_default();
        format!("EXISTS (SELECT 1 FROM {} WHERE {}){unknown}", self.gone(), self.remembered(side, "NEW"))
    }

    /// Forgets that the row `row` of `side` was in the way.
    pub(crate) fn keep(&self, side: Side, row: &str) -> String {
        format!("DELETE FROM {} WHERE {}", self.gone(), self.remembered(side, row))
    }

    fn remembered(&self, side: Side, row: &str) -> String {
        let keys = self.key_of(side, row).into_iter().enumerate();
        let same = keys.map(|(at, key)| format!("k{at} IS {key}")).collect::<Vec<_>>().join(" AND ");
        format!("side = '{}' AND {same}", side.name())
    }

    /// The condition that a row of `side` that was just inserted may have taken others away, or that rows of the pair are
    /// in the quarantine: mostly neither is so, and it need not be looked into one by one.
    pub(crate) fn special(&self, side: Side) -> String {
        let pair = quote_text(&self.pair.name);
        let unknown = self.unknown(side).map(|(_, unknown)| format!(" OR {unknown}")).unwrap_or_default();
        format!(
            "(EXISTS (SELECT 1 FROM {} WHERE side = '{}') OR EXISTS (SELECT 1 FROM {QUARANTINE} WHERE pair = {pair}){unknown})",
            self.gone(),
            side.name()
        )
    }

    /// Afterwards: those that were taken away indeed are gone on the other side too.
    pub(crate) fn sweep(&self, side: Side) -> Vec<String> {
        let forget = format!("DELETE FROM {} WHERE side = '{}'", self.gone(), side.name());
        if self.shape(side).other_uniques(self.key_names(side)).next().is_none() {
            return vec![forget];
        }
        let here = self.keys(side).iter().enumerate().map(|(at, k)| format!("h.{k} = g.k{at}")).collect::<Vec<_>>();
        let vanished = format!(
            "FROM {} AS g WHERE g.side = '{}' AND NOT EXISTS (SELECT 1 FROM {} AS h WHERE {})",
            self.gone(),
            side.name(),
            self.table(side),
            here.join(" AND ")
        );
        vec![self.take_all(side, &vanished), forget]
    }
}

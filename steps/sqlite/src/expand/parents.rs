//! The triggers on the table of parents: what happens to a parent shows in the old rows of all its children.

use crate::mapping::Parent;
use crate::mapping::names::QUARANTINE;
use crate::mapping::over::{self, Row};
use crate::sql::{quote_ident, quote_text};

use super::moved::differ;
use super::shape::Shape;
use super::triggers::{Part, trigger};
use super::views::{instead, view};
use super::weave::{LATE, ROW, Side, WHY, Weave};

/// Why a new row is in the quarantine that refers to no parent.
const ORPHAN: &str = "its parent is gone";

/// The triggers; none without parents.
pub(super) fn of(weave: &Weave) -> Vec<Part> {
    let (Some(parent), Some(shape)) = (&weave.pair.parent, &weave.parent) else { return Vec::new() };
    let on = Parents { weave, parent, shape };
    let mut all = Vec::from(on.gone());
    all.extend(on.before());
    all.extend([on.after_insert(), on.after_update(), on.after_delete()]);
    all
}

struct Parents<'w> {
    weave: &'w Weave,
    parent: &'w Parent,
    shape: &'w Shape,
}

impl Parents<'_> {
    fn make(&self, event: &str, condition: Option<&str>, body: &[String]) -> Part {
        trigger(self.weave, (self.shape, "parent"), event, condition, body)
    }

    /// `child.refers = row.id`.
    fn child_of(&self, child: &str, row: &str) -> String {
        format!("{child}.{} = {row}.{}", quote_ident(&self.parent.refers), quote_ident(&self.parent.id))
    }

    /// Parents that REPLACE would take away.
    fn before(&self) -> Vec<Part> {
        let (table, id) = (self.shape.ident(), quote_ident(&self.parent.id));
        let each = |updated: bool| {
            let uniques = self.shape.other_uniques([self.parent.id.as_str()].into_iter());
            let foreseen = uniques.filter_map(|unique| {
                let (from, mut terms) = unique.like_new(&table, "t")?;
                if updated {
                    terms.push(format!("t.{id} <> OLD.{id}"));
                }
                let (gone, terms) = (self.weave.gone(), terms.join(" AND "));
                Some(format!("INSERT INTO {gone} (side, k0) SELECT 'lost', t.{id} FROM {from} WHERE {terms}"))
            });
            foreseen.collect::<Vec<_>>()
        };
        let events = [("BEFORE INSERT", each(false)), ("BEFORE UPDATE", each(true))];
        let events = events.iter().filter(|(_, foreseen)| !foreseen.is_empty());
        events.map(|(event, foreseen)| self.make(event, None, foreseen)).collect()
    }

    /// The view whose rows are ids of parents that are gone.
    fn away(&self) -> String {
        self.weave.helper("parent_away")
    }

    /// That view and its trigger.
    fn gone(&self) -> [Part; 2] {
        let (name, id) = (self.away(), quote_ident(&self.parent.id));
        let body = self.orphan(&format!("= NEW.{id}"), true);
        [view(&name, &[id]), instead(&name, "take", None, &body)]
    }

    /// What became of the children of parents that were replaced.
    fn sweep(&self) -> Vec<String> {
        if self.shape.other_uniques([self.parent.id.as_str()].into_iter()).next().is_none() {
            return Vec::new();
        }
        let gone = self.weave.gone();
        let lost = format!(
            "SELECT DISTINCT g.k0 FROM {gone} AS g WHERE g.side = 'lost' AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE p.{} = g.k0)",
            self.shape.ident(),
            quote_ident(&self.parent.id)
        );
        let away = quote_ident(&self.away());
        vec![format!("INSERT INTO {away} {lost}"), format!("DELETE FROM {gone} WHERE side = 'lost'")]
    }

    /// The children whose parent's id is `which` have none any more. Where the schema says that they go with it, they do,
    /// also for a program that has foreign keys off; else their old rows stay as they were.
    fn orphan(&self, which: &str, deleted: bool) -> Vec<String> {
        let weave = self.weave;
        let (new, old) = (weave.table(Side::New), weave.table(Side::Old));
        let refers = quote_ident(&self.parent.refers);
        let cascades = deleted
            && weave.new.foreign.iter().any(|(column, table, action)| {
                column.eq_ignore_ascii_case(&self.parent.refers)
                    && table.eq_ignore_ascii_case(&self.shape.name)
                    && action.eq_ignore_ascii_case("CASCADE")
            });
        let keys = weave.across(Side::New, Side::Old, weave.key_of(Side::New, "c")).join(", ");
        let text = weave.key_text(Side::New, "c");
        let pair = quote_text(&weave.pair.name);
        let children = format!("FROM {new} AS c WHERE c.{refers} {which}");
        let shown = weave.scope(Side::New, "c").map(|scope| format!(" AND ({scope})")).unwrap_or_default();
        if cascades {
            return vec![
                format!(
                    "DELETE FROM {old} WHERE {} IN (SELECT {keys} {children}) AND {}",
                    weave.tuple(Side::Old),
                    weave.mirrored((Side::Old, &old))
                ),
                format!(
                    "DELETE FROM {QUARANTINE} WHERE pair = {pair} AND side = 'new' AND key IN (SELECT {text} {children})"
                ),
                format!("DELETE FROM {new} WHERE {refers} {which}"),
            ];
        }
        vec![
            format!(
                "DELETE FROM {QUARANTINE} WHERE pair = {pair} AND side = 'new' AND key IN (SELECT {text} {children})"
            ),
            format!(
                "INSERT INTO {QUARANTINE} (pair, side, key, reason, shown, row, at) \
                 SELECT {pair}, 'new', {text}, {}, EXISTS (SELECT 1 FROM {old} AS there WHERE {} AND {}), {}, \
                 strftime('%Y-%m-%dT%H:%M:%SZ', 'now') {children}",
                quote_text(ORPHAN),
                weave.same_key((Side::Old, "there"), (Side::New, "c")),
                weave.mirrored((Side::Old, "there")),
                weave.json(Side::New, "c"),
            ) + &shown,
        ]
    }

    /// Writes what shows of the parent `NEW` into the old rows of its children. `before` is what the parent was: where it
    /// is not known, what the old row has.
    fn show(&self, before: Option<&'static str>) -> Vec<String> {
        let weave = self.weave;
        let (new, old) = (weave.table(Side::New), weave.table(Side::Old));
        let each = weave.pair.back.iter().map(|column| {
            let name = quote_ident(&column.name);
            let now = Weave::speak(&column.sql, ROW, "NEW");
            let changed = match before {
                _ if !over::speaks_of(&column.sql, Row::Parent) => LATE.to_owned(),
                // Under a new id it may have come to children of another parent, which it replaced.
                Some(before) => format!(
                    "{LATE} OR {} OR (OLD.{id} IS NOT NEW.{id} AND {})",
                    differ(&Weave::speak(&column.sql, ROW, before), &now),
                    differ(&format!("{old}.{name}"), &now),
                    id = quote_ident(&self.parent.id)
                ),
                None => format!("{LATE} OR {}", differ(&format!("{old}.{name}"), &now)),
            };
            let value = format!("CASE WHEN {changed} THEN {now} ELSE {old}.{name} END");
            (name, value)
        });
        let (names, values): (Vec<_>, Vec<_>) = each.unzip();
        if names.is_empty() {
            return Vec::new();
        }
        let children = self.child_of(ROW, "NEW");
        let image = weave.image(Side::New, &children);
        let keys = weave.keys(Side::Old).iter().map(|k| format!("i.{k}")).collect::<Vec<_>>().join(", ");
        vec![format!(
            "UPDATE {old} SET ({}) = (SELECT {} FROM {new} AS {ROW}{} WHERE {}) \
             WHERE {} IN (SELECT {keys} FROM {image} AS i WHERE i.{WHY} IS NULL) AND {}",
            names.join(", "),
            values.join(", "),
            weave.late((Side::Old, &old)),
            weave.same_key((Side::New, ROW), (Side::Old, &old)),
            weave.tuple(Side::Old),
            weave.mirrored((Side::Old, &old))
        )]
    }

    /// Children that waited for their parent, and those that its new values keep from being shown.
    fn adopt(&self) -> Vec<String> {
        let weave = self.weave;
        let children = self.child_of("c", "NEW");
        let mut all = vec![format!(
            "DELETE FROM {QUARANTINE} WHERE pair = {} AND side = 'new' AND key IN (SELECT {} FROM {} AS c WHERE {children})",
            quote_text(&weave.pair.name),
            weave.key_text(Side::New, "c"),
            weave.table(Side::New)
        )];
        all.push(weave.put_each(Side::New, &children));
        all
    }

    fn after_insert(&self) -> Part {
        let mut body = self.sweep();
        body.extend(self.show(None));
        body.extend(self.adopt());
        self.make("AFTER INSERT", None, &self.weave.guarded(Side::New.name(), body))
    }

    fn after_update(&self) -> Part {
        let id = quote_ident(&self.parent.id);
        // What an upsert updates was in the way of its insert, and was not replaced: under another id it is not gone.
        let mut body = vec![format!("DELETE FROM {} WHERE side = 'lost' AND k0 = OLD.{id}", self.weave.gone())];
        body.extend(self.sweep());
        let left = format!("= OLD.{id} AND OLD.{id} IS NOT NEW.{id}");
        body.extend(self.orphan(&left, false));
        body.extend(self.show(Some("OLD")));
        body.extend(self.adopt());
        self.make("AFTER UPDATE", None, &self.weave.guarded(Side::New.name(), body))
    }

    fn after_delete(&self) -> Part {
        let body = format!("INSERT INTO {} VALUES (OLD.{})", quote_ident(&self.away()), quote_ident(&self.parent.id));
        self.make("AFTER DELETE", None, &self.weave.guarded(Side::New.name(), vec![body]))
    }
}

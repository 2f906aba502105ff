//! The triggers of a pair, as SQL: what happens on one side is shown on the other.
//!
//! Owns which statement stands in which trigger, and in which order. A trigger does nothing while another one of ours is at
//! work (the guard): so nothing loops, whatever `recursive_triggers` says. Nothing in a trigger can fail on a row that
//! its table took: what does not fit on the other side goes into the quarantine.

use crate::mapping::names::{GUARD, QUARANTINE};
use crate::sql::quote_ident;

use super::shape::Shape;
use super::weave::{ROW, Side, Weave};

/// A trigger, or a view that triggers write into, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// As SQLite's schema table has it.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// What it is about, as the database spells it: of a view that is itself.
    pub(crate) table: String,
    pub(crate) sql: String,
}

impl Part {
    pub(super) fn trigger(name: String, table: &str, sql: String) -> Self {
        Self { kind: "trigger", name, table: table.to_owned(), sql }
    }

    pub(super) fn view(name: &str, sql: String) -> Self {
        Self { kind: "view", name: name.to_owned(), table: name.to_owned(), sql }
    }
}

/// All views and triggers of the pair, in the order in which they are made.
pub(crate) fn of(weave: &Weave) -> Vec<Part> {
    let mut all = super::views::of(weave);
    for side in [Side::Old, Side::New] {
        all.extend(before(weave, side));
        all.extend(after_insert(weave, side));
        all.push(after_update(weave, side));
        all.push(after_delete(weave, side));
    }
    all.extend(super::parents::of(weave));
    all
}

/// A trigger of ours on `table`.
pub(super) fn trigger(
    weave: &Weave,
    (table, what): (&Shape, &str),
    event: &str,
    condition: Option<&str>,
    statements: &[String],
) -> Part {
    let word = event.to_ascii_lowercase().replace(' ', "_");
    let name = weave.helper(&format!("{what}_{word}"));
    let condition = condition.map(|c| format!(" AND {c}")).unwrap_or_default();
    let sql = format!(
        "CREATE TRIGGER {} {event} ON {} WHEN {}{condition}\nBEGIN\n  {};\nEND",
        quote_ident(&name),
        table.ident(),
        weave.unguarded(),
        statements.join(";\n  ")
    );
    Part::trigger(name, &table.name, sql)
}

/// What must be seen before a row is written: what REPLACE would take away; on the new side also an old row of the same
/// key that nobody has shown there yet, which must be met by the statement's own way with conflicts.
fn before(weave: &Weave, side: Side) -> Vec<Part> {
    let table = weave.table(side);
    let mut all = Vec::new();
    for (event, updated) in [("BEFORE INSERT", false), ("BEFORE UPDATE", true)] {
        if let Some((any, remember)) = weave.foresee(side, updated) {
            all.push(trigger(weave, (weave.shape(side), side.name()), event, Some(&any), &remember));
        }
    }
    if side == Side::New {
        // What triggers of another pair insert here gets an id that nobody has (which is said to be -1 until then).
        let at_key = weave.same_key((Side::Old, ROW), (side, "NEW"));
        let unseen = format!(
            "NOT EXISTS (SELECT 1 FROM {GUARD} WHERE origin IS NOT NULL) AND EXISTS (SELECT 1 FROM {} AS {ROW} WHERE {at_key}) \
             AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {}) AND NOT {}",
            weave.table(Side::Old),
            weave.same_key((side, "t"), (side, "NEW")),
            weave.quarantined(Side::Old, (side, "NEW")),
        );
        let put = weave.guarded(Side::Old.name(), vec![weave.put(Side::Old, (side, "NEW"))]);
        all.push(trigger(weave, (weave.shape(side), "unseen"), "BEFORE INSERT", Some(&unseen), &put));
        let moved = format!("({}) AND {unseen}", weave.key_moved(side));
        all.push(trigger(weave, (weave.shape(side), "unseen"), "BEFORE UPDATE", Some(&moved), &put));
    }
    all
}

/// Mostly a new row has just to be shown. What may have taken others away is looked into by a trigger of its own.
fn after_insert(weave: &Weave, side: Side) -> [Part; 2] {
    let here = weave.same_key((side, ROW), (side, "NEW"));
    let special = weave.special(side);
    let (special, plain) = match weave.scope(side, ROW) {
        Some(_) => {
            let mapped = format!("EXISTS (SELECT 1 {})", weave.rows(side, &here));
            (format!("({special} OR NOT {mapped})"), format!("NOT {special} AND {mapped}"))
        }
        None => (special.clone(), format!("NOT {special}")),
    };
    // A row that REPLACE put in the place of another with the same key.
    let mut body = vec![weave.take(side, "NEW", &weave.replaced(side))];
    body.push(format!("DELETE FROM {QUARANTINE} WHERE {}", weave.quarantine_key(side, (side, "NEW"))));
    body.extend(weave.sweep(side));
    body.push(weave.put_inserted(side));
    let body = finish(weave, side, "AFTER INSERT", body);
    let put = weave.guarded(side.name(), vec![weave.put_new(side)]);
    let table = weave.shape(side);
    [
        trigger(weave, (table, side.name()), "AFTER INSERT", Some(&special), &body),
        trigger(weave, (table, &format!("{}_plain", side.name())), "AFTER INSERT", Some(&plain), &put),
    ]
}

fn after_update(weave: &Weave, side: Side) -> Part {
    let moved = weave.key_moved(side);
    // What an upsert updates was in the way of its insert, and was not replaced.
    let mut body = vec![weave.keep(side, "OLD")];
    body.extend(weave.sweep(side));
    // What had the new key before, and was replaced.
    body.push(weave.take(side, "NEW", &moved));
    body.extend(weave.carry(side));
    if side == Side::Old {
        // What the quarantine says of the new row goes with it, where the new key is not another new row's.
        let theirs = weave.quarantine_key(Side::New, (side, "NEW"));
        let shown = format!("{} AND shown = 1 AND ({moved})", weave.quarantine_key(Side::New, (side, "OLD")));
        body.push(format!(
            "UPDATE {QUARANTINE} SET key = {} WHERE {shown} AND NOT EXISTS (SELECT 1 FROM {QUARANTINE} WHERE {theirs})",
            weave.key_text(side, "NEW"),
        ));
        body.push(format!("DELETE FROM {QUARANTINE} WHERE {shown}"));
    }
    body.push(format!("DELETE FROM {QUARANTINE} WHERE {}", weave.quarantine_key(side, (side, "OLD"))));
    body.push(weave.put(side, (side, "NEW")));
    let body = finish(weave, side, "AFTER UPDATE", body);
    trigger(weave, (weave.shape(side), side.name()), "AFTER UPDATE", None, &body)
}

fn after_delete(weave: &Weave, side: Side) -> Part {
    let body = finish(weave, side, "AFTER DELETE", vec![weave.take(side, "OLD", "1")]);
    trigger(weave, (weave.shape(side), side.name()), "AFTER DELETE", None, &body)
}

/// The statements between guard and guard, with what ends each event on the old side.
fn finish(weave: &Weave, side: Side, event: &str, mut body: Vec<String>) -> Vec<String> {
    if side == Side::Old {
        body.extend(weave.sweep_parents());
        if let ([id], true) = (&weave.key_of(side, "NEW")[..], event != "AFTER DELETE") {
            body.extend(weave.count_ids(id));
        }
    }
    weave.guarded(side.name(), body)
}

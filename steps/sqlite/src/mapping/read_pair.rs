//! One `[[table]]` of a mapping.

use cutover_core::plan::{Diagnostic, Diagnostics, Entry, Table, Text};

use super::expression::{self, is_literal};
use super::over::{Row, speaks_of};
use super::range::{Unit, bound};
use super::read::{named, theirs};
use super::{Column, KeyColumn, Pair, Parent, Range};

/// Reads it; what is missing or wrong goes to the diagnostics.
pub(crate) fn pair(mut table: Table<'_>, d: &mut Diagnostics) -> Option<Pair> {
    let name = table.required("name", "add `name = \"...\"`: stages and reports speak of it", d);
    let name = name.and_then(|name| named(&name, "a table's name", d));
    let old = table.required("old", "add `old = \"...\"`: the table of the old schema", d);
    let new = table.required("new", "add `new = \"...\"`: the table of the new schema", d);
    let (old, new) = (theirs(old, d), theirs(new, d));
    if !table.has("key") {
        let mistake = Diagnostic::in_file(table.header.clone(), "a table of a mapping has no `key`");
        d.push(
            mistake.help("add `key = [{ old = \"id\", new = \"id\" }]`: what makes a row the same row on both sides"),
        );
    }
    let keys = table.tables("key", ("a column of a key", "[[table.key]]"), d);
    let key: Vec<KeyColumn> = keys.into_iter().filter_map(|key| key_column(key, d)).collect();
    if let Some(negated) = key.iter().find(|k| k.negated).filter(|_| key.len() > 1) {
        let message = format!("`{}` is negated, and not the only column of its key", negated.old);
        d.push(
            Diagnostic::in_file(table.header.clone(), message).help("a negated key is one id that SQLite hands out"),
        );
    }
    let when = table.text("when", d).and_then(|text| expression(text, d));
    let has_when_new = table.has("when_new");
    let when_new = table.text("when_new", d).and_then(|text| of_new(text, d));
    let forth_named = table.named_texts("forth", d);
    let forth_taken: Vec<(Text, Option<Column>)> = forth_named.into_iter().map(|(n, e)| column(n, e, d)).collect();
    let back_taken: Vec<(Text, Option<Column>)> =
        table.entries("back", "a column of `back`", d).into_iter().map(|(name, e)| back(name, e, d)).collect();
    let parent = table.table("parent", "a parent", d).and_then(|parent| read_parent(parent, d));
    let gone = gone(&mut table, has_when_new, d);
    let ranges = table.entries("check", "a range of `check`", d);
    let check = ranges.into_iter().filter_map(|(name, entry)| range(name, entry, d)).collect::<Vec<_>>();
    table.finish(d);

    taken_twice(&forth_taken, &key.iter().map(|k| k.new.as_str()), "is of the key, which is set by itself", d);
    let refers = parent.iter().map(|p: &Parent| p.refers.as_str());
    taken_twice(&forth_taken, &refers, "holds the parent's id, which is set by itself", d);
    taken_twice(&back_taken, &key.iter().map(|k| k.old.as_str()), "is of the key, which is set by itself", d);
    let set: Vec<String> = forth_taken.iter().map(|(name, _)| name.get_ref().clone()).collect();
    let of_parent = parent.iter().flat_map(|p| p.key.iter().chain(&p.set));
    let known: Vec<&str> = set.iter().map(String::as_str).chain(of_parent.map(|c| c.name.as_str())).collect();
    for (span, range) in &check {
        if !known.iter().any(|name| name.eq_ignore_ascii_case(&range.column)) {
            let message = format!("`{}` is no column that `forth` or the parent sets", range.column);
            d.push(Diagnostic::in_file(span.clone(), message).suggest(&range.column, "columns", known.iter().copied()));
        }
    }
    Some(Pair {
        name: name?,
        old: old?,
        new: new?,
        key,
        when,
        when_new,
        gone,
        forth: forth_taken.into_iter().filter_map(|(_, column)| column).collect(),
        back: back_taken.into_iter().filter_map(|(_, column)| column).collect(),
        check: check.into_iter().map(|(_, range)| range).collect(),
        parent,
    })
}

fn key_column(mut table: Table<'_>, d: &mut Diagnostics) -> Option<KeyColumn> {
    let old = table.required("old", "write `{ old = \"id\", new = \"id\" }`", d);
    let new = table.required("new", "write `{ old = \"id\", new = \"id\" }`", d);
    let negated = table.boolean("negated", d).unwrap_or(false);
    table.finish(d);
    Some(KeyColumn { old: theirs(old, d)?, new: theirs(new, d)?, negated })
}

/// A condition on the new row alone.
fn of_new(text: Text, d: &mut Diagnostics) -> Option<String> {
    let span = text.span();
    let sql = expression(text, d)?;
    let Some((name, _)) =
        [("old", Row::Old), ("parent", Row::Parent)].into_iter().find(|(_, row)| speaks_of(&sql, *row))
    else {
        return Some(sql);
    };
    let mistake = Diagnostic::in_file(span, format!("`when_new` speaks of `{name}`"));
    d.push(mistake.help("it is asked of a row of the new table: write `new.COLUMN`"));
    None
}

/// What a new row becomes whose old row goes.
fn gone(table: &mut Table<'_>, when_new: bool, d: &mut Diagnostics) -> Vec<Column> {
    let named = table.named_texts("gone", d);
    if let Some((name, _)) = named.first().filter(|_| !when_new) {
        let mistake = Diagnostic::in_file(name.span(), "`gone` without `when_new`: the row would be shown still");
        d.push(mistake.help("say in `when_new` which new rows are shown on the old side, or take `gone` out"));
    }
    let mut columns = Vec::new();
    for (name, text) in named {
        if !is_literal(text.get_ref()) {
            let mistake = Diagnostic::in_file(text.span(), "`gone` sets a column to NULL, a number or a text");
            d.push(mistake.help("write `COLUMN = \"NULL\"`"));
            continue;
        }
        columns.extend(column(name, text, d).1);
    }
    columns
}

fn read_parent(mut table: Table<'_>, d: &mut Diagnostics) -> Option<Parent> {
    let new = table.required("new", "add `new = \"...\"`: the parent's table", d);
    let id = table.required("id", "add `id = \"id\"`: the parent's own key", d);
    let refers = table.required("refers", "add `refers = \"...\"`: the child's column with the parent's id", d);
    let header = table.header.clone();
    let has_key = table.has("key");
    let mut columns = |key: &'static str, d: &mut Diagnostics| -> Vec<Column> {
        let named = table.named_texts(key, d);
        named.into_iter().filter_map(|(name, text)| column(name, text, d).1).collect()
    };
    let (key, set) = (columns("key", d), columns("set", d));
    if key.is_empty() {
        let message = if has_key { "the key of a parent names no column" } else { "a parent has no `key`" };
        let help = "add `key = { COLUMN = \"old. ...\" }`: old rows with the same values share a parent";
        d.push(Diagnostic::in_file(header, message).help(help));
    }
    table.finish(d);
    Some(Parent { new: theirs(new, d)?, id: theirs(id, d)?, refers: theirs(refers, d)?, key, set })
}

fn column(name: Text, sql: Text, d: &mut Diagnostics) -> (Text, Option<Column>) {
    let sql = expression(sql, d);
    let named = theirs(Some(name.clone()), d);
    (name, named.zip(sql).map(|(name, sql)| Column { name, sql, lossy: None }))
}

fn back(name: Text, entry: Entry<'_>, d: &mut Diagnostics) -> (Text, Option<Column>) {
    let mut table = match entry {
        Entry::Text(sql) => return column(name, sql, d),
        Entry::Table(table) => table,
    };
    let sql = table.required("sql", "write `{ sql = \"...\", lossy = \"what is lost\" }`", d);
    let lossy = table.text("lossy", d).map(Text::into_inner);
    table.finish(d);
    let Some(sql) = sql else { return (name, None) };
    let (name, column) = column(name, sql, d);
    (name, column.map(|column| Column { lossy, ..column }))
}

fn range(name: Text, entry: Entry<'_>, d: &mut Diagnostics) -> Option<(std::ops::Range<usize>, Range)> {
    const FORM: &str = "write `COLUMN = { from = \"2000-01-01\", to = \"2100-01-01\", unit = \"ms\" }`";
    let mut table = match entry {
        Entry::Table(table) => table,
        Entry::Text(text) => {
            let message = format!("`{}` must be a table", name.get_ref());
            d.push(Diagnostic::in_file(text.span(), message).help(FORM));
            return None;
        }
    };
    let (from, to) = (table.required("from", FORM, d), table.required("to", FORM, d));
    let unit = table.text("unit", d);
    table.finish(d);
    let unit = match unit {
        None => None,
        Some(text) => {
            let found = Unit::ALL.iter().find(|(name, _)| name == text.get_ref());
            if found.is_none() {
                let mistake = Diagnostic::in_file(text.span(), format!("no unit `{}`", text.get_ref()));
                d.push(mistake.suggest(text.get_ref(), "units", Unit::ALL.iter().map(|(name, _)| *name)));
                return None;
            }
            found
        }
    };
    let mut read = |text: &Text| {
        let value = bound(text.get_ref(), unit.map(|(_, unit)| *unit));
        if value.is_none() {
            let what = if unit.is_some() { "no day like `2000-01-01`" } else { "no whole number" };
            let help = "a range of dates has a `unit`; a range of numbers has none";
            d.push(Diagnostic::in_file(text.span(), format!("`{}` is {what}", text.get_ref())).help(help));
        }
        value
    };
    let (from_text, to_text) = (from?, to?);
    let (from, to) = (read(&from_text), read(&to_text));
    let (from, to) = (from?, to?);
    if from >= to {
        d.push(Diagnostic::in_file(to_text.span(), "the range is empty: `to` is not above `from`"));
    }
    let unit = unit.map(|(name, _)| format!(" in {name}")).unwrap_or_default();
    let said = format!("{} to {}{unit}", from_text.get_ref(), to_text.get_ref());
    Some((name.span(), Range { column: name.into_inner(), from, to, said }))
}

fn expression(text: Text, d: &mut Diagnostics) -> Option<String> {
    let Some(mistake) = expression::mistake(text.get_ref()) else { return Some(text.into_inner()) };
    let said = Diagnostic::in_file(text.span(), "this is no SQL expression").label(mistake);
    d.push(said.help("write what could stand behind SELECT; the row is `old`, `new` or `parent`: `old.created_at`"));
    None
}

fn taken_twice<'a>(
    columns: &[(Text, Option<Column>)],
    others: &(impl Iterator<Item = &'a str> + Clone),
    why: &str,
    d: &mut Diagnostics,
) {
    for (name, _) in columns {
        if others.clone().any(|other| other.eq_ignore_ascii_case(name.get_ref())) {
            let message = format!("`{}` {why}", name.get_ref());
            d.push(Diagnostic::in_file(name.span(), message).help("take it out"));
        }
    }
}

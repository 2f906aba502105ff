//! Whether tables can be kept in step at all: what a mapping asks of them, told before anything is made.

use cutover_core::{StepError, closest};
use rusqlite::Connection;

use crate::declared::{objects_on, same_name};
use crate::mapping::{Column, Mapping, Pair, is_null};
use crate::parity::columns::Affinity;
use crate::parity::names;
use crate::sql::{sqlite_error, tokens};

use super::shape::Shape;
use super::weave::{Side, Weave};

/// The pairs of the mapping with their tables, or what is in the way.
pub(crate) fn weaves(conn: &Connection, mapping: &Mapping) -> Result<Vec<Weave>, StepError> {
    let found: Result<Vec<Weave>, StepError> = mapping.pairs.iter().map(|pair| weave(conn, mapping, pair)).collect();
    let found = found?;
    found.iter().try_for_each(|weave| check(conn, weave))?;
    Ok(found)
}

fn conflict(pair: &Pair, text: &str, help: &str) -> StepError {
    StepError::conflict(format!("table `{}` of the mapping: {text}", pair.name)).with_help(help)
}

fn weave(conn: &Connection, mapping: &Mapping, pair: &Pair) -> Result<Weave, StepError> {
    let read = |name: &str| {
        Shape::read(conn, name)?.ok_or_else(|| {
            conflict(
                pair,
                &format!("the database has no table `{name}`"),
                "name a table that is there, or make it in `up`",
            )
        })
    };
    let (old, new) = (read(&pair.old)?, read(&pair.new)?);
    let parent = pair.parent.as_ref().map(|p| read(&p.new)).transpose()?;
    let children = parent.as_ref().map(|shape| columns_to(conn, mapping, shape)).transpose()?.unwrap_or_default();
    let referring = if pair.key.len() == 1 { columns_to(conn, mapping, &new)? } else { Vec::new() };
    let shown = parent.iter().flat_map(|shape| mapping.shown_of(&shape.name)).map(str::to_owned);
    Ok(Weave { pair: pair.clone(), parent_shown: shown.collect(), old, new, parent, children, referring })
}

/// The columns that refer to `shape`: those of the mapping, and those with a foreign key.
fn columns_to(conn: &Connection, mapping: &Mapping, shape: &Shape) -> Result<Vec<(String, String)>, StepError> {
    let mapped = mapping.pairs.iter().filter_map(|other| Some((other, other.parent.as_ref()?)));
    let mapped = mapped.filter(|(_, parent)| same_name(&parent.new, &shape.name));
    let mut found: Vec<_> = mapped.map(|(other, parent)| (other.new.clone(), parent.refers.clone())).collect();
    found.extend(referring(conn, &shape.name)?);
    found.sort();
    found.dedup_by(|a, b| same_name(&a.0, &b.0) && same_name(&a.1, &b.1));
    Ok(found)
}

/// The columns that refer to `table` by a foreign key of one column.
fn referring(conn: &Connection, table: &str) -> Result<Vec<(String, String)>, StepError> {
    conn.prepare_cached(
        "SELECT m.name, f.\"from\" FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f
         WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE ORDER BY 1, 2",
    )
    .and_then(|mut s| s.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
    .map_err(|e| sqlite_error(e, "while reading the foreign keys"))
}

/// The new table has no rows that nobody knows the old ones of.
pub(crate) fn empty(conn: &Connection, weave: &Weave) -> Result<(), StepError> {
    let query = format!("SELECT 1 FROM {}", weave.table(Side::New));
    let rows =
        conn.prepare(&query).and_then(|mut s| s.exists([])).map_err(|e| sqlite_error(e, "while looking for rows"))?;
    if !rows {
        return Ok(());
    }
    let text = format!("`{}` has rows already", weave.new.name);
    Err(conflict(
        &weave.pair,
        &text,
        "move them out of the way in a step before this one; the backfill brings the old rows",
    ))
}

fn check(conn: &Connection, weave: &Weave) -> Result<(), StepError> {
    let pair = &weave.pair;
    for side in [Side::Old, Side::New] {
        let shape = weave.shape(side);
        writable(conn, pair, shape)?;
        let names = weave.key_names(side).chain(weave.columns(side.other()).iter().map(|c| c.name.as_str()));
        let refers = pair.parent.iter().filter(|_| side == Side::New).map(|p| p.refers.as_str());
        has_columns(pair, shape, names.chain(refers))?;
        if !shape.uniques.iter().any(|u| u.is_of(&weave.key_names(side))) {
            let key = weave.key_names(side).collect::<Vec<_>>().join(", ");
            let text = format!("({key}) is no unique key of `{}`", shape.name);
            return Err(conflict(
                pair,
                &text,
                "a key is the table's primary key, or columns with a unique index of their own",
            ));
        }
        sets_all(pair, shape, |name| weave.writes(side, name))?;
    }
    for key in &pair.key {
        let of = |side: Side, name: &str| weave.shape(side).column(name).map(|c| Affinity::of(&c.declared));
        if of(Side::Old, &key.old) != of(Side::New, &key.new) {
            let text = format!(
                "`{}` of `{}` and `{}` of `{}` are keys of different types",
                key.old, weave.old.name, key.new, weave.new.name
            );
            return Err(conflict(pair, &text, "declare both alike: a key is the same value on both sides"));
        }
    }
    let alone = |side: Side| {
        let rowid = weave.shape(side).rowid.as_deref();
        rowid.is_some_and(|id| weave.key_names(side).eq([id]) || weave.key_names(side).all(|k| same_name(k, id)))
    };
    if pair.key.iter().any(|key| key.negated) {
        for side in [Side::Old, Side::New] {
            if !alone(side) || !weave.shape(side).autoincrement {
                let (name, key) = (&weave.shape(side).name, weave.keys(side).concat());
                let text = format!("{key} of `{name}` is negated, and is no INTEGER PRIMARY KEY AUTOINCREMENT");
                return Err(conflict(
                    pair,
                    &text,
                    "each side's own ids must be above 0, which only AUTOINCREMENT sees to",
                ));
            }
        }
    }
    check_gone(weave)?;
    if alone(Side::New) && !weave.new.autoincrement {
        let text = format!("`{}` hands out ids that old rows may have already", weave.new.name);
        return Err(conflict(pair, &text, "declare its key AUTOINCREMENT: then it goes on above the old ids"));
    }
    check_parent(conn, weave)
}

/// What `gone` sets fits into every row.
fn check_gone(weave: &Weave) -> Result<(), StepError> {
    let (pair, shape) = (&weave.pair, &weave.new);
    has_columns(pair, shape, pair.gone.iter().map(|c| c.name.as_str()))?;
    for column in &pair.gone {
        let name = &column.name;
        let what = if is_null(&column.sql) && shape.never_null(name) {
            "must not be NULL"
        } else if shape.uniques.iter().any(|u| u.columns.iter().flatten().any(|(c, _)| same_name(c, name))) {
            "is of a unique key"
        } else if shape.checks.iter().any(|check| names(check, name)) {
            "has a CHECK"
        } else if shape.strict && !is_null(&column.sql) {
            "is of a STRICT table, where only NULL is sure to fit"
        } else {
            continue;
        };
        let text = format!("`gone` sets `{name}` of `{}`, which {what}", shape.name);
        return Err(conflict(pair, &text, "set a column that takes the value in every row"));
    }
    Ok(())
}

fn check_parent(conn: &Connection, weave: &Weave) -> Result<(), StepError> {
    let pair = &weave.pair;
    let (Some(parent), Some(shape)) = (&pair.parent, &weave.parent) else { return Ok(()) };
    writable(conn, pair, shape)?;
    let set = || parent.key.iter().chain(&parent.set).map(|c: &Column| c.name.as_str());
    has_columns(pair, shape, set().chain([parent.id.as_str()]))?;
    if !shape.rowid.as_deref().is_some_and(|id| same_name(id, &parent.id)) {
        let text = format!("`{}` of `{}` is no INTEGER PRIMARY KEY", parent.id, shape.name);
        return Err(conflict(pair, &text, "the id of a parent is one that SQLite hands out"));
    }
    let natural = |name: &str| parent.key.iter().any(|k| same_name(&k.name, name));
    let others: Vec<_> = shape.other_uniques([parent.id.as_str()].into_iter()).collect();
    if !others.iter().any(|u| u.is_of(&parent.key.iter().map(|k| k.name.as_str()))) {
        let key = parent.key.iter().map(|k| k.name.as_str()).collect::<Vec<_>>().join(", ");
        let text = format!("({key}) is no unique key of `{}`", shape.name);
        return Err(conflict(pair, &text, "declare it UNIQUE: by it a row's parent is found"));
    }
    if let Some(other) = others.iter().find(|u| !u.columns.iter().flatten().all(|(c, _)| natural(c))) {
        let text = format!("`{}` has a unique key besides the parent's: {}", shape.name, other.index);
        return Err(conflict(pair, &text, "a parent is found by its one natural key; leave the other unique key out"));
    }
    sets_all(pair, shape, |name| same_name(name, &parent.id) || set().any(|c| same_name(c, name)))
}

/// Triggers of ours can stand on it, and can tell which rows REPLACE takes away.
fn writable(conn: &Connection, pair: &Pair, shape: &Shape) -> Result<(), StepError> {
    let name = &shape.name;
    let is_virtual: bool = conn
        .query_row(
            "SELECT type = 'virtual' FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE",
            [name],
            |row| row.get(0),
        )
        .map_err(|e| sqlite_error(e, "while reading a table"))?;
    if is_virtual {
        return Err(conflict(
            pair,
            &format!("`{name}` is a virtual table"),
            "SQLite has no triggers on virtual tables",
        ));
    }
    if let Some(unique) = shape.uniques.iter().find(|u| u.columns.is_none()) {
        let text = format!("`{name}` has a unique index on an expression: {}", unique.index);
        return Err(conflict(pair, &text, "make it on columns (a generated column can be one), or drop it first"));
    }
    for object in objects_on(conn, name)?.into_iter().filter(|o| o.kind == "trigger") {
        let words = tokens(&object.sql);
        if words.windows(3).any(|w| w[0].eq_ignore_ascii_case("raise") && w[2].eq_ignore_ascii_case("fail")) {
            let text = format!("trigger `{}` on `{name}` has RAISE(FAIL)", object.name);
            let help = "RAISE(FAIL) keeps what a statement has half done; make it RAISE(ABORT)";
            return Err(conflict(pair, &text, help));
        }
    }
    Ok(())
}

fn has_columns<'a>(pair: &Pair, shape: &Shape, mut names: impl Iterator<Item = &'a str>) -> Result<(), StepError> {
    let there = || shape.columns.iter().filter(|c| !c.generated).map(|c| c.name.as_str());
    let Some(missing) = names.find(|name| !there().any(|c| same_name(c, name))) else { return Ok(()) };
    let help = match closest(missing, there()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", there().collect::<Vec<_>>().join(", ")),
    };
    Err(conflict(pair, &format!("`{}` has no column `{missing}` that can be written", shape.name), &help))
}

/// Every column that must have a value gets one.
fn sets_all(pair: &Pair, shape: &Shape, set: impl Fn(&str) -> bool) -> Result<(), StepError> {
    let needs = |c: &&super::shape::Column| {
        let own = shape.rowid.as_deref().is_some_and(|id| same_name(id, &c.name));
        c.not_null && c.default.is_none() && !c.generated && !own && !set(&c.name)
    };
    let Some(column) = shape.columns.iter().find(needs) else { return Ok(()) };
    let text = format!("nothing sets `{}` of `{}`, which must not be NULL", column.name, shape.name);
    Err(conflict(pair, &text, "map it in `forth`, `back` or the parent's `set`, or give it a default"))
}

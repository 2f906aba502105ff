//! Making and taking away what `sqlite.expand` adds beside the new tables.

use cutover_core::{StepContext, StepError};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use crate::aside;
use crate::declared::schema_version;
use crate::lint::Sketch;
use crate::mapping::names::{GUARD, PREFIX, QUARANTINE};
use crate::mapping::{Mapping, stage};
use crate::sequence;
use crate::sql::{normalised, quote_ident, sqlite_error};
use crate::target::bookkeeping::has_table;

use super::helpers;
use super::inscribe::inscribe;
use super::triggers::{self, Part};
use super::weave::{Side, Weave};

/// What was made beside the new tables; kept in the receipt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installed {
    /// Triggers by name.
    pub(crate) triggers: Vec<String>,
    /// Views that triggers write into; their own triggers go with them.
    #[serde(default)]
    pub(crate) views: Vec<String>,
    /// Tables of one pair, and indexes on the user's tables.
    pub(crate) tables: Vec<String>,
    pub(crate) indexes: Vec<String>,
}

/// A pair with its tables, and what is made for it.
pub(crate) type Woven = (Weave, Vec<Part>);

/// What was tried before anybody was kept out: the pairs with their tables, and what is made for each of them.
pub(crate) struct Tried {
    /// Which schema it was tried on.
    version: i64,
    woven: Vec<Woven>,
}

impl Tried {
    /// The same for the schema as it is now, if that is the one.
    pub(crate) fn of_now(self, conn: &Connection) -> Result<Option<Vec<Woven>>, StepError> {
        Ok((schema_version(conn)? == self.version).then_some(self.woven))
    }
}

/// The pairs, each with all that is made for it.
pub(crate) fn woven(weaves: Vec<Weave>) -> Vec<Woven> {
    let with_parts = |weave: Weave| {
        let parts = triggers::of(&weave);
        (weave, parts)
    };
    weaves.into_iter().map(with_parts).collect()
}

/// Everything that the mapping needs, in the caller's transaction.
pub(crate) fn install(conn: &Connection, woven: &[Woven]) -> Result<Installed, StepError> {
    let mut made = Installed::default();
    let run =
        |sql: &str, name: &str| conn.execute_batch(sql).map_err(|e| sqlite_error(e, &format!("while making `{name}`")));
    for (name, sql) in helpers::shared() {
        if !has_table(conn, name)? {
            run(&sql, name)?;
        }
    }
    for (weave, parts) in woven {
        conn.execute(&format!("INSERT OR REPLACE INTO {GUARD} (pair, origin) VALUES (?1, NULL)"), [&weave.pair.name])
            .map_err(|e| sqlite_error(e, "while making the guard"))?;
        let gone = helpers::gone(&weave.pair);
        run(&helpers::gone_sql(&weave.pair), &gone)?;
        made.tables.push(gone);
        made.indexes.extend(index_children(conn, weave)?);
        seed(conn, weave)?;
        for part in parts {
            let made = if part.kind == "view" { &mut made.views } else { &mut made.triggers };
            made.push(part.name.clone());
        }
    }
    inscribe(conn, woven.iter().flat_map(|(_, parts)| parts))?;
    Ok(made)
}

/// Makes all of it on a copy of the structure, and compiles it there: that takes many times as long as making it, and
/// here nobody waits. None: the copy is not whole, and says nothing.
pub(crate) fn tried(
    conn: &Connection,
    ledger: &str,
    make: impl FnOnce(&Connection) -> Result<Vec<Weave>, StepError>,
) -> Result<Option<Tried>, StepError> {
    let copy = Sketch::of(conn, ledger)?;
    if !copy.is_sure() {
        return Ok(None);
    }
    let woven = woven(make(&copy.conn)?);
    install(&copy.conn, &woven)?;
    compiled(&copy.conn, &woven)?;
    Ok(Some(Tried { version: schema_version(conn)?, woven }))
}

/// SQLite looks into a trigger only when it fires: each is compiled once, so that a wrong expression is told now.
pub(crate) fn compiled(conn: &Connection, woven: &[Woven]) -> Result<(), StepError> {
    woven.iter().try_for_each(|(weave, _)| compile(conn, weave))
}

/// Children are looked for by their parent.
fn index_children(conn: &Connection, weave: &Weave) -> Result<Option<String>, StepError> {
    let Some(parent) = &weave.pair.parent else { return Ok(None) };
    let doing = "while looking for an index";
    let there = conn
        .prepare_cached(
            "SELECT 1 FROM pragma_index_list(?1) AS l, pragma_index_xinfo(l.name) AS x
             WHERE NOT l.partial AND x.seqno = 0 AND x.name = ?2 COLLATE NOCASE",
        )
        .and_then(|mut s| s.exists([&weave.new.name, &parent.refers]))
        .map_err(|e| sqlite_error(e, doing))?;
    if there {
        return Ok(None);
    }
    let name = format!("{PREFIX}{}_children", weave.pair.name);
    let sql =
        format!("CREATE INDEX {} ON {}({})", quote_ident(&name), weave.table(Side::New), quote_ident(&parent.refers));
    conn.execute_batch(&sql).map_err(|e| sqlite_error(e, doing))?;
    Ok(Some(name))
}

/// New ids go on above the old ones: else a new row would take the id of an old one that is not there yet.
fn seed(conn: &Connection, weave: &Weave) -> Result<(), StepError> {
    let [key] = &weave.pair.key[..] else { return Ok(()) };
    let is_rowid = weave.new.rowid.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(&key.new));
    if !is_rowid || !weave.new.autoincrement {
        return Ok(());
    }
    let query = format!("SELECT max({}) FROM {}", key.across(&quote_ident(&key.old)), weave.table(Side::Old));
    let failed = |e| sqlite_error(e, "while reading the highest old id");
    let highest: rusqlite::types::Value = conn.query_row(&query, [], |row| row.get(0)).map_err(failed)?;
    let highest = if let rusqlite::types::Value::Integer(id) = highest { id } else { 0 };
    // Of a negated key old rows have those below zero alone.
    let handed_out = if key.negated { 0 } else { sequence::current(conn, &weave.old.name)?.unwrap_or(0) };
    let counter = handed_out.max(highest);
    let failed = |e| sqlite_error(e, "while seeding the new ids");
    let changed = conn
        .execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1 COLLATE NOCASE",
            rusqlite::params![weave.new.name, counter],
        )
        .map_err(failed)?;
    if changed == 0 {
        let insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
        conn.execute(insert, rusqlite::params![weave.new.name, counter]).map_err(failed)?;
    }
    Ok(())
}

fn compile(conn: &Connection, weave: &Weave) -> Result<(), StepError> {
    let mut tables =
        vec![(weave.table(Side::Old), weave.keys(Side::Old)), (weave.table(Side::New), weave.keys(Side::New))];
    if let (Some(parent), Some(shape)) = (&weave.pair.parent, &weave.parent) {
        tables.push((shape.ident(), vec![quote_ident(&parent.id)]));
    }
    for (table, keys) in tables {
        let set = keys.iter().map(|k| format!("{k} = {k}")).collect::<Vec<_>>().join(", ");
        for sql in [
            format!("EXPLAIN INSERT INTO {table} DEFAULT VALUES"),
            format!("EXPLAIN UPDATE {table} SET {set}"),
            format!("EXPLAIN DELETE FROM {table}"),
        ] {
            conn.prepare(&sql).map_err(|e| {
                let doing = format!("table `{}` of the mapping, on {table}", weave.pair.name);
                StepError::conflict(format!("{doing}: {}", crate::sql::message(&e))).with_help(
                    "mend the expression in the mapping: it speaks of a column that is not there, or cannot be read",
                )
            })?;
        }
    }
    Ok(())
}

/// What differs from what would be made now: a line for each trigger or table that is missing or another one.
pub(crate) fn differences(conn: &Connection, weaves: &[Weave]) -> Result<(usize, Vec<String>), StepError> {
    let mut lines = Vec::new();
    let mut all = 0;
    for name in [GUARD, QUARANTINE].into_iter().map(str::to_owned).chain(weaves.iter().map(|w| helpers::gone(&w.pair)))
    {
        all += 1;
        if !has_table(conn, &name)? {
            lines.push(format!("table {name}: missing"));
        }
    }
    for Part { kind, name, sql, .. } in weaves.iter().flat_map(triggers::of) {
        all += 1;
        match part_sql(conn, kind, &name)? {
            None => lines.push(format!("{kind} {name}: missing")),
            Some(found) if normalised(&found) != normalised(&sql) => {
                lines.push(format!("{kind} {name}: it is not as it was made"));
            }
            Some(_) => {}
        }
    }
    Ok((all, lines))
}

/// Guards that are set outside of any statement: nothing would be shown on the other side.
pub(crate) fn stuck(conn: &Connection, weaves: &[Weave]) -> Result<Vec<String>, StepError> {
    let mut lines = Vec::new();
    if !has_table(conn, GUARD)? {
        return Ok(lines);
    }
    for Weave { pair, .. } in weaves {
        let origin: Option<Option<String>> = conn
            .prepare_cached(&format!("SELECT origin FROM {GUARD} WHERE pair = ?1"))
            .and_then(|mut s| s.query_row([&pair.name], |row| row.get(0)).optional())
            .map_err(|e| sqlite_error(e, "while reading the guard"))?;
        match origin {
            Some(None) => {}
            Some(Some(origin)) => lines
                .push(format!("the guard of {} is held by `{origin}`: no write is shown on the other side", pair.name)),
            // Its triggers ask for a row, and find none: they are free.
            None => lines.push(format!("the guard of {} has no row: its triggers would loop", pair.name)),
        }
    }
    Ok(lines)
}

fn part_sql(conn: &Connection, kind: &str, name: &str) -> Result<Option<String>, StepError> {
    conn.prepare_cached("SELECT sql FROM sqlite_master WHERE type = ?1 AND name = ?2 COLLATE NOCASE")
        .and_then(|mut s| s.query_row([kind, name], |row| row.get(0)).optional())
        .map_err(|e| sqlite_error(e, "while reading the triggers"))
}

/// How many rows of the new tables have no old one, since none of theirs would take it.
pub(crate) fn apart(conn: &Connection, mapping: &Mapping) -> Result<u64, StepError> {
    if !has_table(conn, QUARANTINE)? {
        return Ok(0);
    }
    let query = format!("SELECT count(*) FROM {QUARANTINE} WHERE side = 'new' AND pair = ?1");
    let count = |pair: &crate::mapping::Pair| -> Result<u64, StepError> {
        conn.query_row(&query, [&pair.name], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(|e| sqlite_error(e, "while reading the quarantine"))
    };
    mapping.pairs.iter().map(count).sum()
}

/// Takes it all away again. What the quarantine holds is set aside first.
pub(crate) fn remove(
    cx: &StepContext,
    conn: &Connection,
    mapping: &Mapping,
    made: &Installed,
) -> Result<(), StepError> {
    let drop = |kind: &str, name: &str| {
        conn.execute_batch(&format!("DROP {kind} IF EXISTS {}", quote_ident(name)))
            .map_err(|e| sqlite_error(e, &format!("while dropping `{name}`")))
    };
    made.triggers.iter().try_for_each(|name| drop("TRIGGER", name))?;
    made.views.iter().try_for_each(|name| drop("VIEW", name))?;
    made.indexes.iter().try_for_each(|name| drop("INDEX", name))?;
    made.tables.iter().try_for_each(|name| drop("TABLE", name))?;
    if has_table(conn, QUARANTINE)? {
        let line = aside::table(cx, conn, QUARANTINE, false)?;
        line.iter().for_each(|line| cx.note(line));
        for pair in &mapping.pairs {
            conn.execute(&format!("DELETE FROM {QUARANTINE} WHERE pair = ?1"), [&pair.name])
                .map_err(|e| sqlite_error(e, "while clearing the quarantine"))?;
        }
    }
    stage::set(conn, &mapping.name, stage::Stage::OldOnly, cx.info(), cx.now())?;
    stage::drop_empty(conn)?;
    if has_table(conn, GUARD)? {
        for pair in &mapping.pairs {
            conn.execute(&format!("DELETE FROM {GUARD} WHERE pair = ?1"), [&pair.name])
                .map_err(|e| sqlite_error(e, "while taking the guard away"))?;
        }
    }
    // The last mapping takes along what all of them share.
    if !has_table(conn, crate::mapping::names::STAGE)? {
        drop("TABLE", GUARD)?;
        drop("TABLE", QUARANTINE)?;
        helpers::drop_uncounted(conn)?;
    }
    Ok(())
}

//! The way back: the file is held against its digest, then its rows are put where they were, block by block.
//!
//! Owns putting rows back, and looking whether some are there. Where others took the place of a row, theirs stays.

use std::collections::BTreeMap;

use cutover_core::{Receipt, StepContext, StepError, StepErrorKind, Verdict};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::scratch::Scratch;
use super::take::at;
use super::{Leave, State, book, shape_of};
use crate::SqliteTarget;
use crate::declared::same_name;
use crate::done;
use crate::identity::list;
use crate::sql::{quote_ident, sqlite_error};
use crate::target::bookkeeping;
use crate::written::digest;

/// The rows of a block by table.
type Rows = BTreeMap<String, Vec<Vec<Value>>>;

impl State {
    fn scratch(&self) -> Result<Scratch, StepError> {
        Scratch::new(self.tables.iter().map(|(table, part)| (table.clone(), part.columns.clone())).collect())
    }

    fn read(&self, scratch: &Scratch, block: &[u8]) -> Result<Rows, StepError> {
        scratch.load(block)?;
        self.tables.keys().map(|table| Ok((table.clone(), scratch.rows(table)?))).collect()
    }
}

impl Leave {
    pub(crate) async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.done(cx).await? else {
            return Ok(Verdict::Broken(vec!["the ledger does not say that the rows went".to_owned()]));
        };
        let state: State = done::body(&receipt)?;
        let Some(name) = &state.file else { return Ok(Verdict::Holds) };
        let book = self.book(cx, name)?;
        target
            .read_moment(cx, move |conn| {
                match book.known(state.bytes, &state.blake3) {
                    Ok(_) => {}
                    Err(e) if matches!(e.kind(), StepErrorKind::Conflict | StepErrorKind::Unavailable) => {
                        return Ok(Verdict::Broken(vec![e.chain()]));
                    }
                    Err(e) => return Err(e),
                }
                let (scratch, mut there) = (state.scratch()?, BTreeMap::new());
                let mut blocks = book.blocks(state.bytes)?;
                while let Some(block) = blocks.next()? {
                    for (table, rows) in state.read(&scratch, &block)? {
                        let found = there_again(conn, &table, &state.tables[&table].columns, &rows)?;
                        *there.entry(table).or_insert(0) += found;
                    }
                }
                let lines = there.into_iter().filter(|(_, found)| *found > 0);
                Ok(done::verdict(
                    lines
                        .map(|(table, found)| {
                            format!("table {table}: expected none of the rows that went, found {found}")
                        })
                        .collect(),
                ))
            })
            .await
    }

    pub(crate) async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        // What an interrupted way back left knows more than the receipt.
        let state = match self.saved(cx).await? {
            Some(state) => Some(state),
            None => target.to_undo(cx, receipt).await?.map(|receipt| done::body::<State>(&receipt)).transpose()?,
        };
        if let Some(state) = state
            && target.has_traces(cx).await?
        {
            let state = self.put_back(cx, state).await?;
            target.reverse(cx, |_| Ok(())).await?;
            for (table, rows) in &state.theirs {
                let what = if *rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
                cx.note(&format!(
                    "{what} of {table} did not come back, since others have rows in their place: these are kept, those are in \
                     the file"
                ));
            }
        }
        let (step, inner) = (self.clone(), cx.clone());
        cx.blocking(move || {
            // An archive of this very step, whose rows are back, or which a crash left before any went.
            if let Some(book) = step.refuse_foreign(&inner).ok().flatten() {
                let kept = book.set_aside("rolled-back")?;
                inner.note(&format!("the archive is kept as `{}`", Self::shown(&inner, &kept)));
            }
            let name = step.into.clone().unwrap_or_else(|| book::free_name(&inner.scratch_dir()));
            // Where its place cannot be told any more, nothing was prepared there.
            step.book(&inner, &name).map_or(Ok(()), |book| book.clean())
        })
        .await
    }

    async fn put_back(&self, cx: &StepContext, mut state: State) -> Result<State, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(name) = &state.file else { return Ok(state) };
        let (book, known) = (self.book(cx, name)?, state.clone());
        let mut blocks = cx
            .blocking(move || {
                book.known(known.bytes, &known.blake3)?;
                book.blocks(known.bytes)
            })
            .await?;
        let (total, mut seen, mut number) = (state.rows(), 0, 0_u64);
        loop {
            let known = state.clone();
            let (left, rows) = cx
                .blocking(move || {
                    let block = blocks.next()?;
                    let rows = block.map(|block| known.read(&known.scratch()?, &block)).transpose()?;
                    Ok((blocks, rows))
                })
                .await?;
            blocks = left;
            let Some(rows) = rows else { return Ok(state) };
            number += 1;
            seen += rows.values().map(|rows| rows.len() as u64).sum::<u64>();
            if state.back.is_some_and(|back| back >= number) {
                continue;
            }
            let info = cx.info().clone();
            state = target
                .reverse_part(cx, move |conn| {
                    for (table, rows) in &rows {
                        let columns = state.tables.get(table).map(|part| part.columns.clone()).unwrap_or_default();
                        let theirs = put(conn, table, &columns, rows)?;
                        if theirs > 0 {
                            *state.theirs.entry(table.clone()).or_insert(0) += theirs;
                        }
                    }
                    state.back = Some(number);
                    bookkeeping::set_cursor(conn, &info, &state.text()?)?;
                    Ok(state)
                })
                .await?;
            cx.progress(seen, Some(total), "rows");
        }
    }
}

/// Puts rows back. Returns how many could not be: others have rows in their place.
fn put(conn: &Connection, table: &str, columns: &[String], rows: &[Vec<Value>]) -> Result<u64, StepError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let failed = |e| sqlite_error(e, &format!("while putting rows back into `{table}`"));
    let Some(shape) = shape_of(conn, table)? else {
        return Err(StepError::conflict(format!("table `{table}` is gone, whose rows are to come back"))
            .with_help("make it again as it was, then roll back again"));
    };
    let implicit = shape.implicit && columns.first().zip(shape.columns.first()).is_some_and(|(a, b)| same_name(a, b));
    let insert = |columns: &[String]| {
        let places: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", quote_ident(table), list(columns), places.join(", "))
    };
    let refused = |e: &rusqlite::Error| e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
    let mut whole = conn.prepare_cached(&insert(columns)).map_err(failed)?;
    let mut theirs = 0;
    for row in rows {
        match whole.execute(params_from_iter(row)) {
            Ok(_) => {}
            // A rowid that nobody chose may be another's by now.
            Err(e) if refused(&e) && implicit => {
                let elsewhere = conn
                    .prepare_cached(&insert(&columns[1..]))
                    .and_then(|mut s| s.execute(params_from_iter(&row[1..])));
                match elsewhere {
                    Ok(_) => {}
                    Err(e) if refused(&e) => theirs += 1,
                    Err(e) => return Err(failed(e)),
                }
            }
            Err(e) if refused(&e) => theirs += 1,
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(theirs)
}

/// How many of these rows are in the table as they were.
fn there_again(conn: &Connection, table: &str, columns: &[String], rows: &[Vec<Value>]) -> Result<u64, StepError> {
    // A table that a later step dropped holds none of them, and one that has lost a column none as they were.
    let Some(shape) = shape_of(conn, table)? else { return Ok(0) };
    let place = |key: &String| columns.iter().position(|name| quote_ident(name) == *key || name == key);
    let Some(places) = shape.key.iter().map(place).collect::<Option<Vec<usize>>>() else { return Ok(0) };
    let sql = format!("SELECT {} FROM {} WHERE {}", list(columns), quote_ident(table), at(&shape.key));
    let Ok(mut statement) = conn.prepare(&sql) else { return Ok(0) };
    let mut look = || -> rusqlite::Result<u64> {
        let mut found = 0;
        for row in rows {
            let mut there = statement.query(params_from_iter(places.iter().map(|place| &row[*place])))?;
            if let Some(now) = there.next()? {
                found += u64::from(digest(now, 0..columns.len())? == crate::written::digest_of(row));
            }
        }
        Ok(found)
    };
    look().map_err(|e| sqlite_error(e, &format!("while looking for rows of `{table}`")))
}

//! The way back: the old tables are made anew, and both schemas are kept in step again.
//!
//! Owns the order. The tables are made closed to writes and filled while programs write the new ones; the last transaction
//! fills in again what they wrote meanwhile, puts the triggers back and moves the stage. Old tables that are there while
//! the logs are open are ours: a way back that was cut off begins anew.

use std::time::{Duration, Instant};

use cutover_core::{StepContext, StepError};
use rusqlite::Connection;

use super::held;
use super::portion::Portion;
use super::raw::Raw;
use super::rebuild::{self, Rebuilt, Unfit};
use super::schema::{OldTable, run};
use super::{Contract, Gone, view};
use crate::SqliteTarget;
use crate::cutover::expect;
use crate::declared::{self, Object};
use crate::mapping::Pair;
use crate::mapping::names::GUARD;
use crate::mapping::stage::{self, Stage};
use crate::parity::{Part, ROUNDS, Range, Sides, differing, forget, log, logged};
use crate::sql::{quote_ident, sqlite_error};

impl Contract {
    pub(super) async fn back(&self, cx: &StepContext, target: &SqliteTarget, gone: Gone) -> Result<(), StepError> {
        let began = Instant::now();
        let (step, inner, old) = (self.clone(), cx.clone(), gone.clone());
        target.aside(cx, move |conn| step.begin(conn, &inner, &old)).await?;
        let mut made = self.fill(cx, target, &gone).await?;
        let step = self.clone();
        target.before_reversal(cx, move |conn| step.compile(conn)).await;
        for _ in 0..ROUNDS {
            let (step, old) = (self.clone(), gone.clone());
            let batch = move |conn: &Connection| {
                let Some(upto) = logged(conn, &step.mapping)? else { return Ok(None) };
                let parts = step.logged_parts(conn)?;
                let mut made = made;
                step.fill_again(conn, &old, &parts, Unfit::Again, &mut made)?;
                forget(conn, &step.mapping, &upto)?;
                Ok(Some(made))
            };
            match target.aside(cx, batch).await? {
                Some(more) => made = more,
                None => break,
            }
        }
        let step = self.clone();
        target.read_moment(cx, move |conn| step.counted(conn)).await?;
        let (step, inner) = (self.clone(), cx.clone());
        let tables: Vec<String> = gone.taken.tables.iter().map(|table| table.name.clone()).collect();
        target.reverse(cx, move |conn| step.end(conn, &inner, &gone, made, began)).await?;
        let loose = target.read(cx, move |conn| tables.iter().map(|table| loose(conn, table)).collect()).await;
        // The tables are back: that this cannot be told is no failure of it.
        let loose: Vec<Option<String>> = loose.unwrap_or_default();
        loose.iter().flatten().for_each(|line| cx.note(line));
        Ok(())
    }

    /// Makes the tables: empty, with their indexes, and closed to others.
    fn begin(&self, conn: &Connection, cx: &StepContext, gone: &Gone) -> Result<(), StepError> {
        expect(conn, &self.mapping, Stage::Contracted, Stage::NewOnly)?;
        if gone.taken.tables.is_empty() {
            return Err(StepError::failed("nothing says what the old tables were: this step did not drop them")
                .with_help("take them from a snapshot, then `cutover resolve` the step"));
        }
        let ours = log::is_open(conn, &self.mapping)?;
        let found = gone.taken.tables.iter().map(|table| declared::object(conn, &table.name));
        let found: Vec<Object> = found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        if let Some(other) = found.iter().find(|found| found.kind != "view" && !ours) {
            let error = format!("{} `{}` is there again, made by others", other.kind, other.name);
            return Err(StepError::conflict(error).with_help("rename it, then roll back again"));
        }
        for found in &found {
            if found.kind == "view" {
                view::make_room(cx, conn, found)?;
            } else {
                run(conn, &format!("DROP TABLE {}", quote_ident(&found.name)), "making an old table anew")?;
            }
        }
        for table in &gone.taken.tables {
            run(conn, &table.sql, &format!("making table `{}`", table.name))?;
            for sql in table.objects.iter().filter(|sql| OldTable::comes_first(sql)) {
                run(conn, sql, "making the indexes of the old tables")?;
            }
        }
        log::open_new(conn, &self.mapping)
    }

    /// Fills the tables, batch by batch.
    async fn fill(&self, cx: &StepContext, target: &SqliteTarget, gone: &Gone) -> Result<Rebuilt, StepError> {
        let mut made = Rebuilt::default();
        for table in &gone.taken.tables {
            let Some(pair) = self.mapping.pair(&table.pair) else { continue };
            let mut above = Some(0);
            while let Some(at) = above {
                let (pair, so_far) = (pair.clone(), made);
                let batch = move |conn: &Connection| {
                    let portion = Portion::begin();
                    let (sides, raw) = of(conn, &pair)?;
                    let (mut made, mut last) = (so_far, Some(at));
                    guarded(conn, || {
                        while let Some(at) = last {
                            last = rebuild::whole(conn, &pair, &sides, &raw, at, &mut made)?;
                            if portion.is_over() {
                                break;
                            }
                        }
                        Ok(())
                    })?;
                    Ok((last, made))
                };
                (above, made) = target.aside(cx, batch).await?;
            }
            let mut range: Option<Range> = None;
            loop {
                let (pair, at, so_far) = (pair.clone(), range.take(), made);
                let batch = move |conn: &Connection| {
                    let portion = Portion::begin();
                    let (sides, raw) = of(conn, &pair)?;
                    let mut made = so_far;
                    let next = portion.through(conn, &sides, at, |range| {
                        let part = range.part(&sides);
                        guarded(conn, || rebuild::fill(conn, &pair, &sides, &raw, (&part, Unfit::Again), &mut made))?;
                        same(conn, &pair, &sides, &part.without(&log::part(&pair, &sides)))
                    })?;
                    Ok((next, made))
                };
                (range, made) = target.aside(cx, batch).await?;
                if range.is_none() {
                    break;
                }
            }
        }
        Ok(made)
    }

    /// Refuses unless the old tables have every row that they are to have, but for those that are looked at again at the
    /// end: those are in the logs.
    fn counted(&self, conn: &Connection) -> Result<(), StepError> {
        self.mapping.pairs.iter().try_for_each(|pair| {
            let (sides, raw) = of(conn, pair)?;
            let logged = log::part(pair, &sides);
            rebuild::counted(conn, pair, &sides, &raw, &Part::default().without(&logged))
        })
    }

    fn logged_parts(&self, conn: &Connection) -> Result<Vec<Part>, StepError> {
        let part = |pair: &Pair| Ok(log::part(pair, &Sides::of(conn, pair)?));
        self.mapping.pairs.iter().map(part).collect()
    }

    /// Compiles what is run for the rows in the logs.
    fn compile(&self, conn: &Connection) -> Result<(), StepError> {
        self.mapping.pairs.iter().try_for_each(|pair| {
            let (sides, raw) = of(conn, pair)?;
            rebuild::compile(conn, pair, &sides, &raw, &log::part(pair, &sides))
        })
    }

    /// Fills in again what is in the logs.
    fn fill_again(
        &self,
        conn: &Connection,
        gone: &Gone,
        parts: &[Part],
        unfit: Unfit,
        made: &mut Rebuilt,
    ) -> Result<(), StepError> {
        for (pair, part) in self.mapping.pairs.iter().zip(parts) {
            if !gone.taken.tables.iter().any(|table| table.pair == pair.name) {
                continue;
            }
            let (sides, raw) = of(conn, pair)?;
            guarded(conn, || rebuild::fill(conn, pair, &sides, &raw, (part, unfit), made))?;
        }
        Ok(())
    }

    fn end(
        &self,
        conn: &Connection,
        cx: &StepContext,
        gone: &Gone,
        mut made: Rebuilt,
        began: Instant,
    ) -> Result<(), StepError> {
        let waited = Instant::now();
        expect(conn, &self.mapping, Stage::Contracted, Stage::NewOnly)?;
        let parts = self.logged_parts(conn)?;
        self.fill_again(conn, gone, &parts, Unfit::Aside, &mut made)?;
        for (pair, part) in self.mapping.pairs.iter().zip(&parts) {
            // Sides are read anew: they leave out what went into the quarantine just now.
            same(conn, pair, &Sides::of(conn, pair)?, part)?;
        }
        for pair in &self.mapping.pairs {
            let (sides, raw) = of(conn, pair)?;
            let held = guarded(conn, || held::settle(conn, pair, &sides, &raw, &mut made))?;
            rebuild::orphans(conn, pair, &Sides::of(conn, pair)?, &mut made)?;
            // All others were counted before, and those in the logs compared just now.
            if held {
                let (sides, raw) = of(conn, pair)?;
                rebuild::counted(conn, pair, &sides, &raw, &Part::default())?;
            }
        }
        log::close(conn, &self.mapping)?;
        for table in &gone.taken.tables {
            let Some(pair) = self.mapping.pair(&table.pair) else { continue };
            rebuild::count_on(conn, pair, table)?;
            super::raw::drop(conn, pair)?;
        }
        let later = gone.taken.tables.iter().flat_map(|t| &t.objects).filter(|sql| !OldTable::comes_first(sql));
        for sql in later.chain(&gone.taken.beside) {
            run(conn, sql, "making the triggers of the old tables")?;
        }
        stage::set(conn, &self.mapping.name, Stage::NewOnly, cx.info(), cx.now())?;
        self.told(cx, made, began.elapsed(), waited.elapsed());
        Ok(())
    }

    fn told(&self, cx: &StepContext, made: Rebuilt, took: Duration, waited: Duration) {
        cx.note(&format!(
            "{} is back at stage new-only in {:.3} s (RTO), with 0 of {} rows lost (RPO): {} with values that only the old \
             tables held; writers waited {:.3} s",
            self.mapping.name,
            took.as_secs_f64(),
            made.rows,
            made.exact,
            waited.as_secs_f64()
        ));
        let fit = match made.quarantined {
            0 => return,
            1 => "1 row that was written since does not fit into the old tables: it is in the new ones".to_owned(),
            n => format!("{n} rows that were written since do not fit into the old tables: they are in the new ones"),
        };
        cx.note(&format!("{fit}, and in quarantine"));
    }
}

/// A line about rows that refer to none: those they referred to were deleted while the table was gone, or before.
fn loose(conn: &Connection, table: &str) -> Result<Option<String>, StepError> {
    let count = conn
        .prepare_cached("SELECT count(*) FROM pragma_foreign_key_check(?1)")
        .and_then(|mut s| s.query_row([table], |row| row.get::<_, i64>(0)))
        .map_err(|e| sqlite_error(e, "checking the foreign keys"))?;
    let rows = if count == 1 { "1 row refers".to_owned() } else { format!("{count} rows refer") };
    Ok((count > 0)
        .then(|| format!("{table}: {rows} to a row that is not there; `PRAGMA foreign_key_check({table})` names them")))
}

const CANNOT: &str = "the old tables cannot come back as the new ones have them";

fn of(conn: &Connection, pair: &Pair) -> Result<(Sides, Raw), StepError> {
    let sides = Sides::of(conn, pair)?;
    let raw = Raw::of(conn, pair, &sides)?;
    Ok((sides, raw))
}

/// Refuses where the two sides of a part do not show the same.
fn same(conn: &Connection, pair: &Pair, sides: &Sides, part: &Part) -> Result<(), StepError> {
    let lines = differing(conn, sides, part)?.lines(pair);
    if lines.is_empty() { Ok(()) } else { Err(StepError::failed(format!("{CANNOT}: {}", lines.join("; ")))) }
}

/// Writes the old tables, which are closed to others.
fn guarded<T>(conn: &Connection, work: impl FnOnce() -> Result<T, StepError>) -> Result<T, StepError> {
    let set = |origin: Option<&str>| {
        conn.prepare_cached(&format!("UPDATE {GUARD} SET origin = ?1"))
            .and_then(|mut s| s.execute([origin]))
            .map_err(|e| sqlite_error(e, "passing the triggers of the old tables"))
    };
    set(Some("contract"))?;
    let value = work()?;
    set(None)?;
    Ok(value)
}

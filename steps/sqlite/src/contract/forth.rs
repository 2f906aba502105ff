//! The way there: what the new tables do not hold is kept aside, and the old tables go.
//!
//! Owns the order. Everything is compared and kept while programs write; the last transaction does it again for what they
//! wrote meanwhile, drops the old tables and moves the stage.

use std::time::{Duration, Instant};

use cutover_core::{Applied, Checkpoint, Receipt, StepContext, StepError};
use rusqlite::Connection;

use super::portion::Portion;
use super::raw::Raw;
use super::schema::{STAYS, Seen};
use super::{Contract, Gone, WAYS_THERE, least_time_back};
use crate::SqliteTarget;
use crate::cutover::{expect, rto};
use crate::mapping::names::raw;
use crate::mapping::stage::{self, Stage};
use crate::mapping::{Mapping, Pair};
use crate::parity::{Asked, ROUNDS, Range, Report, Sides, forget, log, logged, rest, settle};
use crate::sql::{quote_ident, sqlite_error};

impl Contract {
    pub(super) async fn forth(
        &self,
        cx: &StepContext,
        target: &SqliteTarget,
        copy: String,
    ) -> Result<Applied, StepError> {
        let mapping = self.mapping.clone();
        let rto = self.rto;
        let ready = move |conn: &Connection| {
            expect(conn, &mapping, Stage::NewOnly, Stage::Contracted)?;
            Seen::of(conn, &mapping)?;
            rto::within(&mapping, least_time_back(rows(conn, &mapping, |pair| pair.old.clone())?), rto)
        };
        target.read(cx, ready).await?;
        let began = Instant::now();
        let stopped = || Applied::Stopped(Checkpoint { at: "the old tables are all there".to_owned() });
        let Some(report) = settle(cx, target, &self.mapping, &self.asked, true).await? else { return Ok(stopped()) };
        if let Some(error) = report.error(STAYS) {
            return Err(error);
        }
        if !self.keep(cx, target).await? {
            self.tidy(cx, target).await?;
            return Ok(stopped());
        }
        // The way back does as much, and writes besides: only now is it known how long that takes here.
        let back = began.elapsed() * WAYS_THERE;
        if let Err(error) = rto::within(&self.mapping, back, self.rto) {
            self.tidy(cx, target).await?;
            return Err(error);
        }
        let mapping = self.mapping.clone();
        let seen = target.read_moment(cx, move |conn| Seen::of(conn, &mapping)).await?;
        let (mapping, asked) = (self.mapping.clone(), self.asked.clone());
        target.before_change(cx, move |conn| compile(conn, &mapping, &asked)).await;
        let (step, inner) = (self.clone(), cx.clone());
        target
            .change(cx, move |conn| step.drop_old(conn, &inner, &copy, (report, seen), back))
            .await
            .map(Applied::Changed)
    }

    /// Keeps aside what the new tables do not hold, range by range, then of what was written meanwhile, until little is
    /// left. False: a stop was asked for.
    async fn keep(&self, cx: &StepContext, target: &SqliteTarget) -> Result<bool, StepError> {
        for pair in &self.mapping.pairs {
            let mut range: Option<Range> = None;
            loop {
                let (pair, at) = (pair.clone(), range.take());
                let batch = move |conn: &Connection| {
                    let portion = Portion::begin();
                    let sides = Sides::of(conn, &pair)?;
                    let raw = Raw::of(conn, &pair, &sides)?;
                    if at.is_none() {
                        raw.make(conn)?;
                    }
                    portion.through(conn, &sides, at, |range| raw.keep(conn, &sides, &range.part(&sides)))
                };
                range = target.aside(cx, batch).await?;
                if range.is_none() {
                    break;
                }
                if cx.stop_requested() {
                    return Ok(false);
                }
            }
        }
        let (mapping, asked) = (self.mapping.clone(), self.asked.clone());
        target.before_reversal(cx, move |conn| compile(conn, &mapping, &asked)).await;
        for _ in 0..ROUNDS {
            let (mapping, asked) = (self.mapping.clone(), self.asked.clone());
            let batch = move |conn: &Connection| {
                let Some(upto) = logged(conn, &mapping)? else { return Ok(false) };
                if let Some(error) = rest(conn, &mapping, &asked)?.error(STAYS) {
                    return Err(error);
                }
                keep_logged(conn, &mapping)?;
                forget(conn, &mapping, &upto)?;
                Ok(true)
            };
            if !target.aside(cx, batch).await? {
                break;
            }
        }
        Ok(true)
    }

    fn drop_old(
        &self,
        conn: &Connection,
        cx: &StepContext,
        copy: &str,
        (report, seen): (Report, Seen),
        back: Duration,
    ) -> Result<Receipt, StepError> {
        let (began, name) = (Instant::now(), &self.mapping.name);
        expect(conn, &self.mapping, Stage::NewOnly, Stage::Contracted)?;
        if let Some(error) = rest(conn, &self.mapping, &self.asked)?.error(STAYS) {
            return Err(error);
        }
        let kept = keep_logged(conn, &self.mapping)?;
        let taken = seen.take(conn, &self.mapping)?;
        log::close(conn, &self.mapping)?;
        for (pair, raw) in self.mapping.pairs.iter().zip(&kept) {
            raw.follow(conn, pair)?;
        }
        stage::set(conn, name, Stage::Contracted, cx.info(), cx.now())?;
        let (rows, held) = (report.rows, rows(conn, &self.mapping, |pair| raw(&pair.name))?);
        let note = format!(
            "{name} is contracted; writers waited {:.3} s. The way back makes {rows} rows anew in about {} (RTO) and \
             loses 0 rows (RPO): for {held} of them values are kept that the new tables do not hold; the snapshot of `{copy}` \
             is there besides",
            began.elapsed().as_secs_f64(),
            rto::said(back),
        );
        let mut receipt = Receipt::of(&Gone { taken, rows })?.with_note(note);
        receipt.notes.extend(report.notes);
        Ok(receipt)
    }

    /// Takes away what a run that did not come to its end left of its helpers.
    pub(super) async fn tidy(&self, cx: &StepContext, target: &SqliteTarget) -> Result<(), StepError> {
        let mapping = self.mapping.clone();
        let left = move |conn: &Connection| {
            let contracted = stage::read(conn, &mapping.name)? >= Stage::Contracted;
            Ok(!contracted && (log::is_open(conn, &mapping)? || super::raw::is_kept(conn, &mapping)?))
        };
        if !target.read(cx, left).await? {
            return Ok(());
        }
        let mapping = self.mapping.clone();
        let work = move |conn: &Connection| {
            log::close(conn, &mapping)?;
            mapping.pairs.iter().try_for_each(|pair| super::raw::drop(conn, pair))
        };
        target.aside(cx, work).await
    }
}

/// The rows of the tables that `name` gives for each pair.
fn rows(conn: &Connection, mapping: &Mapping, name: fn(&Pair) -> String) -> Result<u64, StepError> {
    let count = |pair: &Pair| {
        let sql = format!("SELECT count(*) FROM {}", quote_ident(&name(pair)));
        conn.prepare_cached(&sql).and_then(|mut s| s.query_row([], |row| row.get::<_, i64>(0)))
    };
    let rows: rusqlite::Result<Vec<i64>> = mapping.pairs.iter().map(count).collect();
    Ok(rows.map_err(|e| sqlite_error(e, "while counting the rows"))?.iter().map(|n| n.unsigned_abs()).sum())
}

/// Compiles what is run for the rows in the logs.
fn compile(conn: &Connection, mapping: &Mapping, asked: &Asked) -> Result<(), StepError> {
    rest(conn, mapping, asked)?;
    for pair in &mapping.pairs {
        let sides = Sides::of(conn, pair)?;
        for sql in Raw::of(conn, pair, &sides)?.keeping(&sides, &log::part(pair, &sides)) {
            conn.prepare_cached(&sql).map_err(|e| sqlite_error(e, "keeping what the new tables do not hold"))?;
        }
    }
    Ok(())
}

/// Keeps it anew for the rows in the logs. Returns what each pair is kept by.
fn keep_logged(conn: &Connection, mapping: &Mapping) -> Result<Vec<Raw>, StepError> {
    let keep = |pair| {
        let sides = Sides::of(conn, pair)?;
        let raw = Raw::of(conn, pair, &sides)?;
        raw.keep(conn, &sides, &log::part(pair, &sides))?;
        Ok(raw)
    };
    mapping.pairs.iter().map(keep).collect()
}

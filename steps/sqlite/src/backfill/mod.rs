//! The step kind `sqlite.backfill`: fills a table from a query in short transactions, and goes on where it stopped.
//!
//! Owns the pace: how many rows a batch takes, when a batch took too long, when a stop is obeyed. The SQL is
//! `query`'s, what is remembered between batches is `state`'s, which rows were inserted is `kept`.

use std::time::Duration;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Finding, Layer, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepKind, Target as _, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Deserialize;

mod kept;
mod pace;
mod query;
mod state;
mod throttle;
mod touched;
mod undo;

use crate::SqliteTarget;
use crate::done;
use crate::target::bookkeeping;
use crate::value::to_json;
use pace::{Pace, timed};
use query::Source;
use state::State;
use throttle::Brake;

/// Fills a table in batches.
#[derive(Debug, Clone)]
pub(crate) struct Backfill {
    target: String,
    source: Source,
    tuning: Tuning,
}

/// How fast it may go; none of it changes what is written.
#[derive(Debug, Clone)]
struct Tuning {
    batch: u64,
    hold: Duration,
    limit: Duration,
    throttle: Option<String>,
}

/// Configuration of `sqlite.backfill`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BackfillConfig {
    /// The table that is filled.
    into: String,
    /// The query whose named columns are columns of `into`; the plan's variables are bound as `:name`.
    rows: String,
    /// The column of the query by which it is cut into batches: never NULL, best with an index behind it.
    key: String,
    /// Whether the key is a column of `into` too.
    #[serde(default)]
    key_stored: bool,
    /// Columns that tell a row that is there already; such rows are skipped. By default the key, when it is stored.
    #[serde(default)]
    unique: Vec<String>,
    /// Rows a batch at most. How many it takes follows from `hold-ms`.
    #[serde(default = "default_batch")]
    #[schemars(range(min = 1))]
    batch: u64,
    /// Milliseconds for which a batch should keep other writers out: batches grow while they take less, and are halved
    /// when they take more.
    #[serde(default = "default_hold")]
    #[schemars(range(min = 1))]
    hold_ms: u64,
    /// Seconds that a batch may take; one that takes longer is undone and ends the step for review.
    #[serde(default = "default_seconds")]
    #[schemars(range(min = 1))]
    seconds: u64,
    /// A file, relative to the root, that is read before every batch: `pause = true`, `rows-per-second = 2000`,
    /// `batch = 500`, `hold-ms = 10`, a line each. It need not be there.
    #[serde(default)]
    throttle: Option<String>,
}

fn default_batch() -> u64 {
    50_000
}

fn default_hold() -> u64 {
    25
}

fn default_seconds() -> u64 {
    5
}

register_step!(Backfill);

impl StepKind for Backfill {
    const KIND: &'static str = "sqlite.backfill";
    const SUMMARY: &'static str = "fill a table from a query, in short resumable batches";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"backfill-actions\"\nuse = \"sqlite.backfill\"\ntarget = \"tier1\"\n\
        with = { into = \"actions\", key = \"source_id\", unique = [\"session_id\", \"turn\"], \
        rows = \"SELECT id AS source_id, session_id, turn FROM messages\" }\n";
    const TUNING: &'static [&'static str] = &["batch", "hold-ms", "seconds", "throttle"];
    const FAULTS: Faults = crate::target::BATCHED;
    type Config = BackfillConfig;

    fn build(config: BackfillConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let rows = query::single_query("rows", &config.rows)?;
        for (field, value) in [("batch", config.batch), ("hold-ms", config.hold_ms), ("seconds", config.seconds)] {
            if value == 0 {
                return Err(
                    BuildError::at(field, format!("`{field}` is 0")).with_help("give it at least 1, or leave it out")
                );
            }
        }
        let unique =
            if config.unique.is_empty() && config.key_stored { vec![config.key.clone()] } else { config.unique };
        let source = Source { into: config.into, rows, key: config.key, key_stored: config.key_stored, unique };
        if let Some(path) = &config.throttle {
            throttle::check(path)?;
        }
        let tuning = Tuning {
            batch: config.batch,
            hold: Duration::from_millis(config.hold_ms),
            limit: Duration::from_secs(config.seconds),
            throttle: config.throttle,
        };
        Ok(Self { target, source, tuning })
    }
}

impl Backfill {
    async fn saved(&self, cx: &StepContext) -> Result<Option<State>, StepError> {
        let info = cx.info().clone();
        let read = move |conn: &Connection| bookkeeping::cursor(conn, &info);
        let text = cx.target::<SqliteTarget>(&self.target)?.read(cx, read).await?;
        text.as_deref().map(State::parse).transpose()
    }

    /// Does one batch in its own transaction, the cursor saved in it. None: nothing is left.
    async fn step(
        &self,
        cx: &StepContext,
        columns: &[String],
        size: u64,
    ) -> Result<(Option<State>, Duration), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (source, vars, info, limit) =
            (self.source.clone(), cx.vars().clone(), cx.info().clone(), self.tuning.limit);
        let columns = columns.to_vec();
        target
            .timed_batch(cx, move |conn, recorder| {
                // The transaction knows best how far the step has come.
                let mut state = match bookkeeping::cursor(conn, &info)? {
                    Some(text) => State::parse(&text)?,
                    None => State { into: source.into.clone(), ..State::default() },
                };
                if state.batches == 0 {
                    kept::forget(conn, &info)?;
                }
                let filled = timed(conn, limit, || source.batch(conn, recorder, &vars, &columns, size, &mut state))?;
                let Some(filled) = filled else { return Ok(None) };
                kept::save(conn, &info, state.batches, &filled)?;
                bookkeeping::set_cursor(conn, &info, &state.text()?)?;
                Ok(Some(state))
            })
            .await
    }
}

#[async_trait]
impl MigrationStep for Backfill {
    fn describe(&self) -> Vec<Change> {
        let s = &self.source;
        let skipped = if s.unique.is_empty() {
            String::new()
        } else {
            format!("; skips rows with the same {}", s.unique.join(", "))
        };
        vec![Change::new(Action::Alter, format!("rows of table {}", s.into)).with_detail(format!(
            "filled from a query by {}, at most {} rows a batch{skipped}",
            s.key, self.tuning.batch
        ))]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if target.done(cx).await?.is_some() {
            return Ok(Standing::Applied);
        }
        let source = self.source.clone();
        if let Some(reason) = target.read(cx, move |conn| source.unfit(conn)).await? {
            return Ok(Standing::Conflict(reason));
        }
        Ok(match self.saved(cx).await? {
            Some(state) => Standing::Partial(format!("{} source rows are done", state.seen)),
            None => Standing::Pending,
        })
    }

    /// It changes no structure.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let (source, vars) = (self.source.clone(), cx.vars().clone());
        let (columns, total) =
            target.read(cx, move |conn| Ok((source.columns(conn, &vars)?, source.total(conn, &vars)?))).await?;
        let mut pace = Pace::new(self.tuning.batch, self.tuning.hold);
        let mut brake = Brake::new(cx, self.tuning.throttle.as_deref())?;
        let mut others = target.change_counter(cx).await?;
        let mut seen = self.saved(cx).await?.map_or(0, |s| s.seen);
        cx.progress(seen, Some(total), "rows");
        loop {
            let throttle = brake.look(cx).await?;
            if cx.stop_requested() {
                return Ok(Applied::Stopped(Checkpoint { at: format!("{seen} of {total} rows") }));
            }
            let (Some(state), held) = self.step(cx, &columns, pace.size(&throttle)).await? else { break };
            let rows = state.seen - seen;
            seen = state.seen;
            cx.progress(seen, Some(total.max(seen)), "rows");
            let now = target.change_counter(cx).await?;
            let pause = pace.after(rows, held, now != others, &throttle);
            others = now;
            brake.rest(cx, pause).await?;
        }
        let (info, into) = (cx.info().clone(), self.source.into.clone());
        let receipt = target
            .change(cx, move |conn| {
                let state = match bookkeeping::cursor(conn, &info)? {
                    Some(text) => State::parse(&text)?,
                    None => State { into, ..State::default() },
                };
                bookkeeping::clear_cursor(conn, &info)?;
                kept::save_end(conn, &info, &state.text()?)?;
                let receipt = Receipt::of(&state.without_values())?.with_rows(state.rows);
                let there = state.seen.saturating_sub(state.rows);
                Ok(if there == 0 {
                    receipt
                } else {
                    receipt.with_note(format!("{there} rows were there before: skipped"))
                })
            })
            .await?;
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.done(cx).await? else {
            return Ok(Verdict::Broken(vec![format!(
                "table {}: the ledger does not say that it was filled",
                self.source.into
            )]));
        };
        let state: State = done::body(&receipt)?;
        let (source, vars, info) = (self.source.clone(), cx.vars().clone(), cx.info().clone());
        target
            .read(cx, move |conn| {
                source.columns(conn, &vars)?;
                let mut lines = Vec::new();
                let mut found = 0;
                kept::each(conn, &info, |filled| {
                    found += source.count(conn, &filled.runs)?;
                    Ok(())
                })?;
                let last =
                    kept::end(conn, &info)?.map(|text| State::parse(&text)).transpose()?.unwrap_or_default().last;
                if u64::try_from(found) != Ok(state.rows) {
                    lines.push(format!("table {}: expected {} filled rows, found {found}", source.into, state.rows));
                }
                if let Some((count, first)) =
                    source.without_counterpart(conn, &vars, last.as_ref())?.filter(|(n, _)| *n > 0)
                {
                    lines.push(format!(
                        "table {}: expected a row for each of the source's, found none for {count} (first {} = {})",
                        source.into,
                        source.key,
                        to_json(&first)
                    ));
                }
                Ok(done::verdict(lines))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let state = match target.to_undo(cx, receipt).await? {
            Some(receipt) => Some(done::body::<State>(&receipt)?),
            None => self.saved(cx).await?,
        };
        let Some(state) = state else { return Ok(()) };
        let (source, info, notes) = (self.source.clone(), cx.info().clone(), cx.clone());
        target
            .reverse(cx, move |conn| {
                source.undo(conn, &info, &state)?.iter().for_each(|line| notes.note(line));
                kept::forget(conn, &info)
            })
            .await
    }
}

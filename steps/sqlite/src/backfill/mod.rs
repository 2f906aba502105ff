//! The step kind `sqlite.backfill`: fills a table from a query in short transactions, and goes on where it stopped.
//!
//! Owns the step in its two forms, and what is the same in both: one batch after the other until none is left, a stop
//! obeyed between them. What a batch does is `queried`'s and `mapped`'s; what happens between two batches is `rhythm`'s, how
//! large one is and how long others have the database afterwards `pace`'s; the file that slows it down is `throttle`'s.

use std::sync::Arc;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Finding, Layer, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::Deserialize;

mod kept;
mod mapped;
pub(crate) mod pace;
mod queried;
mod query;
pub(crate) mod rhythm;
mod state;
pub(crate) mod throttle;
mod touched;
mod undo;

use crate::SqliteTarget;
use crate::expand::Weave;
use crate::mapping::Pair;
use mapped::Mapped;
use queried::Queried;
use query::Source;
use rhythm::{Rhythm, Tuning};

/// Fills a table in batches.
#[derive(Debug, Clone)]
pub(crate) struct Backfill {
    target: String,
    work: Work,
    tuning: Tuning,
}

/// What is filled from what.
#[derive(Debug, Clone)]
enum Work {
    Query(Queried),
    Mapping(Mapped),
}

/// What is known of the database before the first batch.
enum Ready {
    Columns(Vec<String>),
    Weaves(Arc<Vec<Weave>>),
}

/// Configuration of `sqlite.backfill`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BackfillConfig {
    /// A mapping file, relative to the plan: every old row that no new row shows yet is shown. In place of `into`, `rows`
    /// and `key`.
    #[serde(default)]
    mapping: Option<String>,
    /// The one table of the mapping that is filled; without it, all.
    #[serde(default)]
    table: Option<String>,
    /// The table that is filled.
    #[serde(default)]
    into: Option<String>,
    /// The query whose named columns are columns of `into`; the plan's variables are bound as `:name`.
    #[serde(default)]
    rows: Option<String>,
    /// The column of the query by which it is cut into batches: never NULL, best with an index behind it.
    #[serde(default)]
    key: Option<String>,
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
    const SUMMARY: &'static str =
        "fill a table from a query, or new tables from old ones by a mapping, in short resumable batches";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"backfill-actions\"\nuse = \"sqlite.backfill\"\ntarget = \"tier1\"\n\
        with = { into = \"actions\", key = \"source_id\", unique = [\"session_id\", \"turn\"], \
        rows = \"SELECT id AS source_id, session_id, turn FROM messages\" }\n";
    const TUNING: &'static [&'static str] = &["batch", "hold-ms", "seconds", "throttle"];
    const FAULTS: Faults = crate::target::BATCHED;
    type Config = BackfillConfig;

    fn build(config: BackfillConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let work = config.work(&target, cx)?;
        let tuning = Tuning::of(config.batch, config.hold_ms, config.seconds, config.throttle)?;
        Ok(Self { target, work, tuning })
    }
}

impl BackfillConfig {
    /// The one of the two forms that it has.
    fn work(&self, target: &str, cx: &BuildContext<'_>) -> Result<Work, BuildError> {
        let query = [("into", &self.into), ("rows", &self.rows), ("key", &self.key)];
        if let Some(path) = &self.mapping {
            let named = query.iter().find(|(_, value)| value.is_some()).map(|(name, _)| *name);
            let more = [("key-stored", self.key_stored), ("unique", !self.unique.is_empty())];
            let other = named.or_else(|| more.iter().find(|(_, is)| *is).map(|(name, _)| *name));
            if let Some(field) = other {
                return Err(BuildError::at(field, format!("`{field}` beside `mapping`"))
                    .with_help("the mapping says what is filled from what: take one of them out"));
            }
            return Ok(Work::Mapping(Mapped::build(target, path, self.table.as_deref(), cx)?));
        }
        if self.table.is_some() {
            return Err(BuildError::at("table", "`table` without a `mapping`").with_help("name the mapping file, too"));
        }
        let (Some(into), Some(rows), Some(key)) = (&self.into, &self.rows, &self.key) else {
            let missing = query.iter().find(|(_, value)| value.is_none()).map_or("into", |(name, _)| name);
            return Err(BuildError::at("", format!("there is no `{missing}`"))
                .with_help("give `into`, `rows` and `key`, or a `mapping`"));
        };
        let rows = query::single_query("rows", rows)?;
        let unique = if self.unique.is_empty() && self.key_stored { vec![key.clone()] } else { self.unique.clone() };
        let (into, key, key_stored) = (into.clone(), key.clone(), self.key_stored);
        let source = Source { into, rows, key, key_stored, unique };
        Ok(Work::Query(Queried { target: target.to_owned(), source }))
    }
}

#[async_trait]
impl MigrationStep for Backfill {
    fn describe(&self) -> Vec<Change> {
        let most = self.tuning.batch;
        match &self.work {
            Work::Query(Queried { source: s, .. }) => {
                let skipped = if s.unique.is_empty() {
                    String::new()
                } else {
                    format!("; skips rows with the same {}", s.unique.join(", "))
                };
                let detail = format!("filled from a query by {}, at most {most} rows a batch{skipped}", s.key);
                vec![Change::new(Action::Alter, format!("rows of table {}", s.into)).with_detail(detail)]
            }
            Work::Mapping(mapped) => {
                let filled = |table: &str| Change::new(Action::Alter, format!("rows of table {table}"));
                let of_pair = |pair: &Pair| {
                    let rows =
                        filled(&pair.new).with_detail(format!("filled from {}, at most {most} rows a batch", pair.old));
                    let parents = pair.parent.as_ref().map(|parent| {
                        filled(&parent.new).with_detail(format!("made for the rows of {} that have none", pair.new))
                    });
                    parents.into_iter().chain([rows])
                };
                mapped.pairs().flat_map(of_pair).collect()
            }
        }
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        if cx.target::<SqliteTarget>(&self.target)?.done(cx).await?.is_some() {
            return Ok(Standing::Applied);
        }
        match &self.work {
            Work::Query(work) => work.standing(cx).await,
            Work::Mapping(work) => work.standing(cx).await,
        }
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
        let (ready, total, mut seen) = match &self.work {
            Work::Query(work) => {
                let (columns, total, seen) = work.prepare(cx).await?;
                (Ready::Columns(columns), total, seen)
            }
            Work::Mapping(work) => {
                let (weaves, total, seen) = work.prepare(cx).await?;
                (Ready::Weaves(weaves), total, seen)
            }
        };
        let mut rhythm = Rhythm::begin(cx, &target, &self.tuning).await?;
        cx.progress(seen, Some(total), "rows");
        loop {
            let Some(batch) = rhythm.next().await? else {
                return Ok(Applied::Stopped(Checkpoint { at: format!("{seen} of {total} rows") }));
            };
            let (come, held) = match (&self.work, &ready) {
                (Work::Query(work), Ready::Columns(columns)) => work.step(cx, columns, batch).await?,
                (Work::Mapping(work), Ready::Weaves(weaves)) => work.step(cx, weaves, batch).await?,
                _ => return Err(StepError::internal("a backfill of another form was prepared")),
            };
            let Some(come) = come else { break };
            let rows = come.saturating_sub(seen);
            seen = come;
            cx.progress(seen, Some(total.max(seen)), "rows");
            rhythm.rest(rows, held).await?;
        }
        match &self.work {
            Work::Query(work) => work.end(cx).await,
            Work::Mapping(work) => work.end(cx).await,
        }
        .map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        match &self.work {
            Work::Query(work) => work.verify(cx).await,
            Work::Mapping(work) => work.verify(cx).await,
        }
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        match &self.work {
            Work::Query(work) => work.rollback(cx, receipt).await,
            Work::Mapping(work) => work.rollback(cx, receipt).await,
        }
    }
}

//! The step kind `sqlite.maintain`: a database file gives its free pages back, and its planner's statistics are renewed.
//!
//! Owns the order: free space is looked at; pages go, in bounded batches or by one VACUUM; statistics; the log. What the
//! rows say does not change, so a rollback puts back the statistics and leaves the file as it is.

use std::path::Path;
use std::time::Duration;

use cutover_core::room::{room, size};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Finding, Layer, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepKind, Target as _, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SqliteTarget;
use crate::backfill::rhythm::{Rhythm, Tuning};
use crate::done;
use crate::settings::unstable_rowids;
use crate::sql::sqlite_error;
use crate::target::{Batching, bookkeeping};

mod figures;
mod statistics;

use figures::Figures;
use statistics::{Statistics, in_step};

/// Maintains a database file.
#[derive(Debug, Clone)]
pub(crate) struct Maintain {
    target: String,
    vacuum: Vacuum,
    above: f64,
    optimize: bool,
    analysis_limit: u32,
    hold: Duration,
}

/// How free pages are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Vacuum {
    /// In batches that others can write between (`incremental_vacuum`); the file must have `auto_vacuum = incremental`.
    Steps,
    /// By one VACUUM, which writes the file anew and keeps others out meanwhile.
    Whole,
    /// Not at all.
    None,
}

/// Configuration of `sqlite.maintain`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct MaintainConfig {
    /// How free pages are given back: "steps", in batches that others can write between (the file must have
    /// `auto_vacuum = incremental`, which `sqlite.settings` gives it); "whole", by one VACUUM, which writes the file anew
    /// and keeps others out meanwhile; "none", not at all. Default: "steps".
    #[serde(default = "default_vacuum")]
    vacuum: Vacuum,
    /// Percent of free pages up to which they are left where they are.
    #[serde(default = "default_above")]
    above: f64,
    /// Whether the planner's statistics are brought up to date (`PRAGMA optimize`). Never while two schemas are kept in
    /// step, and without samples (`sqlite_stat4`) where there are none.
    #[serde(default = "default_optimize")]
    optimize: bool,
    /// Rows of an index that are looked at, at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1))]
    analysis_limit: u32,
    /// Milliseconds for which a batch should keep other writers out.
    #[serde(default = "crate::retain::default_hold")]
    #[schemars(range(min = 1))]
    hold_ms: u64,
}

fn default_vacuum() -> Vacuum {
    Vacuum::Steps
}

fn default_above() -> f64 {
    10.0
}

fn default_optimize() -> bool {
    true
}

fn default_limit() -> u32 {
    400
}

/// What is remembered for the way back.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Before {
    figures: Figures,
    statistics: Statistics,
}

register_step!(Maintain);

impl StepKind for Maintain {
    const KIND: &'static str = "sqlite.maintain";
    const SUMMARY: &'static str = "give free pages of the file back in short steps, and renew the planner's statistics";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"tidy\"\nuse = \"sqlite.maintain\"\ntarget = \"tier1\"\n\
        with = { vacuum = \"steps\", above = 10.0, analysis-limit = 400 }\n";
    const TUNING: &'static [&'static str] = &["hold-ms"];
    const FAULTS: Faults = Faults {
        apply: &[
            fault::SQLITE_BATCH_BEGUN,
            fault::SQLITE_BATCH_MADE,
            fault::MAINTAIN_VACUUMED,
            fault::SQLITE_CHANGE_BEGUN,
            fault::SQLITE_CHANGE_MADE,
            fault::SQLITE_CHANGE_RECORDED,
            fault::SQLITE_COMMIT,
            fault::SQLITE_COMMITTED,
        ],
        rollback: crate::target::CHANGED.rollback,
    };
    type Config = MaintainConfig;

    fn build(config: MaintainConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        if !(0.0..100.0).contains(&config.above) {
            return Err(BuildError::at("above", format!("`{}` is no share of pages in percent", config.above))
                .with_help("write a number from 0 to below 100"));
        }
        for (field, value) in [("analysis-limit", u64::from(config.analysis_limit)), ("hold-ms", config.hold_ms)] {
            if value == 0 {
                return Err(
                    BuildError::at(field, format!("`{field}` is 0")).with_help("give it at least 1, or leave it out")
                );
            }
        }
        let MaintainConfig { vacuum, above, optimize, analysis_limit, hold_ms } = config;
        Ok(Self { target, vacuum, above, optimize, analysis_limit, hold: Duration::from_millis(hold_ms) })
    }
}

impl Maintain {
    /// What it would do with the file, in a line; and whether pages go.
    fn outlook(&self, found: &Figures) -> (String, bool) {
        let shown = found.shown();
        if self.vacuum == Vacuum::None || found.free == 0 || found.fragmentation() <= self.above {
            return (format!("fragmentation {shown}: no page is given back"), false);
        }
        let free = size(found.free * found.page);
        match (self.vacuum, found.auto_vacuum.as_str()) {
            (Vacuum::Whole, _) => {
                let needed = size(found.bytes() * 2);
                (
                    format!(
                        "fragmentation {shown}: the file is written anew without {free} of free pages, which needs {needed} of disk meanwhile"
                    ),
                    true,
                )
            }
            (_, "incremental") => {
                let pages = found.free;
                (
                    format!(
                        "fragmentation {shown}: {free} ({pages} pages) are given back in steps of about {} ms",
                        self.hold.as_millis()
                    ),
                    true,
                )
            }
            (_, other) => (
                format!(
                    "fragmentation {shown}: no page can be given back in steps, since `auto_vacuum` is {other}; `vacuum = \"whole\"`, or a `sqlite.settings` step with `auto_vacuum = \"incremental\"` before, gives {free} back"
                ),
                false,
            ),
        }
    }

    fn refuse(&self, conn: &Connection) -> Result<(), StepError> {
        if self.vacuum != Vacuum::Whole || !self.outlook(&Figures::read(conn)?).1 {
            return Ok(());
        }
        match unstable_rowids(conn)? {
            None => Ok(()),
            Some(table) => Err(StepError::conflict(format!(
                "a VACUUM may give the rows of `{table}` other rowids, by which a full-text table finds them"
            ))
            .with_help("give the table an INTEGER PRIMARY KEY first, or choose `vacuum = \"none\"`")),
        }
    }

    /// Gives free pages back in batches until there is none; false: a stop was asked for.
    async fn in_steps(&self, cx: &StepContext, target: &SqliteTarget, first: &Figures) -> Result<bool, StepError> {
        let mut rhythm = Rhythm::begin(cx, target, &Tuning::of_hold(self.hold)).await?;
        let mut left = first.free;
        while left > 0 {
            let Some(batch) = rhythm.next().await? else { return Ok(false) };
            let (pages, batching) = (batch.size, Batching { memory: false, alone: batch.alone });
            let (now, held) = target
                .timed_batch(cx, batching, move |conn, _| {
                    conn.prepare(&format!("PRAGMA main.incremental_vacuum({pages})"))
                        .and_then(|mut s| {
                            let mut rows = s.query([])?;
                            while rows.next()?.is_some() {}
                            Ok(())
                        })
                        .map_err(|e| sqlite_error(e, "while giving free pages back"))?;
                    Ok(Figures::read(conn)?.free)
                })
                .await?;
            if now >= left {
                return Ok(true);
            }
            cx.progress(first.free.saturating_sub(now), Some(first.free), "pages");
            rhythm.rest(left - now, held).await?;
            left = now;
        }
        Ok(true)
    }

    /// The step's cursor: what was before its first write.
    async fn before(&self, cx: &StepContext, target: &SqliteTarget) -> Result<Before, StepError> {
        let (info, step) = (cx.info().clone(), self.clone());
        target
            .batch(cx, move |conn| {
                step.refuse(conn)?;
                if let Some(text) = bookkeeping::cursor(conn, &info)? {
                    return parse(&text);
                }
                let before = Before { figures: Figures::read(conn)?, statistics: Statistics::read(conn)? };
                let text = serde_json::to_string(&before)
                    .map_err(|e| StepError::internal("a cursor was not written as JSON").caused_by(e))?;
                bookkeeping::set_cursor(conn, &info, &text)?;
                Ok(before)
            })
            .await
    }
}

fn parse(text: &str) -> Result<Before, StepError> {
    serde_json::from_str(text).map_err(|e| StepError::internal("the cursor has an unknown shape").caused_by(e))
}

/// Refuses a disk without the room that it takes.
fn need_room(path: &Path, figures: &Figures, vacuum: Vacuum) -> Result<(), StepError> {
    let needed = if vacuum == Vacuum::Whole { figures.bytes() * 2 } else { figures.bytes().min(64 << 20) };
    let help = "free some space there, or choose `vacuum = \"none\"`; nothing was changed";
    room(path.parent().unwrap_or(path), needed, "the maintenance", help).map(drop)
}

#[async_trait]
impl MigrationStep for Maintain {
    fn describe(&self) -> Vec<Change> {
        let above = self.above;
        let pages = match self.vacuum {
            Vacuum::Steps => Some(format!("given back in short steps where more than {above} % are free")),
            Vacuum::Whole => Some(format!("given back by one VACUUM where more than {above} % are free")),
            Vacuum::None => None,
        };
        let pages = pages.map(|detail| Change::new(Action::Alter, "free pages").with_detail(detail));
        let statistics = self.optimize.then(|| {
            Change::new(Action::Alter, "the planner's statistics")
                .with_detail(format!("renewed from at most {} rows of an index", self.analysis_limit))
        });
        pages.into_iter().chain(statistics).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    /// It changes no structure.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn foresee(&self, cx: &StepContext) -> Result<Vec<String>, StepError> {
        let step = self.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read_moment(cx, move |conn| {
                let mut lines = vec![step.outlook(&Figures::read(conn)?).0];
                if let Some(mapping) = in_step(conn)?.filter(|_| step.optimize) {
                    lines.push(format!("statistics stay as they are: mapping {mapping} is on its way"));
                }
                Ok(lines)
            })
            .await
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if target.done(cx).await?.is_some() {
            return Ok(Standing::Applied);
        }
        let step = self.clone();
        match target.read(cx, move |conn| step.refuse(conn)).await {
            Ok(()) => Ok(Standing::Pending),
            Err(e) => done::conflict_standing(e),
        }
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let now = target.read(cx, Figures::read).await?;
        let (line, goes) = self.outlook(&now);
        if goes {
            let (path, vacuum) = (target.path().to_owned(), self.vacuum);
            let figures = now.clone();
            cx.blocking(move || need_room(&path, &figures, vacuum)).await?;
        }
        let before = self.before(cx, &target).await?;
        if goes && self.vacuum == Vacuum::Whole {
            target
                .alone(cx, |conn| {
                    conn.execute_batch("VACUUM").map_err(|e| sqlite_error(e, "while writing the file anew"))
                })
                .await?;
        } else if goes && !self.in_steps(cx, &target, &now).await? {
            let left = target.read(cx, Figures::read).await?;
            return Ok(Applied::Stopped(Checkpoint { at: format!("{} free pages left", left.free) }));
        }
        fault::point(fault::MAINTAIN_VACUUMED);
        let (step, info, statistics) = (self.clone(), cx.info().clone(), before.statistics.clone());
        let (was, gave) = (before.figures.clone(), before.figures.free > 0 && goes);
        let receipt = target
            .change(cx, move |conn| {
                bookkeeping::clear_cursor(conn, &info)?;
                let mut receipt = Receipt::of(&before)?;
                let is = Figures::read(conn)?;
                receipt.notes.push(match gave || is.pages != was.pages {
                    true => format!("fragmentation {} before, {} after", was.shown(), is.shown()),
                    false => line,
                });
                if step.optimize {
                    match in_step(conn)? {
                        Some(mapping) => {
                            receipt.notes.push(format!("statistics are as they were: mapping {mapping} is on its way"));
                        }
                        None => statistics.update(conn, step.analysis_limit)?,
                    }
                }
                Ok(receipt)
            })
            .await?;
        self.checkpoint(cx, &target).await?;
        Ok(Applied::Changed(receipt))
    }

    /// The file is sound; how full it is follows from what is written since.
    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if target.done(cx).await?.is_none() {
            return Ok(Verdict::Broken(vec!["the ledger does not say that the file was maintained".to_owned()]));
        }
        target
            .read(cx, |conn| {
                let said: String = conn
                    .query_row("PRAGMA main.quick_check(1)", [], |row| row.get(0))
                    .map_err(|e| sqlite_error(e, "while checking the file"))?;
                Ok(done::verdict(if said == "ok" { Vec::new() } else { vec![said] }))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let info = cx.info().clone();
        let cursor = target.read(cx, move |conn| bookkeeping::cursor(conn, &info)).await?;
        let before = match cursor {
            Some(text) => Some(parse(&text)?),
            None => target.to_undo(cx, receipt).await?.map(|receipt| done::body::<Before>(&receipt)).transpose()?,
        };
        let Some(before) = before else { return Ok(()) };
        target.reverse(cx, move |conn| before.statistics.put_back(conn)).await
    }
}

impl Maintain {
    /// Empties the log where nobody reads it just now.
    async fn checkpoint(&self, cx: &StepContext, target: &SqliteTarget) -> Result<(), StepError> {
        let told = cx.clone();
        target
            .alone(cx, move |conn| {
                let checkpoint = || -> rusqlite::Result<bool> {
                    let mode: String = conn.query_row("PRAGMA main.journal_mode", [], |row| row.get(0))?;
                    Ok(mode == "wal" && conn.query_row("PRAGMA main.wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?)
                };
                if checkpoint().map_err(|e| sqlite_error(e, "while emptying the log"))? {
                    told.note("others read the database: its log is emptied by whoever closes it last");
                }
                Ok(())
            })
            .await
    }
}

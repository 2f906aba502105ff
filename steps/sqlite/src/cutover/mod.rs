//! The step kind `sqlite.cutover`: moves a mapping one stage on, when both schemas show the same at that very moment.
//!
//! Owns the move there and back. Programs that follow the stage row turn with its commit. All rows are compared before, while
//! programs write; what they wrote meanwhile is compared inside the transaction of the move, so nobody can write between
//! the answer and the move. Each step is a transaction of its own, however its plan groups steps: writers wait for that
//! last comparison, and for nothing else.

use std::time::{Duration, Instant};

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Finding, Layer, Lint, MigrationStep, Receipt,
    Standing, StepContext, StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) mod refuse;
pub(crate) mod rto;

use crate::SqliteTarget;
use crate::done;
use crate::lint;
use crate::mapping::Mapping;
use crate::mapping::stage::{self, Stage};
use crate::parity::{Asked, Report, comparing, log, parity, rest, settle, tidy};

/// Moves a mapping to the next stage.
#[derive(Debug, Clone)]
pub(crate) struct Cutover {
    target: String,
    mapping: Mapping,
    asked: Asked,
    to: To,
    rto: Duration,
}

comparing! {
    /// Configuration of `sqlite.cutover`.
    CutoverConfig {
        /// The stage to move to, from the one before it.
        to: To,
        /// How long the way back may take, at most ("5m"): where it would take longer, nothing is moved.
        #[serde(default = "crate::cutover::rto::usual")]
        rto: String,
    }
}

/// A stage that a cutover moves to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum To {
    /// The new tables are read first, the old ones where they have nothing.
    PreferNew,
    /// The old tables refuse writes.
    NewOnly,
}

impl To {
    fn stage(self) -> Stage {
        match self {
            To::PreferNew => Stage::PreferNew,
            To::NewOnly => Stage::NewOnly,
        }
    }

    fn from(self) -> Stage {
        match self {
            To::PreferNew => Stage::DualWrite,
            To::NewOnly => Stage::PreferNew,
        }
    }
}

/// What apply did.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Moved {
    to: To,
    /// Rows that were compared.
    rows: u64,
}

register_step!(Cutover);

impl StepKind for Cutover {
    const KIND: &'static str = "sqlite.cutover";
    const SUMMARY: &'static str = "move a mapping to the next stage, old and new tables compared in the same moment";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"read-new-first\"\nuse = \"sqlite.cutover\"\ntarget = \"app\"\n\
        with = { mapping = \"mapping.toml\", to = \"prefer-new\" }\n";
    const FAULTS: Faults = crate::target::COMPARED;
    const LINTS: &'static [Lint] = &[lint::FAILS];
    const TUNING: &'static [&'static str] = &["rto"];
    type Config = CutoverConfig;

    fn build(config: CutoverConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let (to, rto) = (config.to, rto::allowance(&config.rto)?);
        let (mapping, asked) = config.asked(cx, true)?;
        Ok(Self { target, mapping, asked, to, rto })
    }
}

impl Cutover {
    /// Compares while programs write: how many rows. None: a stop was asked for.
    async fn settle(
        &self,
        cx: &StepContext,
        target: &SqliteTarget,
        asked: &Asked,
    ) -> Result<Option<Report>, StepError> {
        match settle(cx, target, &self.mapping, asked, false).await? {
            None => Ok(None),
            Some(report) => self.decide(&report).map(|_| Some(report)),
        }
    }

    /// What the way back asks: rows in quarantine, and figures that no clock has shown, stay where programs wrote them, and
    /// are told; none is in its way.
    fn asked_back(&self) -> Asked {
        Asked { quarantined: u64::MAX, any_figure: true, ..self.asked.clone() }
    }

    /// Compares what is left, in the transaction that is open, and says what that was.
    fn rest(&self, conn: &Connection, asked: &Asked) -> Result<String, StepError> {
        if !log::is_open(conn, &self.mapping)? {
            self.decide(&parity(conn, &self.mapping, asked, &|_, _| {})?)?;
            return Ok("as they were compared once more".to_owned());
        }
        let rows = self.decide(&rest(conn, &self.mapping, asked)?)?;
        log::close(conn, &self.mapping)?;
        Ok(format!("for {rows} written meanwhile"))
    }

    /// Compiles what is compared in the end, where that is not everything.
    fn compile(&self, conn: &Connection, asked: &Asked) -> Result<(), StepError> {
        if log::is_open(conn, &self.mapping)? { rest(conn, &self.mapping, asked).map(drop) } else { Ok(()) }
    }

    fn decide(&self, report: &Report) -> Result<u64, StepError> {
        report.error(&format!("mapping `{}` stays where it is", self.mapping.name)).map_or(Ok(report.rows), Err)
    }

    fn forth(&self, conn: &Connection, cx: &StepContext, rows: u64, back: Duration) -> Result<Receipt, StepError> {
        let began = Instant::now();
        let (from, to) = (self.to.from(), self.to.stage());
        expect(conn, &self.mapping, from, to)?;
        let rest = self.rest(conn, &self.asked)?;
        if to == Stage::NewOnly {
            refuse::close(conn, &self.mapping)?;
        }
        stage::set(conn, &self.mapping.name, to, cx.info(), cx.now())?;
        let note = format!(
            "{} is at stage {}: {rows} rows were compared, and writers waited {:.3} s {rest}; the way back takes \
             about {} (RTO), and loses 0 rows (RPO)",
            self.mapping.name,
            to.name(),
            began.elapsed().as_secs_f64(),
            rto::said(back)
        );
        Ok(Receipt::of(&Moved { to: self.to, rows })?.with_note(note))
    }

    fn back(&self, conn: &Connection, cx: &StepContext, report: &Report, begun: Instant) -> Result<(), StepError> {
        let waited = Instant::now();
        let (from, to) = (self.to.from(), self.to.stage());
        expect(conn, &self.mapping, to, from)?;
        self.rest(conn, &self.asked_back())?;
        if to == Stage::NewOnly {
            refuse::open(conn, &self.mapping)?;
        }
        stage::set(conn, &self.mapping.name, from, cx.info(), cx.now())?;
        cx.note(&format!(
            "{} is back at stage {} in {:.3} s (RTO), with 0 of {} rows lost (RPO); writers waited {:.3} s",
            self.mapping.name,
            from.name(),
            begun.elapsed().as_secs_f64(),
            report.rows,
            waited.elapsed().as_secs_f64()
        ));
        report.notes.iter().for_each(|note| cx.note(note));
        Ok(())
    }

    /// Refuses where the mapping is not at the stage from which it moves on, before anything is done.
    async fn expect(&self, cx: &StepContext, from: Stage, to: Stage) -> Result<(), StepError> {
        let mapping = self.mapping.clone();
        cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| expect(conn, &mapping, from, to)).await
    }
}

/// What a move of the stage says that it alters.
pub(crate) fn stage_of(mapping: &Mapping) -> String {
    format!("stage of {}", mapping.name)
}

/// Refuses where the mapping is not at the stage from which it moves on.
pub(crate) fn expect(conn: &Connection, mapping: &Mapping, from: Stage, to: Stage) -> Result<(), StepError> {
    let found = stage::read(conn, &mapping.name)?;
    if found == from {
        return Ok(());
    }
    Err(StepError::conflict(format!(
        "mapping `{}` is at stage {}, and moves to {} only from {}",
        mapping.name,
        found.name(),
        to.name(),
        from.name()
    ))
    .with_help("apply or roll back the steps between these stages first; `status` shows where each mapping is"))
}

#[async_trait]
impl MigrationStep for Cutover {
    fn describe(&self) -> Vec<Change> {
        let (from, to) = (self.to.from().name(), self.to.stage().name());
        let mut lines =
            vec![Change::new(Action::Alter, stage_of(&self.mapping)).with_detail(format!("{from} to {to}"))];
        if self.to == To::NewOnly {
            let closed = |pair: &crate::mapping::Pair| {
                Change::new(Action::Alter, format!("table {}", pair.old)).with_detail("refuses writes")
            };
            lines.extend(self.mapping.pairs.iter().map(closed));
        }
        lines
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let (name, to) = (self.mapping.name.clone(), self.to.stage());
        let found = cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| stage::read(conn, &name)).await;
        match found {
            Ok(stage) if stage >= to => Ok(Standing::Applied),
            Ok(_) => Ok(Standing::Pending),
            Err(e) => done::conflict_standing(e),
        }
    }

    /// Later scripts meet the old tables closed.
    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let this = self.clone();
        let closed = move |conn: &Connection| match this.to {
            To::PreferNew => Ok(()),
            To::NewOnly => refuse::close_for_all(conn, &this.mapping),
        };
        cx.target::<SqliteTarget>(&self.target)?.tried(cx, closed).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        self.expect(cx, self.to.from(), self.to.stage()).await?;
        let begun = Instant::now();
        let Some(report) = self.settle(cx, &target, &self.asked).await? else {
            return Ok(Applied::Stopped(Checkpoint { at: "the comparison begins anew".to_owned() }));
        };
        // The way back compares as much.
        let back = begun.elapsed();
        if let Err(error) = rto::within(&self.mapping, back, self.rto) {
            tidy(cx, &target, &self.mapping).await?;
            return Err(error);
        }
        let step = self.clone();
        target.before_change(cx, move |conn| step.compile(conn, &step.asked)).await;
        let (step, inner) = (self.clone(), cx.clone());
        let moved =
            target.change(cx, move |conn| step.forth(conn, &inner, report.rows, back)).await.map(Applied::Changed);
        if moved.is_err() {
            tidy(cx, &target, &self.mapping).await?;
        }
        moved
    }

    /// A later step may have moved it on.
    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let step = self.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let (found, to) = (stage::read(conn, &step.mapping.name)?, step.to.stage());
                if found < to {
                    let line =
                        format!("stage of {}: expected {}, found {}", step.mapping.name, to.name(), found.name());
                    return Ok(Verdict::Broken(vec![line]));
                }
                let closed = step.to == To::NewOnly && found == Stage::NewOnly;
                Ok(done::verdict(if closed { refuse::differences(conn, &step.mapping)? } else { Vec::new() }))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if target.to_undo(cx, receipt).await?.is_none() || !target.has_traces(cx).await? {
            return tidy(cx, &target, &self.mapping).await;
        }
        let begun = Instant::now();
        self.expect(cx, self.to.stage(), self.to.from()).await?;
        let Some(report) = self.settle(cx, &target, &self.asked_back()).await? else {
            return Err(StepError::failed("the comparison was stopped").with_help("run the same command again"));
        };
        let step = self.clone();
        target.before_reversal(cx, move |conn| step.compile(conn, &step.asked_back())).await;
        let (step, inner) = (self.clone(), cx.clone());
        target.reverse(cx, move |conn| step.back(conn, &inner, &report, begun)).await
    }
}

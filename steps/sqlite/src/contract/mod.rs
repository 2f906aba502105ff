//! The step kind `sqlite.contract`: the old tables of a mapping go, and can come back.
//!
//! Owns the step: nothing is dropped before both schemas show the same and a snapshot of the database is there. The work of
//! either way is done in batches while programs write, and what they wrote meanwhile is done again in the transaction that
//! moves the stage: writers wait for that alone. The way there (`forth`) keeps aside what the new tables do not hold (`raw`)
//! and drops the old ones; the way back (`back`) makes them anew, word by word, from the new ones and from what was kept
//! (`rebuild`): what was written since is in them too. Rows in quarantine come last (`held`).

use std::time::Duration;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, Lint, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

mod back;
mod copy;
mod forth;
mod held;
mod portion;
pub(crate) mod raw;
mod rebuild;
mod schema;
mod view;

use crate::SqliteTarget;
use crate::cutover::{rto, stage_of};
use crate::declared;
use crate::done;
use crate::lint;
use crate::mapping::stage::{self, Stage};
use crate::mapping::{Mapping, Pair};
use crate::parity::{Asked, comparing};
use schema::{Seen, Taken};

/// Rows that a way back makes anew in a second, at most: several times what was measured on two cores for rows of 200 bytes.
const ROWS_A_SECOND: f64 = 100_000.0;

/// The way back is said to take so many times as long as the way there: measured, 1.1 to 1.5 times for rows of 100 to 3,000 bytes.
const WAYS_THERE: u32 = 2;

/// The least that the way back of so many rows takes.
fn least_time_back(rows: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = rows as f64 / ROWS_A_SECOND;
    Duration::from_secs_f64(seconds)
}

/// Drops the old tables.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    target: String,
    mapping: Mapping,
    asked: Asked,
    rto: Duration,
}

comparing! {
    /// Configuration of `sqlite.contract`.
    ContractConfig {
        /// How long the way back may take, at most ("5m"): where it would take longer, nothing is moved.
        #[serde(default = "crate::cutover::rto::usual")]
        rto: String,
    }
}

/// What apply took away.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Gone {
    taken: Taken,
    rows: u64,
}

register_step!(Contract);

/// Where the way there passes.
const FORTH: &[&str] = &[
    fault::SQLITE_COMMIT,
    fault::SQLITE_COMMITTED,
    fault::PARITY_LOOKED,
    fault::SQLITE_CHANGE_BEGUN,
    fault::SQLITE_CHANGE_MADE,
    fault::SQLITE_CHANGE_RECORDED,
];

/// Where the way back passes.
const BACK: &[&str] = &[
    fault::SQLITE_COMMIT,
    fault::SQLITE_COMMITTED,
    fault::SQLITE_REVERSE_BEGUN,
    fault::SQLITE_REVERSE_MADE,
    fault::SQLITE_REVERSE_RECORDED,
];

impl StepKind for Contract {
    const KIND: &'static str = "sqlite.contract";
    const SUMMARY: &'static str = "drop the old tables of a mapping, so that a rollback can make them anew";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"drop-old-tables\"\nuse = \"sqlite.contract\"\ntarget = \"app\"\n\
        with = { mapping = \"mapping.toml\" }\n";
    const FAULTS: Faults = Faults { apply: FORTH, rollback: BACK };
    const LINTS: &'static [Lint] = &[lint::FAILS];
    const TUNING: &'static [&'static str] = &["rto"];
    type Config = ContractConfig;

    fn build(config: ContractConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let rto = rto::allowance(&config.rto)?;
        let (mapping, asked) = config.asked(cx, true)?;
        Ok(Self { target, mapping, asked, rto })
    }
}

#[async_trait]
impl MigrationStep for Contract {
    fn describe(&self) -> Vec<Change> {
        let gone = |pair: &Pair| {
            Change::new(Action::Remove, format!("table {}", pair.old))
                .with_detail(format!("its rows are in {}", pair.new))
        };
        let kept = |pair: &Pair| {
            Change::new(Action::Create, format!("what is kept of table {}", pair.old))
                .with_detail(format!("values that {} does not give back: the file grows by them", pair.new))
        };
        let stage = Change::new(Action::Alter, stage_of(&self.mapping));
        let kept = self.mapping.pairs.iter().map(kept);
        self.mapping.pairs.iter().map(gone).chain(kept).chain([stage.with_detail("new-only to contracted")]).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let name = self.mapping.name.clone();
        let found = cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| stage::read(conn, &name)).await;
        match found {
            Ok(Stage::Contracted | Stage::Retired) => Ok(Standing::Applied),
            Ok(_) => Ok(copy::missing(cx, &self.target, &self.mapping).map_or(Standing::Pending, Standing::Conflict)),
            Err(e) => done::conflict_standing(e),
        }
    }

    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let this = self.clone();
        let gone = move |conn: &Connection| Seen::of(conn, &this.mapping)?.take(conn, &this.mapping).map(drop);
        cx.target::<SqliteTarget>(&self.target)?.tried(cx, gone).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let copy = copy::proven(cx, &self.target, &self.mapping).await?;
        self.forth(cx, &target, copy).await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let step = self.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let mut lines = Vec::new();
                let found = stage::read(conn, &step.mapping.name)?;
                if found < Stage::Contracted {
                    lines.push(format!("stage of {}: expected contracted, found {}", step.mapping.name, found.name()));
                }
                for pair in &step.mapping.pairs {
                    // A view of that name is for programs that still read it.
                    if declared::object(conn, &pair.old)?.is_some_and(|found| found.kind == "table") {
                        lines.push(format!("table {}: there", pair.old));
                    }
                    if declared::object(conn, &pair.new)?.is_none() {
                        lines.push(format!("table {}: missing", pair.new));
                    }
                    let kept = declared::object(conn, &crate::mapping::names::raw(&pair.name))?.is_some();
                    if !kept && found == Stage::Contracted {
                        lines.push(format!("what was kept of table {}: missing", pair.old));
                    }
                }
                Ok(done::verdict(lines))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        match target.to_undo(cx, receipt).await? {
            Some(receipt) if target.has_traces(cx).await? => self.back(cx, &target, done::body(&receipt)?).await,
            _ => self.tidy(cx, &target).await,
        }
    }
}

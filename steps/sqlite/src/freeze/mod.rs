//! The step kinds `sqlite.freeze` and `sqlite.thaw`: nobody else writes from the one to the other, and everybody reads.
//!
//! Owns what each is asked to do and what it waits for. What a freeze is made of is the target's (`target/frozen`), as
//! is who renews its lease.

mod thaw;

use std::time::{Duration, Instant};

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Finding, Layer, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepErrorKind, StepKind, Target as _, Use, Verdict, async_trait, duration, fault::Faults,
    register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SqliteTarget;
use crate::done;
use crate::target::frozen;

/// Between two looks at the operator's wishes while it waits for a writer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Keeps others from writing.
#[derive(Debug, Clone)]
pub(crate) struct FreezeStep {
    target: String,
    lease: Duration,
    wait: Duration,
    leave: Vec<String>,
}

/// Configuration of `sqlite.freeze`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreezeConfig {
    /// How long the freeze outlives the run: it is renewed as long as the run works, and ends by itself this long after a
    /// run that died ("5s" or more).
    #[serde(default = "thirty")]
    lease: String,
    /// How long it waits for transactions of others that are under way.
    #[serde(default = "thirty")]
    wait: String,
    /// Virtual tables (full text, R-trees) that nobody writes but by the triggers of a plain table. They can have no
    /// triggers of their own, so a freeze refuses any that is not named here.
    #[serde(default)]
    leave: Vec<String>,
}

fn thirty() -> String {
    "30s".to_owned()
}

/// What apply made: the freeze itself is in the database.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Frozen {
    tables: usize,
}

register_step!(FreezeStep);

impl StepKind for FreezeStep {
    const KIND: &'static str = "sqlite.freeze";
    const SUMMARY: &'static str = "keep everybody else from writing until the thaw; reading goes on";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"freeze-tier1\"\nuse = \"sqlite.freeze\"\ntarget = \"tier1\"\n\
        with = { lease = \"30s\", wait = \"30s\" }\n";
    const TUNING: &'static [&'static str] = &["lease", "wait"];
    /// A run that goes back finds the freeze over (its own, or that of the run before): only a run that fails between
    /// freeze and thaw undoes it.
    const FAULTS: Faults = Faults { rollback: &[], ..crate::target::CHANGED };
    type Config = FreezeConfig;

    fn build(config: FreezeConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let lease = time("lease", &config.lease)?;
        if lease < Duration::from_secs(5) {
            return Err(BuildError::at("lease", format!("`{}` is too short to be renewed in time", config.lease))
                .with_help("write \"5s\" or more"));
        }
        Ok(Self { target: cx.target_of("sqlite")?, lease, wait: time("wait", &config.wait)?, leave: config.leave })
    }
}

fn time(field: &str, text: &str) -> Result<Duration, BuildError> {
    duration::parse(text).ok_or_else(|| {
        BuildError::at(field, format!("`{text}` is no duration"))
            .with_help("write a whole number and a unit: \"500ms\", \"60s\", \"5m\" or \"2h\"")
    })
}

impl FreezeStep {
    /// One try; the receipt says how many tables others cannot write.
    async fn freeze(&self, cx: &StepContext, target: &SqliteTarget, patience: Duration) -> Result<Receipt, StepError> {
        let (ledger, step, lease, leave) =
            (target.ledger_name().to_owned(), cx.info().clone(), self.lease, self.leave.clone());
        let now = cx.now().as_millisecond();
        target
            .change_within(cx, patience, move |conn| {
                if let Some(other) = frozen::read(conn)? {
                    return Err(StepError::conflict(format!("step `{}` has frozen it already", other.step))
                        .with_help("one freeze of a database at a time: thaw it first, or leave this step out"));
                }
                if let Some(text) = open_to_others(&frozen::virtual_tables(conn, &ledger, &leave)?) {
                    return Err(StepError::conflict(text).with_help(LEAVE));
                }
                frozen::install(conn, &ledger, &step, lease, now)?;
                let tables = frozen::covered(conn)?;
                Ok(Receipt::of(&Frozen { tables })?
                    .with_note(format!("nobody else writes: {tables} tables are frozen, for reading all are open")))
            })
            .await
    }
}

const LEAVE: &str = "name it in `leave` if only triggers of plain tables write it; else stop the programs that do";

fn open_to_others(tables: &[String]) -> Option<String> {
    if tables.is_empty() {
        return None;
    }
    let names: Vec<String> = tables.iter().map(|name| format!("`{name}`")).collect();
    Some(format!("virtual tables cannot be frozen: {}", names.join(", ")))
}

#[async_trait]
impl MigrationStep for FreezeStep {
    fn describe(&self) -> Vec<Change> {
        vec![
            Change::new(Action::Alter, "every table, for everybody else")
                .with_detail(format!("read-only until the thaw, or {}s after this run", self.lease.as_secs())),
        ]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    /// It makes no structure that later scripts see.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (ledger, leave, step) = (target.ledger_name().to_owned(), self.leave.clone(), cx.info().clone());
        target
            .read(cx, move |conn| {
                if let Some(text) = open_to_others(&frozen::virtual_tables(conn, &ledger, &leave)?) {
                    return Ok(Standing::Conflict(format!("{text}; {LEAVE}")));
                }
                let holds = frozen::read(conn)?.is_some_and(|f| f.holds && f.plan == step.plan && f.step == step.id);
                Ok(if holds { Standing::Applied } else { Standing::Pending })
            })
            .await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let there = target.read(cx, frozen::read).await?;
        if there.is_some_and(|f| f.is_of(cx.info()) && f.step == cx.info().id)
            && let Some(receipt) = target.done(cx).await?
        {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let begun = Instant::now();
        let mut told = false;
        loop {
            let left = self.wait.saturating_sub(begun.elapsed());
            let busy = match self.freeze(cx, &target, PATIENCE.min(left)).await {
                Err(error) if error.kind() == StepErrorKind::Busy => error,
                other => return other.map(Applied::Changed),
            };
            if cx.stop_requested() {
                return Ok(Applied::Stopped(Checkpoint { at: "waiting for a writer, nothing is frozen".to_owned() }));
            }
            if begun.elapsed() >= self.wait {
                let path = target.path().display();
                let text =
                    format!("a transaction of another program on `{path}` did not end in time: it is not frozen");
                return Err(StepError::new(StepErrorKind::Busy, text)
                    .with_help("end that transaction, or give it longer (`wait`), then run the same command again")
                    .caused_by(busy));
            }
            if !std::mem::replace(&mut told, true) {
                cx.note("waits for a transaction of another program");
            }
        }
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (ledger, step) = (target.ledger_name().to_owned(), cx.info().clone());
        target
            .read(cx, move |conn| {
                let Some(freeze) = frozen::read(conn)?.filter(|f| f.plan == step.plan && f.step == step.id) else {
                    return Ok(Verdict::Broken(vec!["it is not frozen".to_owned()]));
                };
                let mut lines = Vec::new();
                if !freeze.holds {
                    lines.push("the lease of the freeze is over: others may write".to_owned());
                }
                let open = frozen::uncovered(conn, &ledger)?;
                lines.extend(open.iter().map(|table| format!("table {table} is not frozen")));
                Ok(done::verdict(lines))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        cx.target::<SqliteTarget>(&self.target)?.reverse(cx, frozen::remove).await
    }
}

//! The step kind `sqlite.thaw`: everybody may write again.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepInfo, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::SqliteTarget;
use crate::target::{bookkeeping, frozen};

/// Lifts a freeze.
#[derive(Debug, Clone)]
pub(crate) struct Thaw {
    target: String,
    freeze: String,
}

/// Configuration of `sqlite.thaw`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThawConfig {
    /// The id of the `sqlite.freeze` step whose freeze it lifts.
    freeze: String,
}

register_step!(Thaw);

impl StepKind for Thaw {
    const KIND: &'static str = "sqlite.thaw";
    const SUMMARY: &'static str = "let everybody write again, and say how long they could not";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"freeze-tier1\"\nuse = \"sqlite.freeze\"\ntarget = \"tier1\"\n\n[[phase.step]]\n\
        id = \"thaw-tier1\"\nuse = \"sqlite.thaw\"\ntarget = \"tier1\"\nwith = { freeze = \"freeze-tier1\" }\n";
    const FAULTS: Faults = crate::target::CHANGED;
    type Config = ThawConfig;

    fn build(config: ThawConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        Ok(Self { target: cx.target_of("sqlite")?, freeze: config.freeze })
    }
}

#[async_trait]
impl MigrationStep for Thaw {
    fn describe(&self) -> Vec<Change> {
        vec![Change::new(Action::Alter, "every table, for everybody else").with_detail("writable again")]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    fn supersedes(&self) -> Vec<String> {
        vec![self.freeze.clone()]
    }

    /// It makes no structure that later scripts see.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let frozen = target.read(cx, frozen::read).await?.is_some();
        Ok(match target.recorded(cx).await?.is_some_and(|row| row.success) {
            true if frozen => Standing::Partial("it is frozen again".to_owned()),
            true => Standing::Applied,
            false if frozen => Standing::Pending,
            // It may never have been frozen.
            false => Standing::Unknown,
        })
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if target.read(cx, frozen::read).await?.is_none()
            && let Some(receipt) = target.done(cx).await?
        {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let now = cx.now().as_millisecond();
        target.change(cx, move |conn| lift(conn, now)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        Ok(match target.read(cx, frozen::read).await? {
            Some(freeze) => Verdict::Broken(vec![format!("step {} has it frozen", freeze.step)]),
            None => Verdict::Holds,
        })
    }

    /// Nobody is frozen out for the sake of the way back. The freeze is over, and so it is forgotten: the next apply
    /// makes it anew before anything that comes after it.
    async fn rollback(&self, cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let ledger = target.ledger_name().to_owned();
        let freeze = StepInfo { plan: cx.info().plan.clone(), id: self.freeze.clone(), ..StepInfo::default() };
        target.reverse(cx, move |conn| bookkeeping::erase(conn, &ledger, &freeze).map(drop)).await
    }
}

fn lift(conn: &Connection, now: i64) -> Result<Receipt, StepError> {
    let Some(freeze) = frozen::read(conn)? else {
        return Ok(Receipt::nothing().with_note("it was not frozen any more"));
    };
    frozen::remove(conn)?;
    let tenths = now.saturating_sub(freeze.began).max(0) / 100;
    let mut receipt =
        Receipt::nothing().with_note(format!("nobody else could write for {}.{} s", tenths / 10, tenths % 10));
    if freeze.lapses > 0 {
        receipt = receipt.with_note(format!(
            "the lease was over {} times before it could be renewed: others may have written then",
            freeze.lapses
        ));
    }
    if freeze.passed > 0 {
        receipt = receipt.with_note(
            "somebody else committed in that time: DDL, a virtual table or blob I/O passes triggers".to_owned(),
        );
    }
    Ok(receipt)
}

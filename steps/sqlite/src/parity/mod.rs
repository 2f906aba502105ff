//! The step kind `sqlite.parity`: both schemas of a mapping show the same rows, or the step fails with those that differ.
//!
//! Owns the step. What is compared is `sides`' business, how it is compared `compare`'s, what else is asked `report`'s,
//! which `sqlite.cutover` and `sqlite.contract` ask too. Never writes, not even a ledger row.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Layer, MigrationStep, Receipt, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};

pub(crate) mod columns;
mod compare;
pub(crate) mod config;
mod groups;
pub(crate) mod log;
mod part;
pub(crate) mod quarantine;
mod ranges;
mod report;
mod settle;
pub(crate) mod sides;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use compare::differing;
pub(crate) use config::comparing;
pub(crate) use part::Part;
pub(crate) use ranges::Range;
pub(crate) use report::{Asked, Report, parity, rest};
pub(crate) use settle::{ROUNDS, forget, logged, settle, tidy};
pub(crate) use sides::{Sides, names};

use crate::SqliteTarget;
use crate::done;
use crate::mapping::Mapping;
use crate::watched::watched;

/// Compares both schemas.
#[derive(Debug, Clone)]
pub(crate) struct Parity {
    target: String,
    mapping: Mapping,
    asked: Asked,
}

comparing! {
    /// Configuration of `sqlite.parity`.
    ParityConfig {}
}

register_step!(Parity);

impl StepKind for Parity {
    const KIND: &'static str = "sqlite.parity";
    const SUMMARY: &'static str = "compare old and new tables of a mapping row by row, without writing";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"same-rows\"\nuse = \"sqlite.parity\"\ntarget = \"app\"\n\
        with = { mapping = \"mapping.toml\" }\n";
    const FAULTS: Faults = Faults { apply: &[fault::PARITY_LOOKED], rollback: &[] };
    type Config = ParityConfig;

    fn build(config: ParityConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let (mapping, asked) = config.asked(cx, false)?;
        Ok(Self { target, mapping, asked })
    }
}

impl Parity {
    /// None: a stop cut it short.
    async fn look(&self, cx: &StepContext) -> Result<Option<Report>, StepError> {
        let (mapping, asked, inner) = (self.mapping.clone(), self.asked.clone(), cx.clone());
        cx.target::<SqliteTarget>(&self.target)?
            .read_moment(cx, move |conn| {
                let progress = |done: u64, all: u64| inner.progress(done, Some(all), "rows");
                watched(&inner, conn, |_| parity(conn, &mapping, &asked, &progress))
            })
            .await
    }
}

#[async_trait]
impl MigrationStep for Parity {
    fn describe(&self) -> Vec<Change> {
        let line = |pair: &crate::mapping::Pair| {
            Change::new(Action::Check, format!("rows of {} and {}", pair.old, pair.new))
                .with_detail(format!("the same by {}", pair.name))
        };
        self.mapping.pairs.iter().map(line).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::read(&self.target)]
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let Some(report) = self.look(cx).await? else {
            return Ok(Applied::Stopped(Checkpoint { at: "the comparison begins anew".to_owned() }));
        };
        fault::point(fault::PARITY_LOOKED);
        match report.error("the old and the new tables do not show the same") {
            Some(error) => Err(error),
            None => Ok(Applied::Changed(Receipt { notes: report.notes, ..Receipt::nothing() })),
        }
    }

    /// Programs write meanwhile, and a later step may take the old tables away: then there is nothing to compare.
    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let name = self.mapping.name.clone();
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let stage = target.read(cx, move |conn| crate::mapping::stage::read(conn, &name)).await?;
        if stage >= crate::mapping::stage::Stage::Contracted {
            return Ok(Verdict::Holds);
        }
        match self.look(cx).await? {
            Some(report) => Ok(done::verdict(report.failures)),
            None => Err(StepError::failed("the comparison was stopped").with_help("run the same command again")),
        }
    }

    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

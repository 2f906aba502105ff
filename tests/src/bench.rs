//! A plan's steps and targets, usable by hand.
//!
//! Owns [`Bench`]: one plan over one root, with its targets. Knows no order, no journal and no locks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::plan::{Condition, Plan, PlanStep};
use cutover_core::{
    Applied, Depth, Fingerprint, Host, Receipt, Standing, StepContext, StepError, StepInfo, Target, Targets, Verdict,
};
use pollster::block_on;

use crate::TestHost;

/// A compiled plan whose targets are open over one root.
#[derive(Debug)]
pub struct Bench {
    plan: Arc<Plan>,
    targets: Arc<Targets>,
    host: Arc<TestHost>,
    root: PathBuf,
    plan_dir: PathBuf,
    epoch: u64,
}

impl Bench {
    pub(crate) fn of(
        plan: Plan,
        targets: Arc<Targets>,
        host: Arc<TestHost>,
        root: PathBuf,
        plan_dir: PathBuf,
        epoch: u64,
    ) -> Self {
        Self { plan: Arc::new(plan), targets, host, root, plan_dir, epoch }
    }

    /// The compiled plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The services that its steps get.
    pub fn host(&self) -> &Arc<TestHost> {
        &self.host
    }

    /// The folder that holds the system.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The state folder: `.cutover` in the root. Nothing makes it but a step that needs it.
    pub fn state(&self) -> PathBuf {
        self.root.join(".cutover")
    }

    /// The step of that id.
    #[track_caller]
    pub fn step(&self, id: &str) -> &PlanStep {
        self.plan.step(id).unwrap_or_else(|| panic!("the plan `{}` has no step `{id}`", self.plan.name))
    }

    /// The open target of that name.
    #[track_caller]
    pub fn target(&self, name: &str) -> Arc<dyn Target> {
        let Some(target) = self.targets.get(name) else {
            panic!("the plan `{}` has no target `{name}`", self.plan.name)
        };
        Arc::clone(target)
    }

    /// A context for the step, which knows of the intent that its host recorded for it.
    #[track_caller]
    pub fn cx(&self, id: &str) -> StepContext {
        let step = self.step(id);
        self.context(StepInfo {
            id: id.to_owned(),
            kind: step.kind.clone(),
            digest: step.digest.clone(),
            checksum: step.checksum.clone(),
            intent: self.host.intent(id),
            ..StepInfo::default()
        })
    }

    /// A context for work on targets that is no step's.
    pub fn plan_cx(&self) -> StepContext {
        self.context(StepInfo::default())
    }

    fn context(&self, step: StepInfo) -> StepContext {
        let info =
            StepInfo { plan: self.plan.name.clone(), run: format!("run-{}", self.epoch), epoch: self.epoch, ..step };
        StepContext::new(
            info,
            Arc::clone(&self.host) as Arc<dyn Host>,
            Arc::clone(&self.targets),
            self.root.clone(),
            self.plan_dir.clone(),
            self.state(),
            Arc::new(self.plan.vars.clone()),
        )
        .with_plan(Arc::clone(&self.plan))
    }

    /// Where the world stands with regard to the step.
    #[track_caller]
    pub fn inspect(&self, id: &str) -> Result<Standing, StepError> {
        block_on(self.step(id).step.inspect(&self.cx(id)))
    }

    /// Applies the step and records its receipt.
    #[track_caller]
    pub fn apply(&self, id: &str) -> Result<Applied, StepError> {
        let applied = block_on(self.step(id).step.apply(&self.cx(id)))?;
        if let Applied::Changed(receipt) | Applied::AlreadyApplied(receipt) = &applied {
            self.host.record(id, receipt);
        }
        Ok(applied)
    }

    /// Verifies the step.
    #[track_caller]
    pub fn verify(&self, id: &str) -> Result<Verdict, StepError> {
        block_on(self.step(id).step.verify(&self.cx(id)))
    }

    /// Rolls the step back with this receipt, and forgets what its host recorded of it.
    #[track_caller]
    pub fn rollback(&self, id: &str, receipt: Option<&Receipt>) -> Result<(), StepError> {
        block_on(self.step(id).step.rollback(&self.cx(id), receipt))?;
        self.host.forget(id);
        Ok(())
    }

    /// Whether the condition holds on the targets as they are. A step without one always applies.
    pub fn holds(&self, condition: Option<&Condition>) -> Result<bool, StepError> {
        let Some(condition) = condition else { return Ok(true) };
        let (target, cx) = (self.target(&condition.target), self.plan_cx());
        for (facts, wanted) in [(&condition.has, true), (&condition.lacks, false)] {
            for fact in facts {
                if block_on(target.holds(&cx, fact))? != wanted {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The content fingerprint of every target, by name.
    pub fn fingerprints(&self) -> Result<BTreeMap<String, Fingerprint>, StepError> {
        let cx = self.plan_cx();
        let print = |(name, target): (&String, &Arc<dyn Target>)| {
            block_on(target.fingerprint(&cx, Depth::Content)).map(|print| (name.clone(), print))
        };
        self.targets.iter().map(print).collect()
    }

    /// Closes every target and gives back the host, for the next bench over the same root.
    pub fn close(self) -> Result<Arc<TestHost>, StepError> {
        let cx = self.plan_cx();
        for target in self.targets.values() {
            block_on(target.close(&cx))?;
        }
        Ok(self.host)
    }
}

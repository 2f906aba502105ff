//! What a step gets from whoever runs it: typed targets, a place for blocking work, progress, stop, clock.
//!
//! Owns [`StepContext`] (a cheap handle that closures may keep) and [`Host`], the one trait that a runner or a
//! test implements. Knows no runtime.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::journal::{Approval, Observed, Window};
use crate::plan::{Plan, StepOutline};
use crate::{Receipt, Reversal, StepError, Target, closest};

/// The open targets of a plan, by name.
pub type Targets = BTreeMap<String, Arc<dyn Target>>;

/// The services that a runner lends to steps and targets.
#[async_trait]
pub trait Host: fmt::Debug + Send + Sync {
    /// Runs `work` where blocking is allowed, and returns when it is done.
    async fn blocking(&self, work: Box<dyn FnOnce() + Send>);

    /// The clock.
    fn now(&self) -> Timestamp;

    /// Shows how far a step has come.
    fn progress(&self, step: &str, progress: Progress);

    /// Shows a line for people.
    fn note(&self, step: &str, text: &str);

    /// Makes an intent durable before the step writes. A store without transactions needs it.
    async fn intend(&self, cx: &StepContext, receipt: &Receipt) -> Result<(), StepError>;

    /// The receipt of an applied step of the same plan (a baseline taken by an earlier step, say).
    async fn receipt_of(&self, plan: &str, step: &str) -> Result<Option<Receipt>, StepError>;

    /// Makes what a gate observed durable.
    async fn observe(&self, cx: &StepContext, observed: Observed) -> Result<(), StepError>;

    /// What the context's step, a gate, has observed since it began, or began again after a failure.
    async fn window_of(&self, cx: &StepContext) -> Result<Option<Window>, StepError>;

    /// What a person said last of the context's step, whatever the plan was then.
    async fn approval_of(&self, cx: &StepContext) -> Result<Option<Approval>, StepError>;

    /// Whether a stop was requested (Ctrl-C).
    fn stop_requested(&self) -> bool;

    /// Whether a stop was requested again: what cannot stop by itself is broken off, if that undoes it.
    fn stop_insisted(&self) -> bool {
        false
    }

    /// `text` with every secret masked.
    fn mask(&self, text: &str) -> String;
}

/// How far a step has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
    /// "rows", "bytes".
    pub unit: String,
}

/// Which step of which run a context is about.
#[derive(Debug, Clone, Default)]
pub struct StepInfo {
    /// The plan's name.
    pub plan: String,
    /// The step's id.
    pub id: String,
    /// The step's registered kind.
    pub kind: String,
    /// The run's id.
    pub run: String,
    /// The run's epoch: higher than that of every run before.
    pub epoch: u64,
    /// Token-wise digest of the step.
    pub digest: String,
    /// SHA-256 (hex) of the step's script or configuration.
    pub checksum: String,
    /// The run is on a copy of the system.
    pub rehearsal: bool,
    /// What an interrupted earlier try of this step intended, if it said so.
    pub intent: Option<Receipt>,
}

#[derive(Debug, Clone)]
struct Inner {
    info: StepInfo,
    host: Arc<dyn Host>,
    targets: Arc<Targets>,
    root: PathBuf,
    plan_dir: PathBuf,
    state: PathBuf,
    vars: Arc<BTreeMap<String, Value>>,
    plan: Option<Arc<Plan>>,
}

/// The handle through which a step reaches the world. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct StepContext(Arc<Inner>);

impl StepContext {
    /// A context for one step. Runners and testkits make these; steps only use them.
    pub fn new(
        info: StepInfo,
        host: Arc<dyn Host>,
        targets: Arc<Targets>,
        root: PathBuf,
        plan_dir: PathBuf,
        state: PathBuf,
        vars: Arc<BTreeMap<String, Value>>,
    ) -> Self {
        Self(Arc::new(Inner { info, host, targets, root, plan_dir, state, vars, plan: None }))
    }

    /// The same surroundings for another step.
    #[must_use]
    pub fn for_step(&self, info: StepInfo) -> Self {
        let info = StepInfo { rehearsal: self.0.info.rehearsal, ..info };
        Self(Arc::new(Inner { info, ..Inner::clone(&self.0) }))
    }

    /// The same context inside a plan, for [`outline`](Self::outline).
    #[must_use]
    pub fn with_plan(self, plan: Arc<Plan>) -> Self {
        Self(Arc::new(Inner { plan: Some(plan), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The same context with other variables: a rollback binds those of the apply.
    #[must_use]
    pub fn with_vars(self, vars: BTreeMap<String, Value>) -> Self {
        Self(Arc::new(Inner { vars: Arc::new(vars), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Which step of which run this is.
    pub fn info(&self) -> &StepInfo {
        &self.0.info
    }

    /// The folder that holds the system being migrated.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// The plan's folder. Files are read through [`BuildContext`](crate::BuildContext), so that they are digested.
    pub fn plan_dir(&self) -> &Path {
        &self.0.plan_dir
    }

    /// A folder of this step's own inside state, for work that must outlive a crash. Not created here.
    pub fn scratch_dir(&self) -> PathBuf {
        self.0.state.join("steps").join(&self.0.info.plan).join(&self.0.info.id)
    }

    /// The file that a step locks while a program of its own runs, and that the program inherits, so that the lock lives
    /// as long as it does. A runner looks at these files when it opens: while one is locked, it decides nothing.
    pub fn running_file(&self) -> PathBuf {
        self.0.state.join("running").join(&self.0.info.plan).join(&self.0.info.id)
    }

    /// The state folder itself.
    pub fn state_dir(&self) -> &Path {
        &self.0.state
    }

    /// The plan's variables. SQL gets them bound as `:name`, never as text.
    pub fn vars(&self) -> &BTreeMap<String, Value> {
        &self.0.vars
    }

    /// Every step of the plan in plan order, as it describes itself; none where whoever runs the step gave no plan.
    pub fn outline(&self) -> Vec<StepOutline> {
        self.0.plan.as_ref().map(|plan| plan.outline()).unwrap_or_default()
    }

    /// Whether a step of the plan is undone by restoring `target`; true where whoever runs the step gave no plan.
    pub fn may_restore(&self, target: &str) -> bool {
        let restores = |step: &crate::plan::PlanStep| step.step.reversal() == Reversal::Restore(target.to_owned());
        self.0.plan.as_ref().is_none_or(|plan| plan.phases.iter().flat_map(|p| &p.steps).any(restores))
    }

    /// Every target of the plan.
    pub fn targets(&self) -> &Targets {
        &self.0.targets
    }

    /// The target `name`, of any kind.
    pub fn any_target(&self, name: &str) -> Result<Arc<dyn Target>, StepError> {
        self.0.targets.get(name).cloned().ok_or_else(|| {
            let error = StepError::internal(format!("the plan has no target `{name}`"));
            match closest(name, self.0.targets.keys().map(String::as_str)) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error,
            }
        })
    }

    /// The target `name` as its own type.
    pub fn target<T: Target>(&self, name: &str) -> Result<Arc<T>, StepError> {
        let target = self.any_target(name)?;
        let kind = target.kind();
        let any: Arc<dyn Any + Send + Sync> = target;
        any.downcast::<T>()
            .map_err(|_| StepError::internal(format!("target `{name}` is a `{kind}`, which this step cannot use")))
    }

    /// Runs blocking work and returns its result. The closure owns what it needs; clone the context into it.
    pub async fn blocking<T, F>(&self, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, StepError> + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let inside = Arc::clone(&slot);
        self.0
            .host
            .blocking(Box::new(move || {
                let result = work();
                if let Ok(mut slot) = inside.lock() {
                    *slot = Some(result);
                }
            }))
            .await;
        let result = slot.lock().ok().and_then(|mut slot| slot.take());
        result.unwrap_or_else(|| Err(StepError::internal("blocking work ended without a result (it panicked)")))
    }

    /// Shows how far the step has come.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        self.0.host.progress(&self.0.info.id, Progress { done, total, unit: unit.to_owned() });
    }

    /// Shows a line for people.
    pub fn note(&self, text: &str) {
        self.0.host.note(&self.0.info.id, text);
    }

    /// Makes `receipt` durable before the step writes: if the process dies, rollback gets it, and the next try
    /// finds it in [`StepInfo::intent`].
    pub async fn intend(&self, receipt: &Receipt) -> Result<(), StepError> {
        self.0.host.intend(self, receipt).await
    }

    /// The receipt of an applied step of the same plan: a baseline taken by an earlier step, say.
    pub async fn receipt_of(&self, step: &str) -> Result<Option<Receipt>, StepError> {
        self.0.host.receipt_of(&self.0.info.plan, step).await
    }

    /// Makes durable what this step, a gate, observed.
    pub async fn observe(&self, observed: Observed) -> Result<(), StepError> {
        self.0.host.observe(self, observed).await
    }

    /// Digest of the plan as it is now; none where whoever runs the step gave no plan.
    pub fn plan_digest(&self) -> Option<&str> {
        self.0.plan.as_ref().map(|plan| plan.digest.as_str())
    }

    /// What this step, a gate, has observed since it began, or began again after a failure.
    pub async fn window(&self) -> Result<Option<Window>, StepError> {
        self.0.host.window_of(self).await
    }

    /// What a person said last of this step, and whether they said it of the plan as it is now.
    pub async fn approval(&self) -> Result<Option<(Approval, bool)>, StepError> {
        let found = self.0.host.approval_of(self).await?;
        let now = self.plan_digest();
        Ok(found.map(|approval| {
            let holds = now.is_none_or(|digest| digest == approval.plan_digest);
            (approval, holds)
        }))
    }

    /// Whether the operator asked to stop; a long step then returns [`Applied::Stopped`](crate::Applied::Stopped).
    pub fn stop_requested(&self) -> bool {
        self.0.host.stop_requested()
    }

    /// Whether the operator asked again: a store breaks off what it runs, undoes it and returns
    /// [`Interrupted`](crate::StepErrorKind::Interrupted).
    pub fn stop_insisted(&self) -> bool {
        self.0.host.stop_insisted()
    }

    /// The clock.
    pub fn now(&self) -> Timestamp {
        self.0.host.now()
    }

    /// `text` with every secret masked.
    pub fn mask(&self, text: &str) -> String {
        self.0.host.mask(text)
    }
}

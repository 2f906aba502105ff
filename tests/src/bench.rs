//! A plan's steps and targets, usable by hand.
//!
//! Owns [`Fixture`] (plan text, its files, the kinds that are linked in) and [`Bench`] (that plan compiled, with its
//! targets over one root). Knows no order, no journal and no locks: those are the runner's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_core::plan::{CompileErrors, CompileInput, Condition, FolderFiles, Plan, PlanStep, compile};
use cutover_core::{
    Applied, ConfigSource, Depth, Fingerprint, Receipt, Registry, Standing, StepContext, StepError, StepInfo, Target,
    TargetSpec, Targets, Verdict,
};
use pollster::block_on;
use tempfile::TempDir;

use crate::TestHost;

/// A plan's text and files, and the kinds it may use.
#[derive(Debug)]
pub struct Fixture {
    text: String,
    folder: TempDir,
    registry: Registry,
    vars: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    epoch: AtomicU64,
}

impl Fixture {
    /// The plan of this text, with every kind that is linked into the test.
    #[track_caller]
    pub fn new(plan: impl Into<String>) -> Self {
        let registry = Registry::collect().unwrap_or_else(|e| panic!("{e}"));
        Self::with_registry(plan, registry)
    }

    /// The plan of this text, with the kinds of `registry`.
    pub fn with_registry(plan: impl Into<String>, registry: Registry) -> Self {
        let folder = TempDir::new().unwrap_or_else(|e| panic!("cannot make a temporary folder: {e}"));
        Self {
            text: plan.into(),
            folder,
            registry,
            vars: BTreeMap::new(),
            env: BTreeMap::new(),
            epoch: AtomicU64::new(0),
        }
    }

    /// Adds a file of the plan's folder.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let full = self.folder.path().join(path);
        let made = full.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&full, content));
        made.unwrap_or_else(|e| panic!("cannot write the plan's file {path}: {e}"));
        self
    }

    /// Sets a variable, as `--var` does.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets what `${env.NAME}` is.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The compiled plan, or what is wrong with it.
    pub fn try_compile(&self) -> Result<Plan, CompileErrors> {
        compile(CompileInput {
            file: "plan.toml",
            text: &self.text,
            files: &FolderFiles(self.folder.path().to_owned()),
            registry: &self.registry,
            vars: &self.vars,
            env: &|name| self.env.get(name).cloned(),
        })
    }

    /// The compiled plan.
    #[track_caller]
    pub fn compile(&self) -> Plan {
        self.try_compile().unwrap_or_else(|e| panic!("the plan does not compile:\n{e}"))
    }

    /// The paths, relative to the root, that a target of the plan claims.
    #[track_caller]
    pub fn claims(&self, spec: &TargetSpec) -> Vec<String> {
        let Some(kind) = self.registry.target(&spec.kind) else { panic!("no target kind `{}`", spec.kind) };
        (kind.claims)(ConfigSource::Json(&spec.config), spec).unwrap_or_else(|e| panic!("target `{}`: {e}", spec.name))
    }

    /// The plan over the system in `root`, as a new run (with an epoch above every one before) would open it.
    #[track_caller]
    pub fn open(&self, root: &Path) -> Bench {
        self.open_with(root, Arc::new(TestHost::new()))
    }

    /// The same with a host that was there before: what it recorded stays known, as a journal keeps it.
    #[track_caller]
    pub fn open_with(&self, root: &Path, host: Arc<TestHost>) -> Bench {
        let plan = self.compile();
        let root = root.canonicalize().unwrap_or_else(|e| panic!("no root {}: {e}", root.display()));
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        let mut targets = Targets::new();
        for (name, spec) in &plan.targets {
            let Some(kind) = self.registry.target(&spec.kind) else { panic!("no target kind `{}`", spec.kind) };
            let target = (kind.build)(ConfigSource::Json(&spec.config), spec, root.join(&spec.path));
            targets.insert(name.clone(), target.unwrap_or_else(|e| panic!("target `{name}`: {e}")));
        }
        for secret in &plan.secrets {
            host.add_secret(secret);
        }
        let plan_dir = self.folder.path().to_owned();
        Bench { plan, targets: Arc::new(targets), host, root, plan_dir, epoch }
    }
}

/// A compiled plan whose targets are open over one root.
#[derive(Debug)]
pub struct Bench {
    plan: Plan,
    targets: Arc<Targets>,
    host: Arc<TestHost>,
    root: PathBuf,
    plan_dir: PathBuf,
    epoch: u64,
}

impl Bench {
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
        let info = StepInfo {
            plan: self.plan.name.clone(),
            id: id.to_owned(),
            kind: step.kind.clone(),
            run: format!("run-{}", self.epoch),
            epoch: self.epoch,
            digest: step.digest.clone(),
            checksum: step.checksum.clone(),
            intent: self.host.intent(id),
        };
        StepContext::new(
            info,
            Arc::clone(&self.host) as Arc<dyn cutover_core::Host>,
            Arc::clone(&self.targets),
            self.root.clone(),
            self.plan_dir.clone(),
            self.state(),
            Arc::new(self.plan.vars.clone()),
        )
    }

    /// A context for work on targets that is no step's.
    pub fn plan_cx(&self) -> StepContext {
        let info = StepInfo {
            plan: self.plan.name.clone(),
            run: format!("run-{}", self.epoch),
            epoch: self.epoch,
            ..StepInfo::default()
        };
        StepContext::new(
            info,
            Arc::clone(&self.host) as Arc<dyn cutover_core::Host>,
            Arc::clone(&self.targets),
            self.root.clone(),
            self.plan_dir.clone(),
            self.state(),
            Arc::new(self.plan.vars.clone()),
        )
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

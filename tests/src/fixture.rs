//! A plan's text and files, and the kinds it may use.
//!
//! Owns [`Fixture`], which compiles the plan and opens it over a root. Knows no order, no journal and no locks: those
//! are the runner's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_core::plan::{CompileErrors, CompileInput, FolderFiles, Plan, compile, resolve_env};
use cutover_core::{ConfigSource, Registry, TargetSpec, Targets};
use tempfile::TempDir;

use crate::promised::with_snapshot;
use crate::{Bench, TestHost};

/// A plan's text and files, and the kinds it may use.
#[derive(Debug)]
pub struct Fixture {
    text: String,
    folder: TempDir,
    registry: Registry,
    vars: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    epoch: AtomicU64,
    ticking: bool,
}

impl Fixture {
    /// The plan of this text, with every kind that is linked into the test.
    #[track_caller]
    pub fn new(plan: impl Into<String>) -> Self {
        let registry = Registry::collect().unwrap_or_else(|e| panic!("{e}"));
        Self::with_registry(plan, &registry)
    }

    /// The plan of this text, with the kinds of `registry`. `testkit.snapshot` (with `targets = [...]`) is always among
    /// them: it stands for the snapshot that a step needs before it when it is undone by restoring its target.
    pub fn with_registry(plan: impl Into<String>, registry: &Registry) -> Self {
        let registry = with_snapshot(registry);
        let folder = TempDir::new().unwrap_or_else(|e| panic!("cannot make a temporary folder: {e}"));
        Self {
            text: plan.into(),
            folder,
            registry,
            vars: BTreeMap::new(),
            env: BTreeMap::new(),
            epoch: AtomicU64::new(0),
            ticking: false,
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

    /// The clock of its hosts ticks.
    #[must_use]
    pub fn ticking(self) -> Self {
        Self { ticking: true, ..self }
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
            files: &FolderFiles::new(self.folder.path().to_owned()),
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
            let config = resolve_env(&spec.config, &|name| self.env.get(name).cloned());
            let config = config.unwrap_or_else(|e| panic!("target `{name}`: {e}"));
            let target = (kind.build)(ConfigSource::Json(&config), spec, root.join(&spec.path));
            targets.insert(name.clone(), target.unwrap_or_else(|e| panic!("target `{name}`: {e}")));
        }
        if self.ticking {
            host.tick();
        }
        for secret in &plan.secrets {
            host.add_secret(secret);
        }
        Bench::of(plan, Arc::new(targets), host, root, self.folder.path().to_owned(), epoch)
    }
}

//! How step kinds and target kinds make themselves known, and how a step is built from its configuration.
//!
//! Owns the descriptors that `register_step!` and `register_target!` submit, the sorted [`Registry`] made of
//! them, and [`BuildContext`]. Knows nothing of TOML syntax: the compiler hands over a [`ConfigSource`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::plan::PlanFiles;
use crate::{MigrationStep, StepError, Target, closest};

/// Where in a system a step belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Databases, key-value stores, files.
    Storage,
    /// Programs that work on what is stored.
    Processors,
    /// The engine that runs processors.
    Engine,
    /// What connects the system to others.
    Integration,
}

impl Layer {
    /// All layers, lowest first.
    pub const ALL: &'static [Layer] = &[Layer::Storage, Layer::Processors, Layer::Engine, Layer::Integration];

    /// The name used in plans.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Storage => "storage",
            Layer::Processors => "processors",
            Layer::Engine => "engine",
            Layer::Integration => "integration",
        }
    }

    /// The layer of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|l| l.name() == name)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A step type with its persistent name and its typed configuration. Register it with [`register_step!`](crate::register_step).
pub trait StepKind: MigrationStep + Sized + 'static {
    /// The persistent name: "sqlite.script". Alias it, never rename it.
    const KIND: &'static str;
    /// Older names under which plans may still use it.
    const ALIASES: &'static [&'static str] = &[];
    /// One sentence for listings.
    const SUMMARY: &'static str;
    /// The layers it serves.
    const LAYERS: &'static [Layer] = Layer::ALL;
    /// A whole `[[phase.step]]` table in TOML, without the header line; it must compile.
    const EXAMPLE: &'static str;
    /// Fields of the configuration that only tune (batch, timeout, window) and are not part of the digest.
    const TUNING: &'static [&'static str] = &[];
    /// The `with` table. Use `#[serde(deny_unknown_fields)]`; field docs become the user's documentation.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes the step. All that can be checked without a target is checked here.
    fn build(config: Self::Config, cx: &BuildContext<'_>) -> Result<Self, BuildError>;
}

/// A target type with its persistent name and its typed configuration. Register it with [`register_target!`](crate::register_target).
pub trait TargetKind: Target + Sized + 'static {
    /// The persistent name: "sqlite".
    const KIND: &'static str;
    /// One sentence for listings.
    const SUMMARY: &'static str;
    /// A whole `[targets.NAME]` table in TOML, without the header line.
    const EXAMPLE: &'static str;
    /// The facts that [`Target::holds`] answers: "table:NAME".
    const FACTS: &'static [&'static str];
    /// The target's `with` table.
    type Config: DeserializeOwned + JsonSchema;

    /// The paths (relative to the root) that belong to the target; no other target may claim one of them, a folder
    /// above or a file below. By default its `path`.
    fn claims(config: &Self::Config, spec: &TargetSpec) -> Vec<String> {
        let _ = config;
        vec![spec.path.clone()]
    }

    /// Makes the target. Opens nothing yet.
    fn build(config: Self::Config, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError>;
}

/// A target as the plan declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetSpec {
    /// Its name in the plan.
    pub name: String,
    /// Its registered kind.
    pub kind: String,
    /// Its path relative to the root, as written.
    pub path: String,
    /// The name of its ledger table, where the kind keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// The kind's own configuration.
    #[serde(default)]
    pub config: Value,
}

/// Makes a step from its configuration.
pub type BuildStep = fn(ConfigSource<'_>, &BuildContext<'_>) -> Result<Arc<dyn MigrationStep>, BuildError>;

/// Makes a target, at an absolute path, from its configuration.
pub type BuildTarget = fn(ConfigSource<'_>, &TargetSpec, PathBuf) -> Result<Arc<dyn Target>, BuildError>;

/// A step kind as registered: fn pointers and constants only.
#[derive(Clone, Copy)]
pub struct StepDescriptor {
    /// See [`StepKind::KIND`].
    pub kind: &'static str,
    /// See [`StepKind::ALIASES`].
    pub aliases: &'static [&'static str],
    /// See [`StepKind::SUMMARY`].
    pub summary: &'static str,
    /// See [`StepKind::LAYERS`].
    pub layers: &'static [Layer],
    /// See [`StepKind::EXAMPLE`].
    pub example: &'static str,
    /// See [`StepKind::TUNING`].
    pub tuning: &'static [&'static str],
    /// The crate that registered it.
    pub krate: &'static str,
    /// That crate's version.
    pub version: &'static str,
    /// JSON Schema of the configuration.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Makes a step.
    pub build: BuildStep,
}

impl StepDescriptor {
    /// The descriptor of `K`, as registered by `krate`.
    pub const fn of<K: StepKind>(krate: &'static str, version: &'static str) -> Self {
        Self {
            kind: K::KIND,
            aliases: K::ALIASES,
            summary: K::SUMMARY,
            layers: K::LAYERS,
            example: K::EXAMPLE,
            tuning: K::TUNING,
            krate,
            version,
            schema: |generator| generator.subschema_for::<K::Config>(),
            build: |source, cx| Ok(Arc::new(K::build(source.read()?, cx)?)),
        }
    }
}

impl fmt::Debug for StepDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepDescriptor").field("kind", &self.kind).field("krate", &self.krate).finish_non_exhaustive()
    }
}

/// A target kind as registered.
#[derive(Clone, Copy)]
pub struct TargetDescriptor {
    /// See [`TargetKind::KIND`].
    pub kind: &'static str,
    /// See [`TargetKind::SUMMARY`].
    pub summary: &'static str,
    /// See [`TargetKind::EXAMPLE`].
    pub example: &'static str,
    /// See [`TargetKind::FACTS`].
    pub facts: &'static [&'static str],
    /// The crate that registered it.
    pub krate: &'static str,
    /// That crate's version.
    pub version: &'static str,
    /// JSON Schema of the configuration.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// See [`TargetKind::claims`].
    pub claims: fn(ConfigSource<'_>, &TargetSpec) -> Result<Vec<String>, BuildError>,
    /// Makes a target at an absolute path.
    pub build: BuildTarget,
}

impl TargetDescriptor {
    /// The descriptor of `K`, as registered by `krate`.
    pub const fn of<K: TargetKind>(krate: &'static str, version: &'static str) -> Self {
        Self {
            kind: K::KIND,
            summary: K::SUMMARY,
            example: K::EXAMPLE,
            facts: K::FACTS,
            krate,
            version,
            schema: |generator| generator.subschema_for::<K::Config>(),
            claims: |source, spec| Ok(K::claims(&source.read()?, spec)),
            build: |source, spec, path| Ok(Arc::new(K::build(source.read()?, spec, path)?)),
        }
    }
}

impl fmt::Debug for TargetDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetDescriptor").field("kind", &self.kind).field("krate", &self.krate).finish_non_exhaustive()
    }
}

inventory::collect!(StepDescriptor);
inventory::collect!(TargetDescriptor);

/// Registers a [`StepKind`] under its name: `register_step!(MyStep);` at module level.
#[macro_export]
macro_rules! register_step {
    ($kind:ty) => {
        $crate::inventory::submit! {
            $crate::StepDescriptor::of::<$kind>(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        }
    };
}

/// Registers a [`TargetKind`] under its name: `register_target!(MyTarget);` at module level.
#[macro_export]
macro_rules! register_target {
    ($kind:ty) => {
        $crate::inventory::submit! {
            $crate::TargetDescriptor::of::<$kind>(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        }
    };
}

/// Every kind that is linked in, sorted by name.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    steps: BTreeMap<&'static str, StepDescriptor>,
    aliases: BTreeMap<&'static str, &'static str>,
    targets: BTreeMap<&'static str, TargetDescriptor>,
}

/// Why a registry cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RegistryError {
    /// Nothing registered: the runner names no step crate.
    #[error("no step kind is registered; name the step crates in the runner (`use cutover_steps_sqlite as _;`)")]
    Empty,
    /// One kind, two crates.
    #[error("the kind `{kind}` is registered twice: by `{first}` and by `{second}`")]
    Twice {
        /// The kind or alias.
        kind: &'static str,
        /// The crate of one.
        first: &'static str,
        /// The crate of the other.
        second: &'static str,
    },
}

impl Registry {
    /// Collects what is linked into this program.
    pub fn collect() -> Result<Self, RegistryError> {
        Self::of(
            inventory::iter::<StepDescriptor>.into_iter().copied(),
            inventory::iter::<TargetDescriptor>.into_iter().copied(),
        )
    }

    /// A registry of the given descriptors.
    pub fn of(
        steps: impl IntoIterator<Item = StepDescriptor>,
        targets: impl IntoIterator<Item = TargetDescriptor>,
    ) -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        let mut owners: BTreeMap<&'static str, &'static str> = BTreeMap::new();
        let mut all: Vec<_> = steps.into_iter().collect();
        all.sort_by_key(|d| (d.kind, d.krate));
        for step in all {
            for name in std::iter::once(&step.kind).chain(step.aliases) {
                if let Some(first) = owners.insert(name, step.krate) {
                    return Err(RegistryError::Twice { kind: name, first, second: step.krate });
                }
            }
            registry.aliases.extend(step.aliases.iter().map(|a| (*a, step.kind)));
            registry.steps.insert(step.kind, step);
        }
        let mut all: Vec<_> = targets.into_iter().collect();
        all.sort_by_key(|d| (d.kind, d.krate));
        for target in all {
            if let Some(first) = registry.targets.insert(target.kind, target) {
                return Err(RegistryError::Twice { kind: target.kind, first: first.krate, second: target.krate });
            }
        }
        if registry.steps.is_empty() { Err(RegistryError::Empty) } else { Ok(registry) }
    }

    /// The step kind of that name or alias.
    pub fn step(&self, kind: &str) -> Option<&StepDescriptor> {
        self.steps.get(kind).or_else(|| self.steps.get(self.aliases.get(kind)?))
    }

    /// The target kind of that name.
    pub fn target(&self, kind: &str) -> Option<&TargetDescriptor> {
        self.targets.get(kind)
    }

    /// All step kinds, by name.
    pub fn steps(&self) -> impl Iterator<Item = &StepDescriptor> {
        self.steps.values()
    }

    /// All target kinds, by name.
    pub fn targets(&self) -> impl Iterator<Item = &TargetDescriptor> {
        self.targets.values()
    }
}

/// Why a step or target cannot be made from its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct BuildError {
    /// Path to the offending field inside `with`: `add[2].name`. Empty: the whole table.
    pub field: String,
    /// Byte span in the plan file, where the reader knew it better than `field` does.
    pub span: Option<std::ops::Range<usize>>,
    /// Lowercase fragment, user text in backticks.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl BuildError {
    /// An error at `field`.
    pub fn at(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), span: None, message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<BuildError> for StepError {
    fn from(e: BuildError) -> Self {
        let error = StepError::failed(e.to_string());
        match e.help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}

/// Where a configuration is read from.
pub enum ConfigSource<'a> {
    /// A spanned TOML value: errors carry spans.
    Toml(toml::Spanned<toml::de::DeValue<'a>>),
    /// The document stored in the journal when the step was applied.
    Json(&'a Value),
}

impl ConfigSource<'_> {
    /// The configuration as its own type.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, BuildError> {
        match self {
            ConfigSource::Toml(value) => T::deserialize(toml::de::ValueDeserializer::from(value)).map_err(|e| {
                BuildError { field: String::new(), span: e.span(), message: e.message().to_owned(), help: None }
            }),
            ConfigSource::Json(Value::Null) => {
                T::deserialize(Value::Object(serde_json::Map::new())).map_err(|e| BuildError::at("", e.to_string()))
            }
            ConfigSource::Json(value) => T::deserialize(value).map_err(|e| BuildError::at("", e.to_string())),
        }
    }
}

impl fmt::Debug for ConfigSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConfigSource::Toml(_) => "ConfigSource::Toml",
            ConfigSource::Json(_) => "ConfigSource::Json",
        })
    }
}

/// What a step may look at while it is built: its place in the plan, the plan's files, targets and variables.
pub struct BuildContext<'a> {
    /// The step's id.
    pub id: &'a str,
    /// The step's `target`, if it has one.
    pub target: Option<&'a str>,
    /// The plan's targets by name.
    pub targets: &'a BTreeMap<String, TargetSpec>,
    /// The plan's variables.
    pub vars: &'a BTreeMap<String, Value>,
    files: &'a dyn PlanFiles,
    read: RefCell<BTreeMap<String, Arc<[u8]>>>,
}

impl<'a> BuildContext<'a> {
    /// A context for one step. Compilers and testkits make these.
    pub fn new(
        id: &'a str,
        target: Option<&'a str>,
        targets: &'a BTreeMap<String, TargetSpec>,
        vars: &'a BTreeMap<String, Value>,
        files: &'a dyn PlanFiles,
    ) -> Self {
        Self { id, target, targets, vars, files, read: RefCell::default() }
    }

    /// The step's `target`, which must be there and of `kind`.
    pub fn target_of(&self, kind: &str) -> Result<String, BuildError> {
        let Some(name) = self.target else {
            return Err(BuildError::at("", format!("this step needs a `target` of kind `{kind}`"))
                .with_help("add `target = \"NAME\"` to the step, beside `use`"));
        };
        self.known_target(name, Some(kind), "")
    }

    /// A target named in `field` of the configuration, which must be there (and of `kind`, if given).
    pub fn known_target(&self, name: &str, kind: Option<&str>, field: &str) -> Result<String, BuildError> {
        let Some(spec) = self.targets.get(name) else {
            let error = BuildError::at(field, format!("the plan has no target `{name}`"));
            return Err(match closest(name, self.targets.keys().map(String::as_str)) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error,
            });
        };
        match kind {
            Some(kind) if spec.kind != kind => Err(BuildError::at(
                field,
                format!("target `{name}` is of kind `{}`; this step needs `{kind}`", spec.kind),
            )),
            _ => Ok(name.to_owned()),
        }
    }

    /// A file of the plan's folder, named in `field`. What is read here is digested and kept for rollback; read again, it
    /// is the same bytes.
    pub fn read_file(&self, field: &str, path: &str) -> Result<Arc<[u8]>, BuildError> {
        if let Some(bytes) = self.read.borrow().get(path) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = self.files.read(Path::new(path)).map_err(|e| {
            let error = BuildError::at(field, e.to_string());
            match e.help() {
                Some(help) => error.with_help(help),
                None => error,
            }
        })?;
        self.read.borrow_mut().insert(path.to_owned(), Arc::clone(&bytes));
        Ok(bytes)
    }

    /// A text file of the plan's folder; it must be UTF-8.
    pub fn read_text(&self, field: &str, path: &str) -> Result<String, BuildError> {
        let bytes = self.read_file(field, path)?;
        String::from_utf8(bytes.to_vec()).map_err(|e| {
            BuildError::at(field, format!("`{path}` is not UTF-8 (byte {})", e.utf8_error().valid_up_to()))
        })
    }

    /// The files read so far, by the path as written.
    pub fn files_read(&self) -> BTreeMap<String, Arc<[u8]>> {
        self.read.borrow().clone()
    }
}

impl fmt::Debug for BuildContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildContext").field("id", &self.id).field("target", &self.target).finish_non_exhaustive()
    }
}

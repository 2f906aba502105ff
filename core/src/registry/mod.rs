//! How step kinds and target kinds make themselves known, and how a step is built from its configuration.
//!
//! Owns the sorted [`Registry`], made of the descriptors that `register_step!` and `register_target!` submit; kinds,
//! descriptors, configurations and [`BuildContext`] have a file each. Knows nothing of plans: the compiler asks by name.

mod build;
mod config;
mod descriptor;
mod kind;
mod layer;

use std::collections::BTreeMap;

use thiserror::Error;

pub use build::BuildContext;
pub use config::{BuildError, ConfigSource};
pub use descriptor::{BuildNotifier, BuildStep, BuildTarget, NotifierDescriptor, StepDescriptor, TargetDescriptor};
pub use kind::{NotifierKind, StepKind, TargetKind, TargetSpec};
pub use layer::Layer;

/// Every kind that is linked in, sorted by name.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    steps: BTreeMap<&'static str, StepDescriptor>,
    aliases: BTreeMap<&'static str, &'static str>,
    targets: BTreeMap<&'static str, TargetDescriptor>,
    notifiers: BTreeMap<&'static str, NotifierDescriptor>,
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
        )?
        .with_notifiers(inventory::iter::<NotifierDescriptor>.into_iter().copied())
    }

    /// The same with these notifiers.
    pub fn with_notifiers(
        mut self,
        notifiers: impl IntoIterator<Item = NotifierDescriptor>,
    ) -> Result<Self, RegistryError> {
        let mut all: Vec<_> = notifiers.into_iter().collect();
        all.sort_by_key(|d| (d.kind, d.krate));
        for notifier in all {
            if let Some(first) = self.notifiers.insert(notifier.kind, notifier) {
                return Err(RegistryError::Twice { kind: notifier.kind, first: first.krate, second: notifier.krate });
            }
        }
        Ok(self)
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

    /// The notifier of that name.
    pub fn notifier(&self, kind: &str) -> Option<&NotifierDescriptor> {
        self.notifiers.get(kind)
    }

    /// All notifiers, by name.
    pub fn notifiers(&self) -> impl Iterator<Item = &NotifierDescriptor> {
        self.notifiers.values()
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

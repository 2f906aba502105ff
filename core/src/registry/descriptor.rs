//! Kinds with their types erased to constants and fn pointers, and the two macros that submit them. Owns the way from
//! a [`StepKind`] or [`TargetKind`] to its descriptor; does not know what else is registered.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};

use super::{BuildContext, BuildError, ConfigSource, Layer, NotifierKind, StepKind, TargetKind, TargetSpec};
use crate::fault::Faults;
use crate::{Lint, MigrationStep, Notifier, Target};

/// Makes a step from its configuration.
pub type BuildStep = fn(ConfigSource<'_>, &BuildContext<'_>) -> Result<Arc<dyn MigrationStep>, BuildError>;

/// Makes a target, at an absolute path, from its configuration.
pub type BuildTarget = fn(ConfigSource<'_>, &TargetSpec, PathBuf) -> Result<Arc<dyn Target>, BuildError>;

/// Makes a notifier from its configuration.
pub type BuildNotifier = fn(ConfigSource<'_>, &BuildContext<'_>) -> Result<Arc<dyn Notifier>, BuildError>;

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
    /// See [`StepKind::FAULTS`].
    pub faults: Faults,
    /// See [`StepKind::LINTS`].
    pub lints: &'static [Lint],
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
            faults: K::FAULTS,
            lints: K::LINTS,
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
    /// See [`TargetKind::FAULTS`].
    pub faults: Faults,
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
            faults: K::FAULTS,
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

/// A notifier as registered.
#[derive(Clone, Copy)]
pub struct NotifierDescriptor {
    /// See [`NotifierKind::KIND`].
    pub kind: &'static str,
    /// See [`NotifierKind::SUMMARY`].
    pub summary: &'static str,
    /// See [`NotifierKind::EXAMPLE`].
    pub example: &'static str,
    /// See [`NotifierKind::SECRETS`].
    pub secrets: &'static [&'static str],
    /// The crate that registered it.
    pub krate: &'static str,
    /// That crate's version.
    pub version: &'static str,
    /// JSON Schema of the configuration.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Makes a notifier.
    pub build: BuildNotifier,
}

impl NotifierDescriptor {
    /// The descriptor of `K`, as registered by `krate`.
    pub const fn of<K: NotifierKind>(krate: &'static str, version: &'static str) -> Self {
        Self {
            kind: K::KIND,
            summary: K::SUMMARY,
            example: K::EXAMPLE,
            secrets: K::SECRETS,
            krate,
            version,
            schema: |generator| generator.subschema_for::<K::Config>(),
            build: |source, cx| Ok(Arc::new(K::build(source.read()?, cx)?)),
        }
    }
}

impl fmt::Debug for NotifierDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifierDescriptor")
            .field("kind", &self.kind)
            .field("krate", &self.krate)
            .finish_non_exhaustive()
    }
}

inventory::collect!(StepDescriptor);
inventory::collect!(TargetDescriptor);
inventory::collect!(NotifierDescriptor);

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

/// Registers a [`NotifierKind`] under its name: `register_notifier!(MyNotifier);` at module level.
#[macro_export]
macro_rules! register_notifier {
    ($kind:ty) => {
        $crate::inventory::submit! {
            $crate::NotifierDescriptor::of::<$kind>(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        }
    };
}

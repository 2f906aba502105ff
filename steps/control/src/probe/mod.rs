//! Probes: where a figure comes from.
//!
//! Owns the trait, how kinds of probes make themselves known (as steps do, through `inventory`) and how one is made from
//! the table that a plan has for it. A kind of probe is a file of this folder. Knows nothing of what figures are asked for.

mod command;
mod config;
mod exposition;
mod file;
mod http;
mod json;
mod measure;
mod prometheus;
#[cfg(test)]
mod tests;
mod web;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cutover_core::{BuildContext, BuildError, StepContext, StepError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use config::{Asked, ProbeConfig};

/// Something that can be asked for a figure, again and again. Asking changes nothing.
#[async_trait]
pub trait Probe: fmt::Debug + Send + Sync {
    /// What is asked, for people: "`SELECT count(*) FROM t` on tier1".
    fn shown(&self) -> String;

    /// The targets that it reads.
    fn targets(&self) -> Vec<String> {
        Vec::new()
    }

    /// The figure as it is now. It has `limit` to answer.
    async fn read(&self, cx: &StepContext, limit: Duration) -> Result<f64, StepError>;
}

/// A kind of probe with its persistent name and its typed configuration. Register it with [`register_probe!`](crate::register_probe).
pub trait ProbeKind: Probe + Sized + 'static {
    /// The persistent name, which a plan writes as `use`: "measure".
    const KIND: &'static str;
    /// One sentence for listings.
    const SUMMARY: &'static str;
    /// Its keys beside `use`, `unit` and `timeout`. Use `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes the probe. All that can be checked without asking is checked here.
    fn build(config: Self::Config, cx: &BuildContext<'_>) -> Result<Self, BuildError>;
}

/// Makes a probe from its keys.
pub type BuildProbe = fn(Value, &BuildContext<'_>) -> Result<Arc<dyn Probe>, BuildError>;

/// A kind of probe as registered: constants and fn pointers only.
#[derive(Clone, Copy)]
pub struct ProbeDescriptor {
    /// See [`ProbeKind::KIND`].
    pub kind: &'static str,
    /// See [`ProbeKind::SUMMARY`].
    pub summary: &'static str,
    /// JSON Schema of its keys.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Makes a probe.
    pub build: BuildProbe,
}

impl ProbeDescriptor {
    /// The descriptor of `K`.
    pub const fn of<K: ProbeKind>() -> Self {
        Self {
            kind: K::KIND,
            summary: K::SUMMARY,
            schema: |generator| K::Config::json_schema(generator),
            build: |keys, cx| {
                let config: K::Config = serde_json::from_value(keys).map_err(|e| BuildError::at("", e.to_string()))?;
                Ok(Arc::new(K::build(config, cx)?))
            },
        }
    }

    /// All that are linked in, by name.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = cutover_core::inventory::iter::<Self>.into_iter().copied().collect();
        all.sort_by_key(|d| d.kind);
        all
    }
}

impl fmt::Debug for ProbeDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeDescriptor").field("kind", &self.kind).finish_non_exhaustive()
    }
}

cutover_core::inventory::collect!(ProbeDescriptor);

/// Registers a [`ProbeKind`] under its name: `register_probe!(MyProbe);` at module level.
#[macro_export]
macro_rules! register_probe {
    ($kind:ty) => {
        cutover_core::inventory::submit! { $crate::probe::ProbeDescriptor::of::<$kind>() }
    };
}

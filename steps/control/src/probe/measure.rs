//! The probe `measure`: a figure of a target, in the target's own language.

use std::time::Duration;

use async_trait::async_trait;
use cutover_core::{BuildContext, BuildError, StepContext, StepError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Probe, ProbeKind};
use crate::register_probe;

/// A figure of a target.
#[derive(Debug)]
pub(crate) struct Measure(MeasureConfig);

/// The keys of `measure`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeasureConfig {
    /// A target of the plan.
    target: String,
    /// A scalar in the target's own language: an SQL query, say.
    query: String,
}

register_probe!(Measure);

impl ProbeKind for Measure {
    const KIND: &'static str = "measure";
    const SUMMARY: &'static str = "a scalar of a target, in the target's own language";
    type Config = MeasureConfig;

    fn build(config: MeasureConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        cx.known_target(&config.target, None, "target")?;
        Ok(Self(config))
    }
}

#[async_trait]
impl Probe for Measure {
    fn shown(&self) -> String {
        format!("`{}` on {}", self.0.query, self.0.target)
    }

    fn targets(&self) -> Vec<String> {
        vec![self.0.target.clone()]
    }

    async fn read(&self, cx: &StepContext, _limit: Duration) -> Result<f64, StepError> {
        cx.any_target(&self.0.target)?.measure(cx, &self.0.query).await
    }
}

//! The step kind `testkit.snapshot`, which every fixture's plan may use.
//!
//! A plan compiles only when a step that is undone by restoring its target has a snapshot before it. A crate's own
//! tests link no crate that takes snapshots; this kind stands for one. It writes nothing: the conformance check takes
//! the real snapshot itself.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Registry, Standing, StepContext,
    StepDescriptor, StepError, StepKind, Verdict, async_trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug)]
struct Promised(PromisedConfig);

/// Configuration of `testkit.snapshot`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PromisedConfig {
    /// The targets of which later steps may be undone by a restore.
    targets: Vec<String>,
}

/// The registry with `testkit.snapshot` in it.
pub(crate) fn with_snapshot(registry: &Registry) -> Registry {
    let ours = StepDescriptor::of::<Promised>(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    Registry::of(registry.steps().copied().chain([ours]), registry.targets().copied()).unwrap_or_else(|e| panic!("{e}"))
}

impl StepKind for Promised {
    const KIND: &'static str = "testkit.snapshot";
    const SUMMARY: &'static str = "stands for a snapshot of targets in a test";
    const EXAMPLE: &'static str = "id = \"snapshot\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"app\"] }\n";
    type Config = PromisedConfig;

    fn build(config: PromisedConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        for (i, name) in config.targets.iter().enumerate() {
            cx.known_target(name, None, &format!("targets[{i}]"))?;
        }
        Ok(Self(config))
    }
}

#[async_trait]
impl MigrationStep for Promised {
    fn describe(&self) -> Vec<Change> {
        self.0.targets.iter().map(|name| Change::new(Action::Check, format!("snapshot of {name}"))).collect()
    }

    fn snapshots(&self) -> Vec<String> {
        self.0.targets.clone()
    }

    async fn inspect(&self, _: &StepContext) -> Result<Standing, StepError> {
        Ok(Standing::Unknown)
    }

    async fn apply(&self, _: &StepContext) -> Result<Applied, StepError> {
        Ok(Applied::Changed(Receipt::nothing()))
    }

    async fn verify(&self, _: &StepContext) -> Result<Verdict, StepError> {
        Ok(Verdict::Holds)
    }

    async fn rollback(&self, _: &StepContext, _: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

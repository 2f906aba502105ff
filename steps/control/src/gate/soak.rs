//! The step kind `gate.soak`: lets a run pass when figures have held for a window of time.
//!
//! The window, its samples and the triggers are in the journal, so that whoever looks next (the same `apply`, `watch`, or
//! `watch --once` by cron) goes on where the last one was. Time is cut into slots of `every`; each has one sample at the
//! most, and one without a sample was missed.

use std::time::Duration;

use cutover_core::journal::{Observed, TriggerAction, Triggered, Window, WindowSpec};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, MigrationStep, Receipt, Reference, StepContext,
    StepError, StepKind, Use, Verdict, Watched, async_trait, fault, fault::Faults, register_step,
};
use jiff::{SignedDuration, Timestamp};

use super::monitor::Monitor;
use super::pause::{self, Pause};
use super::sampling::{probed, round};
pub use config::{MonitorConfig, SoakConfig, Then};

mod config;
mod standing;

use standing::Standing;

/// Holds figures to their bounds for a time.
#[derive(Debug, Clone)]
pub struct GateSoak {
    monitors: Vec<Monitor>,
    window: Duration,
    every: Duration,
    coverage: f64,
    patience: Duration,
    baseline: Option<String>,
}

register_step!(GateSoak);

impl StepKind for GateSoak {
    const KIND: &'static str = "gate.soak";
    const SUMMARY: &'static str = "let the run pass when figures have held for a window of time: `cutover watch`";
    const EXAMPLE: &'static str = "id = \"quiet-week\"\nuse = \"gate.soak\"\n\
        with.window = \"300ms\"\nwith.every = \"100ms\"\nwith.coverage = 50\n\
        [[phase.step.with.monitors]]\nwhat = \"tables\"\n\
        probe = { use = \"measure\", target = \"main\", query = \"SELECT count(*) FROM sqlite_master\" }\nmin = 0\n";
    const TUNING: &'static [&'static str] = &["every", "window", "patience"];
    const FAULTS: Faults =
        Faults { apply: &[fault::SOAK_OPENED, fault::SOAK_READ, fault::SOAK_SAMPLED], rollback: &[] };
    type Config = SoakConfig;

    fn build(config: SoakConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let (window, every) = (pause::parse("window", &config.window)?, pause::parse("every", &config.every)?);
        if every > window {
            return Err(BuildError::at("every", "the first sample would come after the window's end")
                .with_help("make `every` shorter than `window`"));
        }
        if !(config.coverage > 0.0 && config.coverage <= 100.0) {
            return Err(BuildError::at("coverage", "no part of the samples")
                .with_help("write percent of the slots: more than 0, at most 100"));
        }
        let (monitors, patience) = (config.monitors(cx)?, pause::parse("patience", &config.patience)?);
        Ok(Self { monitors, window, every, coverage: config.coverage, patience, baseline: config.baseline })
    }
}

impl GateSoak {
    /// The window, opened if it is not yet, with what the figures may be.
    async fn open(&self, cx: &StepContext) -> Result<Window, StepError> {
        if let Some(window) = cx.window().await? {
            return Ok(window);
        }
        let mut probes = Vec::new();
        for monitor in &self.monitors {
            let baseline = monitor.baseline(cx, self.baseline.as_deref()).await?;
            let allowed = monitor.bounds.allowed(baseline);
            probes.push(probed(&monitor.what, monitor.probe.unit(), allowed, baseline));
        }
        let (every, length) = (Some(self.every.as_secs_f64()), Some(self.window.as_secs_f64()));
        let spec = WindowSpec { probes, every, length };
        cx.observe(Observed::Opened(spec.clone())).await?;
        fault::point(fault::SOAK_OPENED);
        // What the journal has counts, with its time.
        cx.window().await?.ok_or_else(|| StepError::internal("a window that was opened is not in the journal"))
    }

    /// Takes the sample that is due, if one is, and lets triggers fire. What that comes to.
    async fn look(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let mut window = self.open(cx).await?;
        if let Some(fired) = Standing::fired(&window) {
            return Ok(Standing::Fired(fired));
        }
        let mut standing = self.standing(&window, cx.now());
        if let Standing::Due { slot } = standing {
            let probes: Vec<_> = self.monitors.iter().map(|monitor| &monitor.probe).collect();
            let spec = window.spec.probes.clone();
            let broken = |i: usize, figure: f64| spec.get(i).and_then(|probed| Monitor::broken(probed, figure));
            let (sample, _) = round(cx, &probes, &spec, slot, &broken).await;
            fault::point(fault::SOAK_READ);
            // Whoever holds its rounds makes the journal's fold copy them when it adds one.
            drop(window);
            cx.observe(Observed::Sampled(sample)).await?;
            fault::point(fault::SOAK_SAMPLED);
            window = self.open(cx).await?;
            standing = self.standing(&window, cx.now());
        }
        // Asked of what the journal has, each time: a crash may have come between a sample and its trigger.
        for monitor in &self.monitors {
            if let Some(why) = monitor.fires(&window) {
                let (probe, action, to) = (monitor.what.clone(), monitor.then, monitor.to.clone());
                let trigger = Triggered { probe, why: cx.mask(&why), action, to };
                // What ends the window is told as the failure that it is.
                if trigger.action == TriggerAction::Warn {
                    cx.note(&format!("{}: {}", trigger.probe, trigger.why));
                }
                cx.observe(Observed::Triggered(trigger)).await?;
                window = self.open(cx).await?;
            }
        }
        Ok(Standing::fired(&window).map_or(standing, Standing::Fired))
    }

    fn standing(&self, window: &Window, now: Timestamp) -> Standing {
        Standing::of(window, now, self.window, self.every, self.coverage)
    }

    fn receipt(&self, window: &Window) -> Result<Receipt, StepError> {
        let found = standing::summary(window);
        let lines: Vec<String> = self.monitors.iter().filter_map(|m| found.line(&m.what, m.probe.unit())).collect();
        Ok(lines.into_iter().fold(Receipt::of(&found)?, Receipt::with_note))
    }
}

#[async_trait]
impl MigrationStep for GateSoak {
    fn describe(&self) -> Vec<Change> {
        let (window, every) = (standing::time(self.window), standing::time(self.every));
        let change = |monitor: &Monitor| {
            Change::new(Action::Check, monitor.what.clone())
                .with_detail(format!("for {window}, every {every}: {}", monitor.shown()))
        };
        self.monitors.iter().map(change).collect()
    }

    fn uses(&self) -> Vec<Use> {
        let mut targets: Vec<String> = self.monitors.iter().flat_map(|monitor| monitor.probe.targets()).collect();
        targets.sort();
        targets.dedup();
        targets.into_iter().map(Use::read).collect()
    }

    fn refers(&self) -> Vec<Reference> {
        let points = self.monitors.iter().filter_map(|monitor| monitor.to.clone()).map(Reference::Point);
        self.baseline.iter().cloned().map(Reference::Earlier).chain(points).collect()
    }

    /// A copy has no users: a gate counts as passed.
    fn rehearsable(&self) -> bool {
        false
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        loop {
            let standing = self.look(cx).await?;
            let window = self.open(cx).await?;
            match standing {
                Standing::Fired(fired) => {
                    return Err(StepError::failed(format!("{}: {}", fired.probe, fired.why)).with_help(
                        "find out what the figure says of the system; the same command opens a new window",
                    ));
                }
                Standing::Over => return Ok(Applied::Changed(self.receipt(&window)?)),
                // Also where the next is due already, because looking takes longer than `every`: whoever watches takes it.
                Standing::Waits { .. } | Standing::Due { .. } if self.window > self.patience => {
                    return Ok(Applied::Waiting(standing.shown(&window)));
                }
                Standing::Waits { again, .. } => {
                    let left = again.duration_since(cx.now()).max(SignedDuration::ZERO).unsigned_abs();
                    if pause::pause(cx, left).await? == Pause::Stopped {
                        return Ok(Applied::Stopped(Checkpoint { at: standing.shown(&window) }));
                    }
                }
                // Its time came while it was looked at.
                Standing::Due { .. } => {}
            }
        }
    }

    async fn watch(&self, cx: &StepContext) -> Result<Option<Watched>, StepError> {
        let standing = self.look(cx).await?;
        let window = self.open(cx).await?;
        Ok(Some(match &standing {
            Standing::Fired(fired) => Watched::Settled(format!("{}: {}", fired.probe, fired.why)),
            Standing::Over => Watched::Settled("the window is over, and all held".to_owned()),
            Standing::Waits { again, .. } => Watched::Waits { why: standing.shown(&window), again: *again },
            Standing::Due { .. } => Watched::Waits { why: standing.shown(&window), again: cx.now() },
        }))
    }

    /// What held in its window held; what comes later is another's to watch.
    async fn verify(&self, _cx: &StepContext) -> Result<Verdict, StepError> {
        Ok(Verdict::Holds)
    }

    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

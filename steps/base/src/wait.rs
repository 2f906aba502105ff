//! The step kind `target.wait`: goes on when a figure of a target is where the plan wants it.
//!
//! Owns how long it looks and how often. What a figure is, the target says. Writes nothing.

use std::time::{Duration, Instant};

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, MigrationStep, Receipt, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, duration, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Between two looks at the operator's wishes.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits for a figure of a target.
#[derive(Debug, Clone)]
pub struct TargetWait {
    target: String,
    config: WaitConfig,
    within: Duration,
    every: Duration,
}

/// Configuration of `target.wait`: `max`, `min` or both.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitConfig {
    /// What is counted, for people: "active tasks".
    pub what: String,
    /// A scalar in the target's own language: an SQL query, say.
    pub measure: String,
    /// It goes on when the figure is this or less.
    pub max: Option<f64>,
    /// It goes on when the figure is this or more.
    pub min: Option<f64>,
    /// How long it waits. Then the run ends as waiting (103), and the same command waits again.
    #[serde(default = "ten_minutes")]
    pub within: String,
    /// How often it looks.
    #[serde(default = "one_second")]
    pub every: String,
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

fn one_second() -> String {
    "1s".to_owned()
}

register_step!(TargetWait);

impl StepKind for TargetWait {
    const KIND: &'static str = "target.wait";
    const SUMMARY: &'static str = "wait until a figure of a target is low or high enough, without writing";
    const EXAMPLE: &'static str = "id = \"few-tasks\"\nuse = \"target.wait\"\ntarget = \"main\"\n\
        with = { what = \"tables\", measure = \"SELECT count(*) FROM sqlite_master\", min = 0, within = \"10m\" }\n";
    const TUNING: &'static [&'static str] = &["within", "every"];
    const FAULTS: Faults = Faults { apply: &[fault::WAIT_LOOKED], rollback: &[] };
    type Config = WaitConfig;

    fn build(config: WaitConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let Some(name) = cx.target else {
            return Err(BuildError::at("", "this step needs a `target`")
                .with_help("add `target = \"NAME\"` to the step, beside `use`"));
        };
        let target = cx.known_target(name, None, "")?;
        if config.max.is_none() && config.min.is_none() {
            return Err(BuildError::at("", "nothing is waited for").with_help("add `max`, `min` or both"));
        }
        if config.min.zip(config.max).is_some_and(|(min, max)| min > max) {
            return Err(BuildError::at("min", "no figure is above `min` and below `max`")
                .with_help("make `min` the smaller one"));
        }
        let time = |field: &str, text: &str| {
            duration::parse(text).ok_or_else(|| {
                BuildError::at(field, format!("`{text}` is no duration"))
                    .with_help("write a whole number and a unit: \"500ms\", \"60s\", \"5m\" or \"2h\"")
            })
        };
        let (within, every) = (time("within", &config.within)?, time("every", &config.every)?);
        Ok(Self { target, config, within, every })
    }
}

impl TargetWait {
    fn wanted(&self) -> String {
        match (self.config.min, self.config.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "any".to_owned(),
        }
    }

    fn reached(&self, figure: f64) -> bool {
        self.config.min.is_none_or(|min| figure >= min) && self.config.max.is_none_or(|max| figure <= max)
    }
}

#[async_trait]
impl MigrationStep for TargetWait {
    fn describe(&self) -> Vec<Change> {
        vec![Change::new(Action::Check, self.config.what.clone()).with_detail(format!("waits for {}", self.wanted()))]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::read(&self.target)]
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.any_target(&self.target)?;
        let begun = Instant::now();
        let mut told = false;
        loop {
            let figure = target.measure(cx, &self.config.measure).await?;
            fault::point(fault::WAIT_LOOKED);
            let found = format!("{}: {figure}, wanted: {}", self.config.what, self.wanted());
            if self.reached(figure) {
                return Ok(Applied::AlreadyApplied(Receipt::nothing().with_note(found)));
            }
            if cx.info().rehearsal {
                // Nobody works on a copy, so nothing would change.
                let note = format!("{found}; a rehearsal does not wait for it");
                return Ok(Applied::AlreadyApplied(Receipt::nothing().with_note(note)));
            }
            if !std::mem::replace(&mut told, true) {
                cx.note(&format!("waits; {found}"));
            }
            let next = Instant::now() + self.every;
            while Instant::now() < next {
                if cx.stop_requested() {
                    return Ok(Applied::Stopped(Checkpoint { at: format!("waiting; {found}") }));
                }
                if begun.elapsed() >= self.within {
                    return Ok(Applied::Waiting(found));
                }
                cx.blocking(|| {
                    std::thread::sleep(PAUSE);
                    Ok(())
                })
                .await?;
            }
        }
    }

    /// What it waited for was true at that moment, and need not be later.
    async fn verify(&self, _cx: &StepContext) -> Result<Verdict, StepError> {
        Ok(Verdict::Holds)
    }

    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cutover_tests::Fixture;

    use super::*;
    use crate::testing::wait;

    #[test]
    fn it_goes_on_when_the_figure_is_there_and_ends_as_waiting_when_it_is_not() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("one.db");
        fs::write(&file, "xxxx").unwrap();
        let waits = Fixture::new(wait("max = 3, within = \"200ms\"")).open(root.path());
        let applied = waits.apply("it").unwrap();
        assert_eq!(applied, Applied::Waiting("marks: 4, wanted: at most 3".to_owned()));

        let patient = Fixture::new(wait("min = 1, max = 3, within = \"1h\", every = \"1ms\"")).open(root.path());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while patient.host().notes("it").is_empty() {
                    std::thread::yield_now();
                }
                fs::write(&file, "xxx").unwrap();
            });
            let Ok(Applied::AlreadyApplied(receipt)) = patient.apply("it") else { panic!("it goes on") };
            assert_eq!(receipt.notes, ["marks: 3, wanted: 1 to 3"]);
        });
        assert_eq!(patient.host().notes("it"), ["waits; marks: 4, wanted: 1 to 3"]);

        fs::write(&file, "xxxx").unwrap();
        patient.host().set_stop(true);
        let Ok(Applied::Stopped(at)) = patient.apply("it") else { panic!("it stops") };
        assert_eq!(at.at, "waiting; marks: 4, wanted: 1 to 3");
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused() {
        for (with, why) in [
            ("within = \"1s\"", "nothing is waited for"),
            ("min = 2, max = 1", "no figure is above `min` and below `max`"),
            ("max = 1, every = \"soon\"", "`soon` is no duration"),
        ] {
            let errors = Fixture::new(wait(with)).try_compile().unwrap_err().to_string();
            assert!(errors.contains(why), "{with}: {errors}");
        }
    }
}

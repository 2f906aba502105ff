//! The look itself: every target, the declared counts, the room, the machine, and how long each step will take.
//!
//! Owns what is looked at and in which order, and the one error that says all that is wrong. Writes nothing but a
//! sample in our own state folder.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cutover_core::plan::Condition;
use cutover_core::process::{self, Program};
use cutover_core::{Depth, StepContext, StepError, StepErrorKind};
use serde_json::Number;

use super::{AssessConfig, CountConfig};
use crate::forecast::{self, Figures, StepEstimate, TargetEstimate, ThisStep, Total};
use crate::rates::{self, Rates};
use crate::report::{self, Environment, Estimates, Report, TargetReport};
use crate::room::room;
use crate::vcs;

/// How long a version command may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks at everything that the configuration names.
pub(super) async fn survey(config: &AssessConfig, cx: &StepContext) -> Result<Report, StepError> {
    let began = Instant::now();
    let (mut targets, mut figures, mut errors) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (i, name) in config.targets.iter().enumerate() {
        cx.progress(i as u64, Some(config.targets.len() as u64), "targets");
        match look_at(cx, name).await {
            Ok((report, figure)) => {
                targets.insert(name.clone(), report);
                figures.insert(name.clone(), figure);
            }
            Err(e) => errors.push((format!("target `{name}`"), e)),
        }
    }
    let mut counts = BTreeMap::new();
    for (what, count) in &config.counts {
        // A target that could not be opened was reported above.
        if config.targets.contains(&count.target) && !targets.contains_key(&count.target) {
            continue;
        }
        match measure(cx, count).await {
            Ok(number) => drop(counts.insert(what.clone(), number)),
            Err(e) => errors.push((format!("count `{what}`"), e)),
        }
    }
    let bytes: u64 = figures.values().map(|figure| figure.bytes).sum();
    let needed = (bytes as f64 * config.free_space) as u64;
    let (inner, versions) = (cx.clone(), config.versions.clone());
    let measured = cx
        .blocking(move || {
            let space = room(inner.root(), needed);
            let rates = if space.is_ok() { Some(rates::measure(&inner.scratch_dir())?) } else { None };
            Ok((space, rates, versions_of(&inner, &versions), vcs::commit_of(inner.root())))
        })
        .await?;
    let (space, rates, versions, commit) = measured;
    let (space, rates) = match (space, rates) {
        (Ok(space), Some(rates)) if errors.is_empty() => (space, rates),
        (space, _) => {
            errors.extend(space.err().map(|e| ("free space".to_owned(), e)));
            return Err(all_of(errors));
        }
    };
    let environment = Environment {
        cutover: env!("CARGO_PKG_VERSION").to_owned(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        commit,
        versions,
    };
    Ok(Report {
        version: report::VERSION,
        plan: cx.info().plan.clone(),
        step: cx.info().id.clone(),
        run: cx.info().run.clone(),
        taken_at: cx.now(),
        environment,
        targets,
        counts,
        space,
        estimates: estimates(cx, &figures, rates, began).await,
    })
}

/// How long each step of the plan will take.
async fn estimates(cx: &StepContext, figures: &BTreeMap<String, Figures>, rates: Rates, began: Instant) -> Estimates {
    let targets: BTreeMap<_, _> =
        figures.iter().map(|(name, figure)| (name.clone(), TargetEstimate::of(figure, &rates))).collect();
    let this = ThisStep { id: &cx.info().id, so_far: began.elapsed() };
    let mut steps = Vec::new();
    for step in cx.outline() {
        let when = match &step.when {
            Some(when) => holds(cx, when).await,
            None => None,
        };
        steps.push(StepEstimate::of(&step, &this, when, &targets, &rates));
    }
    Estimates { rates, targets, total: Total::of(&steps), steps, legend: forecast::legend() }
}

/// Whether a step's condition holds now; none where its target cannot tell.
async fn holds(cx: &StepContext, when: &Condition) -> Option<bool> {
    let target = cx.any_target(&when.target).ok()?;
    for (facts, wanted) in [(&when.has, true), (&when.lacks, false)] {
        for fact in facts {
            if target.holds(cx, fact).await.ok()? != wanted {
                return Some(false);
            }
        }
    }
    Some(true)
}

async fn look_at(cx: &StepContext, name: &str) -> Result<(TargetReport, Figures), StepError> {
    let target = cx.any_target(name)?;
    let began = Instant::now();
    let assessment = target.assess(cx).await?;
    let schema_digest = target.fingerprint(cx, Depth::Schema).await?.schema_digest();
    let figures = Figures { bytes: assessment.bytes, rows: assessment.counts.values().sum(), look: began.elapsed() };
    for problem in &assessment.problems {
        cx.note(&format!("{name}: {problem}"));
    }
    Ok((TargetReport { schema_digest, assessment }, figures))
}

async fn measure(cx: &StepContext, count: &CountConfig) -> Result<Option<Number>, StepError> {
    let target = cx.any_target(&count.target)?;
    if let Some(fact) = &count.has
        && !target.holds(cx, fact).await?
    {
        return Ok(None);
    }
    let value = target.measure(cx, &count.measure).await?;
    let whole = value.fract() == 0.0 && value.abs() < 9.0e15;
    Ok(if whole { Some((value as i64).into()) } else { Number::from_f64(value) })
}

fn versions_of(cx: &StepContext, commands: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, String> {
    let version = |argv: &[String]| {
        let (cwd, env) = (cx.root().to_owned(), BTreeMap::new());
        let program =
            Program { argv, cwd, env: &env, timeout: VERSION_TIMEOUT, log: None, output: None, running: None };
        match process::run(&program, &|text| cx.mask(text)) {
            Ok(ran) if ran.succeeded() => ran.tail.lines().next().unwrap_or_default().trim().to_owned(),
            Ok(ran) => format!("unavailable: it {}", ran.how()),
            Err(e) => format!("unavailable: {e}"),
        }
    };
    commands.iter().map(|(name, argv)| (name.clone(), version(argv))).collect()
}

/// One error that says all of them; the gravest kind decides.
fn all_of(mut errors: Vec<(String, StepError)>) -> StepError {
    if errors.len() == 1
        && let Some((what, e)) = errors.pop()
    {
        let error = StepError::new(e.kind(), format!("{what}: {}", e.chain()));
        return match e.help() {
            Some(help) => error.with_help(help),
            None => error,
        };
    }
    let unavailable = errors.iter().any(|(_, e)| e.kind() == StepErrorKind::Unavailable);
    let kind = if unavailable { StepErrorKind::Unavailable } else { StepErrorKind::Failed };
    let lines: Vec<_> = errors.iter().map(|(what, e)| format!("{what}: {}", e.chain())).collect();
    let mut helps: Vec<_> = errors.iter().filter_map(|(_, e)| e.help()).collect();
    helps.dedup();
    StepError::new(kind, format!("{} problems: {}", lines.len(), lines.join("; "))).with_help(helps.join("; "))
}

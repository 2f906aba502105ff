//! `target.assess`: looks at every target before anything is changed, and writes down what it found.
//!
//! Owns the step kind. Knows targets by their contract only; the artifact's format is `report`'s.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_core::disk::{PRIVATE_FILE, inside, io_error, private_dir, sync_parent, write_atomic};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Depth, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepErrorKind, StepKind, Use, Verdict, async_trait, blake3_hex, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::estimate::{self, BASIS};
use crate::process::{self, Program};
use crate::report::{self, Environment, Estimates, Report, TargetReport};
use crate::vcs;

/// How long a version command may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Assesses targets and writes `migration-plan-<date>.json`.
#[derive(Debug)]
pub struct TargetAssess {
    config: AssessConfig,
}

/// What is assessed, and where the artifact goes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AssessConfig {
    /// The targets, by name.
    pub targets: Vec<String>,
    /// Counts that the artifact will show, by what they count.
    #[serde(default)]
    pub counts: BTreeMap<String, CountConfig>,
    /// Free space needed on the root's file system, as a multiple of the targets' size.
    #[serde(default = "twice")]
    pub free_space: f64,
    /// Commands that print a version, as argument lists; no shell. The first line of output is kept.
    #[serde(default)]
    pub versions: BTreeMap<String, Vec<String>>,
    /// Folder of the artifact, relative to the root.
    #[serde(default = "here")]
    pub into: String,
}

/// A number measured in a target.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CountConfig {
    /// The target, by name.
    pub target: String,
    /// A scalar in the target's own language: an SQL query, say.
    pub measure: String,
    /// A fact without which the count is left out: "table:conversations".
    pub has: Option<String>,
}

fn twice() -> f64 {
    2.0
}

fn here() -> String {
    ".".to_owned()
}

/// What apply made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Made {
    version: u32,
    /// Relative to the root.
    path: String,
    blake3: String,
    /// Folders made for it, outermost first, relative to the root.
    folders: Vec<String>,
}

impl StepKind for TargetAssess {
    const KIND: &'static str = "target.assess";
    const SUMMARY: &'static str = "look at every target before anything changes and write migration-plan-<date>.json";
    const EXAMPLE: &'static str = r#"id = "assess"
use = "target.assess"
with = { targets = ["main"], free-space = 2 }
"#;
    type Config = AssessConfig;

    fn build(config: AssessConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        if config.targets.is_empty() {
            return Err(BuildError::at("targets", "no target is named").with_help("name at least one target"));
        }
        for (i, name) in config.targets.iter().enumerate() {
            cx.known_target(name, None, &format!("targets[{i}]"))?;
        }
        for (what, count) in &config.counts {
            cx.known_target(&count.target, None, &format!("counts.{what}.target"))?;
        }
        if !(config.free_space.is_finite() && config.free_space >= 0.0) {
            return Err(BuildError::at("free-space", "a multiple of the targets' size is a number from 0 on"));
        }
        for (name, argv) in &config.versions {
            if argv.first().is_none_or(String::is_empty) {
                return Err(BuildError::at(format!("versions.{name}"), "an empty command")
                    .with_help("a command is a list: [\"python3\", \"--version\"]"));
            }
        }
        Ok(Self { config })
    }
}

register_step!(TargetAssess);

#[async_trait]
impl MigrationStep for TargetAssess {
    fn describe(&self) -> Vec<Change> {
        let mut changes: Vec<_> =
            self.config.targets.iter().map(|t| Change::new(Action::Check, format!("target {t}"))).collect();
        for (what, count) in &self.config.counts {
            changes
                .push(Change::new(Action::Check, format!("count {what}")).with_detail(format!("in {}", count.target)));
        }
        for (name, argv) in &self.config.versions {
            changes.push(Change::new(Action::Run, format!("version of {name}")).with_detail(argv.join(" ")));
        }
        let file = Path::new(&self.config.into).join("migration-plan-<date>.json");
        let file = file.strip_prefix(".").unwrap_or(&file).display().to_string();
        changes.push(Change::new(Action::Create, format!("file {file}")));
        changes
    }

    fn uses(&self) -> Vec<Use> {
        let counted = self.config.counts.values().map(|c| &c.target);
        let mut uses: Vec<_> = self.config.targets.iter().chain(counted).map(Use::read).collect();
        uses.sort();
        uses.dedup();
        uses
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let found = self.find(cx).await?;
        Ok(if found.is_empty() { Standing::Pending } else { Standing::Applied })
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        if let Some(receipt) = self.written(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let report = self.assess(cx).await?;
        let (bytes, taken_at) = (report.to_bytes()?, report.taken_at);
        let (inner, into) = (cx.clone(), self.config.into.clone());
        let (made, path) = cx
            .blocking(move || {
                let folder = inside(inner.root(), &into, true)?;
                let missing = folder.ancestors().take_while(|f| !f.exists()).map(|f| relative(&inner, f)).collect();
                let path = report::free_name(&folder, taken_at);
                let (version, shown) = (report::VERSION, relative(&inner, &path));
                Ok((Made { version, path: shown, blake3: blake3_hex(&bytes), folders: missing }, (path, bytes)))
            })
            .await?;
        let (path, bytes) = path;
        let receipt = Receipt::of(&made)?.with_bytes(bytes.len() as u64).with_note(format!("wrote {}", made.path));
        cx.intend(&receipt).await?;
        cx.blocking(move || {
            if let Some(folder) = path.parent() {
                private_dir(folder)?;
            }
            write_atomic(&path, &bytes, PRIVATE_FILE)
        })
        .await?;
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let (inner, into) = (cx.clone(), self.config.into.clone());
        let all = cx.blocking(move || report::all_in(&inside(inner.root(), &into, true)?)).await?;
        let mut broken = Vec::new();
        for (path, report) in all {
            match report {
                Ok(report) if report.is_of(cx.info()) => return Ok(Verdict::Holds),
                Ok(_) => {}
                Err(e) => broken.push(format!("{}: {}", relative(cx, &path), e.chain())),
            }
        }
        if broken.is_empty() {
            broken.push(format!("no migration-plan-<date>.json of this step in `{}`", self.config.into));
        }
        Ok(Verdict::Broken(broken))
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let Some(made) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()? else {
            return Ok(());
        };
        let inner = cx.clone();
        cx.blocking(move || {
            let path = inside(inner.root(), &made.path, false)?;
            match fs::read(&path) {
                Ok(bytes) if blake3_hex(&bytes) == made.blake3 => {
                    fs::remove_file(&path).map_err(|e| io_error("cannot remove", &path, e))?;
                    sync_parent(&path)?;
                }
                Ok(_) => inner.note(&format!("`{}` was edited since and stays", made.path)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(io_error("cannot read", &path, e)),
            }
            for folder in &made.folders {
                // Not empty, or gone: not ours to remove any more.
                let _ = fs::remove_dir(inside(inner.root(), folder, false)?);
            }
            Ok(())
        })
        .await
    }
}

impl TargetAssess {
    /// Artifacts that this step wrote, by path.
    async fn find(&self, cx: &StepContext) -> Result<Vec<(PathBuf, Report)>, StepError> {
        let (inner, into) = (cx.clone(), self.config.into.clone());
        cx.blocking(move || {
            let all = report::all_in(&inside(inner.root(), &into, true)?)?;
            Ok(all.into_iter().filter_map(|(p, r)| Some((p, r.ok()?))).filter(|(_, r)| r.is_of(inner.info())).collect())
        })
        .await
    }

    /// The receipt of an artifact that an interrupted try, or this very run, has written already.
    async fn written(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        if let Some(intent) = cx.info().intent.clone().filter(|r| !r.body.is_null()) {
            let (inner, made) = (cx.clone(), intent.read::<Made>()?);
            let whole = cx
                .blocking(move || {
                    let path = inside(inner.root(), &made.path, false)?;
                    Ok(fs::read(path).is_ok_and(|bytes| blake3_hex(&bytes) == made.blake3))
                })
                .await?;
            if whole {
                return Ok(Some(intent));
            }
        }
        let found = self.find(cx).await?;
        let ours = found.into_iter().find(|(_, r)| r.run == cx.info().run);
        Ok(ours.map(|(path, _)| Receipt::nothing().with_note(format!("{} is there", relative(cx, &path)))))
    }

    /// Looks at everything; nothing is written but a sample in our own state folder.
    async fn assess(&self, cx: &StepContext) -> Result<Report, StepError> {
        let mut targets = BTreeMap::new();
        let mut errors = Vec::new();
        for (i, name) in self.config.targets.iter().enumerate() {
            cx.progress(i as u64, Some(self.config.targets.len() as u64), "targets");
            match look_at(cx, name).await {
                Ok(report) => drop(targets.insert(name.clone(), report)),
                Err(e) => errors.push((format!("target `{name}`"), e)),
            }
        }
        let mut counts = BTreeMap::new();
        for (what, count) in &self.config.counts {
            // A target that could not be opened was reported above.
            if self.config.targets.contains(&count.target) && !targets.contains_key(&count.target) {
                continue;
            }
            match measure(cx, count).await {
                Ok(number) => drop(counts.insert(what.clone(), number)),
                Err(e) => errors.push((format!("count `{what}`"), e)),
            }
        }
        let bytes: u64 = targets.values().map(|t: &TargetReport| t.assessment.bytes).sum();
        let needed = (bytes as f64 * self.config.free_space) as u64;
        let (inner, versions) = (cx.clone(), self.config.versions.clone());
        let measured = cx
            .blocking(move || {
                let space = estimate::room(inner.root(), needed, "the migration");
                let rates = if space.is_ok() { Some(estimate::measure(&inner.scratch_dir())?) } else { None };
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
        let estimates = targets
            .iter()
            .map(|(name, t)| (name.clone(), rates.estimate(t.assessment.bytes, t.assessment.counts.values().sum())))
            .collect();
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
            estimates: Estimates { basis: BASIS.to_owned(), rates, targets: estimates },
        })
    }
}

async fn look_at(cx: &StepContext, name: &str) -> Result<TargetReport, StepError> {
    let target = cx.any_target(name)?;
    let assessment = target.assess(cx).await?;
    let schema_digest = target.fingerprint(cx, Depth::Schema).await?.schema_digest();
    for problem in &assessment.problems {
        cx.note(&format!("{name}: {problem}"));
    }
    Ok(TargetReport { schema_digest, assessment })
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
        let program = Program { argv, cwd, env: &env, timeout: VERSION_TIMEOUT, log: None };
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

/// `path` relative to the root, for receipts and people.
fn relative(cx: &StepContext, path: &Path) -> String {
    let root = cx.root().canonicalize().unwrap_or_else(|_| cx.root().to_owned());
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;

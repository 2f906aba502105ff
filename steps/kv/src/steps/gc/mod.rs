//! `kv.gc`: drops versions that nobody needs any more. Nothing else ever does.
//!
//! Owns what the step says of itself before it drops anything, and when it is done. Which records go is `gc`'s. A key's
//! records go in one write of the store: a kill never leaves an older version showing.

mod job;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Finding, Lint, MigrationStep, Receipt, Reversal,
    Seen, Standing, StepContext, StepError, StepErrorKind, StepKind, Use, Verdict, async_trait, fault, fault::Faults,
    register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rewriting;
use crate::gc::{Dropped, Rule};
use job::on;

/// Drops records.
#[derive(Debug, Clone)]
pub struct KvGc {
    target: String,
    config: GcConfig,
}

/// What is dropped. Of a key that has operands of a merge only what is behind a version that discards those before it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GcConfig {
    /// Only keys that begin so.
    #[serde(default)]
    pub prefix: String,
    /// As many versions of each key stay: the newest ones.
    pub keep: Option<u64>,
    /// A version: readers as of it and of later ones find what they found; what only earlier ones find goes. Without `keep`
    /// one version up to it stays.
    pub below: Option<u64>,
    /// Keys that are deleted go, with all their versions.
    #[serde(default)]
    pub deleted: bool,
    /// Keys that have expired go, with all their versions.
    #[serde(default)]
    pub expired: bool,
    /// There is no way back, not even by restoring: the step must say `irreversible = "why"`.
    #[serde(default)]
    pub one_way: bool,
}

/// What apply made, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    version: u32,
    rule: Rule,
    /// None in an intent.
    dropped: Option<Dropped>,
}

const VERSION: u32 = 1;

/// Records go for good.
pub(super) const DROPS: Lint = Lint { code: "W501", meaning: "records of a store are dropped", seen: Seen::OnTarget };

register_step!(KvGc);

impl StepKind for KvGc {
    const KIND: &'static str = "kv.gc";
    const SUMMARY: &'static str =
        "drop older versions, deleted and expired keys of a store, which nothing else ever drops";
    const EXAMPLE: &'static str = r#"id = "drop-history"
use = "kv.gc"
target = "memory"
irreversible = "the backup of the old database has every version"
with = { keep = 3, deleted = true, expired = true, one-way = true }
"#;
    const FAULTS: Faults = Faults {
        apply: &[fault::KV_GC_INTENDED, fault::KV_GC_BATCH, fault::KV_GC_DONE],
        // Those of the store's restore, which is its way back.
        rollback: &[fault::KV_RESTORE_ASIDE, fault::KV_RESTORE_BATCH, fault::KV_RESTORED],
    };
    const LINTS: &'static [Lint] = &[DROPS];
    type Config = GcConfig;

    fn build(config: GcConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = rewriting::target(cx)?;
        if config.keep == Some(0) {
            return Err(BuildError::at("keep", "nothing would stay of any key").with_help("keep 1 version or more"));
        }
        if config.keep.is_none() && config.below.is_none() && !config.deleted && !config.expired {
            return Err(BuildError::at("", "nothing is said to go")
                .with_help("name `keep`, `below`, `deleted` or `expired`: what may go is never guessed"));
        }
        Ok(Self { target, config })
    }
}

#[async_trait]
impl MigrationStep for KvGc {
    fn describe(&self) -> Vec<Change> {
        let GcConfig { prefix, keep, below, deleted, expired, one_way } = &self.config;
        let mut said = Vec::new();
        said.extend(keep.map(|keep| format!("{keep} versions of a key stay")));
        said.extend(below.map(|below| format!("readers from version {below} on find what they found")));
        said.extend(deleted.then(|| "deleted keys go".to_owned()));
        said.extend(expired.then(|| "expired keys go".to_owned()));
        said.extend(one_way.then(|| "for good".to_owned()));
        let under = if prefix.is_empty() { String::new() } else { format!(" under `{prefix}`") };
        vec![Change::new(Action::Remove, format!("records of {}{under}", self.target)).with_detail(said.join("; "))]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn reversal(&self) -> Reversal {
        if self.config.one_way { Reversal::Irreversible } else { Reversal::Restore(self.target.clone()) }
    }

    /// What would go as the store is now.
    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let dropped = match on(self, cx, |job| job.would_drop(&job.rule_from_now()?)).await {
            // Whose program runs now; the step's own time may be another.
            Err(error) if error.kind() == StepErrorKind::Busy => return Ok(None),
            dropped => dropped?,
        };
        let (target, text) = (&self.target, dropped.text());
        if dropped.total() == 0 {
            return Ok(None);
        }
        let mut finding = Finding::new(&DROPS, format!("of `{target}` as it is now would go {text}"));
        if self.config.one_way {
            finding.help = Some("nothing brings them back: take a snapshot of the target first".to_owned());
        }
        Ok(Some(vec![finding]))
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        on(self, cx, |job| {
            Ok(match job.note()? {
                Some(note) if note.config != job.config => Standing::Conflict(job.of_another()),
                Some(note) if note.done => Standing::Applied,
                Some(note) => Standing::Partial(format!("dropped so far: {}", note.dropped.text())),
                None => Standing::Pending,
            })
        })
        .await
    }

    async fn recover(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        on(self, cx, |job| job.note()?.filter(|note| note.done).map(|note| job.receipt(note)).transpose()).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let intent = cx.info().intent.as_ref().filter(|receipt| !receipt.body.is_null());
        let known = intent.map(Receipt::read::<Made>).transpose()?;
        let (rule, done) = on(self, cx, move |job| {
            let done = match job.note()? {
                Some(note) if note.config != job.config => {
                    return Err(StepError::conflict(job.of_another())
                        .with_help("give this step another id: what the earlier one dropped stays dropped"));
                }
                Some(note) if note.done => Some(job.receipt(note)?),
                _ => None,
            };
            job.is_there()?;
            // The same in every try: what expires or is written meanwhile is no part of it.
            Ok((known.map_or_else(|| job.rule_from_now(), |made| Ok(made.rule))?, done))
        })
        .await?;
        if let Some(receipt) = done {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let mut intent = Receipt::of(&Made { version: VERSION, rule, dropped: None })?;
        intent.wrote.insert(self.target.clone(), job::removes());
        cx.intend(&intent).await?;
        fault::point(fault::KV_GC_INTENDED);
        on(self, cx, move |job| {
            let note = job.drop_records(&rule)?;
            if !note.done {
                return Ok(Applied::Stopped(Checkpoint { at: format!("{} records dropped", note.dropped.total()) }));
            }
            fault::point(fault::KV_GC_DONE);
            Ok(Applied::Changed(job.receipt(note)?))
        })
        .await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        on(self, cx, |job| {
            let Some(note) = job.note()? else {
                return Ok(Verdict::Broken(vec![format!(
                    "nothing says that records of `{}` were dropped",
                    job.target
                )]));
            };
            if !note.done {
                return Ok(Verdict::Broken(vec![format!("dropped so far: {}", note.dropped.text())]));
            }
            let left = job.would_drop(&note.rule)?;
            Ok(match left.total() {
                0 => Verdict::Holds,
                _ => Verdict::Broken(vec![format!("still to be dropped from `{}`: {}", job.target, left.text())]),
            })
        })
        .await
    }

    async fn rollback(&self, _cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        // Undone by restoring, or not at all.
        match receipt.filter(|receipt| !receipt.body.is_null()) {
            Some(_) if self.config.one_way => {
                Err(StepError::failed(format!("what was dropped from `{}` is gone", self.target))
                    .with_help("copy it again from a backup of your own, then resolve the step"))
            }
            _ => Ok(()),
        }
    }
}

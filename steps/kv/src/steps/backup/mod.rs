//! `kv.backup`: writes the records of a target, or of a program that has its database open, as a Badger backup, which
//! `badger restore` takes.
//!
//! Owns the step: what it needs, what it says, when it is done. Which file is its own and how it comes to be is `job`'s.

mod config;
mod job;
mod name;

use std::collections::BTreeMap;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Effects, Leftovers, MigrationStep, Receipt, Reversal, Standing,
    StepContext, StepError, StepKind, Use, Verdict, async_trait, disk, fault, fault::Faults, process, register_step,
    shell_word,
};
use serde::{Deserialize, Serialize};

pub use config::BackupConfig;
use job::{Job, Present};
use name::Stamped;

use crate::backup::Sidecar;

const VERSION: u32 = 1;

/// Writes a backup.
#[derive(Debug)]
pub struct KvBackup {
    config: BackupConfig,
}

/// What apply made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    version: u32,
    /// The file, relative to the root.
    into: String,
    /// How many of the folders above it were not.
    folders: usize,
}

register_step!(KvBackup);

impl StepKind for KvBackup {
    const KIND: &'static str = "kv.backup";
    const SUMMARY: &'static str =
        "write records of a store, a Badger directory or a living Badger as a backup of Badger's";
    const EXAMPLE: &'static str = r#"id = "back-up"
use = "kv.backup"
with = { from = "memory", into = "data/backups/phl-memory-backup-{stamp}.bak", keep = 30 }
"#;
    const FAULTS: Faults =
        Faults { apply: &[fault::KV_BACKUP_INTENDED, fault::KV_BACKUP_WRITTEN], rollback: &[fault::KV_BACKUP_KEPT] };
    const TUNING: &'static [&'static str] = BackupConfig::TUNING;
    type Config = BackupConfig;

    fn build(config: BackupConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        config.check(cx)?;
        Ok(Self { config })
    }
}

#[async_trait]
impl MigrationStep for KvBackup {
    fn describe(&self) -> Vec<Change> {
        let Self { config } = self;
        let shown = |argv: &[String]| argv.iter().map(|a| shell_word(a)).collect::<Vec<_>>().join(" ");
        let from = config.from.as_deref().unwrap_or_default();
        let which = match (&config.backup_command, &config.after) {
            (Some(argv), _) => format!("what `{}` writes", shown(argv)),
            (None, Some(step)) => format!("what was written into {from} after {step}"),
            (None, None) if config.since > 0 => format!("records of {from} from version {} on", config.since),
            (None, None) => format!("records of {from}"),
        };
        vec![Change::new(Action::Create, format!("file {}", config.into)).with_detail(which)]
    }

    fn uses(&self) -> Vec<Use> {
        self.config.from.iter().map(Use::read).collect()
    }

    fn reversal(&self) -> Reversal {
        Reversal::Inverse
    }

    fn effects(&self) -> Effects {
        if self.config.backup_command.is_some() { Effects::External } else { Effects::Contained }
    }

    fn rehearsable(&self) -> bool {
        self.effects() == Effects::Contained
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let program = self.config.backup_command.as_ref().and_then(|argv| argv.first());
        if let Some(why) = program.and_then(|program| process::not_found(program, &BTreeMap::new())) {
            return Ok(Standing::Conflict(format!("{why}; install it, or name it by its path")));
        }
        self.on(cx, |job| {
            Ok(match job.present()? {
                Present::Nothing => Standing::Pending,
                Present::Ours(..) => Standing::Applied,
                Present::Foreign => Standing::Conflict(job.in_the_way()),
            })
        })
        .await
    }

    async fn recover(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        self.on(cx, |job| match job.present()? {
            Present::Ours(into, sidecar) => receipt(&Made { version: VERSION, into, folders: 0 }, &sidecar).map(Some),
            Present::Nothing | Present::Foreign => Ok(None),
        })
        .await
    }

    async fn leftovers(&self, cx: &StepContext) -> Result<Leftovers, StepError> {
        self.on(cx, |job| job.leftovers()).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let known = match &cx.info().intent {
            Some(intent) => Some(intent.clone()),
            None => cx.receipt_of(&cx.info().id).await?,
        };
        let (made, present) = self
            .on(cx, move |job| {
                let known = known.filter(|receipt| !receipt.body.is_null());
                let known = known.map(|known| known.read::<Made>()).transpose()?;
                Ok(match job.present()? {
                    Present::Nothing => (job.begin(known)?, None),
                    Present::Ours(into, sidecar) => {
                        let known = known.filter(|known| known.into == into);
                        (known.unwrap_or(Made { version: VERSION, into, folders: 0 }), Some(sidecar))
                    }
                    Present::Foreign => {
                        return Err(StepError::conflict(job.in_the_way())
                            .with_help("move that file away, or choose another `into`"));
                    }
                })
            })
            .await?;
        if let Some(sidecar) = present {
            return Ok(Applied::AlreadyApplied(receipt(&made, &sidecar)?));
        }
        cx.intend(&Receipt::of(&made)?).await?;
        fault::point(fault::KV_BACKUP_INTENDED);
        let into = made.into.clone();
        let sidecar = self.on(cx, move |job| job.write(&into)).await?;
        fault::point(fault::KV_BACKUP_WRITTEN);
        Ok(Applied::Changed(receipt(&made, &sidecar)?))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        self.on(cx, |job| {
            let said = match job.present()? {
                Present::Ours(into, sidecar) => sidecar.check(&job.path(&into)?),
                Present::Nothing => return Ok(Verdict::Broken(vec![format!("`{}` is missing", job.config.into)])),
                Present::Foreign => return Ok(Verdict::Broken(vec![job.in_the_way()])),
            };
            Ok(said.map_or_else(|error| Verdict::Broken(vec![error.to_string()]), |()| Verdict::Holds))
        })
        .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let Some(made) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()? else {
            return Ok(());
        };
        self.on(cx, move |job| job.keep(&made)).await
    }
}

fn receipt(made: &Made, sidecar: &Sidecar) -> Result<Receipt, StepError> {
    let note = format!("{} records, versions up to {}", sidecar.records, sidecar.max_version);
    Ok(Receipt::of(made)?.with_rows(sidecar.records).with_bytes(sidecar.bytes).with_note(note))
}

/// The backup that a step `kv.backup` of this plan made, relative to the root; none where it made none yet.
pub(super) async fn made_by(cx: &StepContext, step: &str) -> Result<Option<String>, StepError> {
    let receipt = cx.receipt_of(step).await?.filter(|receipt| !receipt.body.is_null());
    receipt.map(|receipt| receipt.read::<Made>().map(|made| made.into)).transpose()
}

/// The name of a file with the moment in it; none where there is no place for that.
pub(super) fn stamped(cx: &StepContext, into: &str) -> Option<String> {
    Stamped::of(into).map(|name| name.next(cx))
}

impl KvBackup {
    async fn on<T: Send + 'static>(
        &self,
        cx: &StepContext,
        work: impl FnOnce(&Job<'_>) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let (inner, config) = (cx.clone(), self.config.clone());
        disk::inside(cx.root(), &config.into, false)?;
        cx.blocking(move || work(&Job { cx: &inner, config: &config, stamped: Stamped::of(&config.into) })).await
    }
}

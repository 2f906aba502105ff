//! `kv.copy`: every record of a source into an empty store, sorted, in batches that carry their cursor.
//!
//! Owns the step: what it needs, what it says, when it is done. The copy itself is `copy`'s, where records come from is
//! `from`'s, and the way back is `back`'s.

mod back;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, disk, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::copy::{Copy, Cursor, Flow, Sum};
use crate::steps::from::{self, From};
use crate::steps::into::{self, Into};

/// Copies records into a store.
#[derive(Debug)]
pub struct KvCopy {
    config: CopyConfig,
}

/// From where, and into which store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CopyConfig {
    /// Badger backup files, relative to the root: a whole one, then what came since, the oldest first. Of two records with
    /// one key and version that of the later file counts.
    #[serde(default)]
    pub backups: Vec<String>,
    /// Instead of backups: the target (`sled` or `fjall`) whose records are copied.
    pub from: Option<String>,
    /// The target (`sled` or `fjall`) that gets them. It is made, or it is there and has no records yet.
    pub into: String,
}

/// What apply made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    version: u32,
    /// The target.
    into: String,
    /// Whether there was a store, without records, before.
    was_there: bool,
    /// How many of the folders above it were not.
    folders: usize,
    /// What the source was.
    identity: String,
    /// How far it came; none in an intent.
    cursor: Option<Cursor>,
}

const VERSION: u32 = 1;

register_step!(KvCopy);

impl StepKind for KvCopy {
    const KIND: &'static str = "kv.copy";
    const SUMMARY: &'static str =
        "copy every record of a Badger backup or of a store, with its versions, into an empty store";
    const EXAMPLE: &'static str = r#"id = "copy-memory"
use = "kv.copy"
with = { backups = ["data/backups/phl-memory-backup-20251201_020000.bak"], into = "memory" }
"#;
    const FAULTS: Faults = Faults {
        apply: &[fault::KV_COPY_INTENDED, fault::KV_COPY_BATCH, fault::KV_COPY_DONE],
        rollback: &[fault::KV_COPY_BACK, fault::KV_COPY_EMPTIED],
    };
    type Config = CopyConfig;

    fn build(config: CopyConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        into::known(cx, &config.into, "into")?;
        from::known(cx, &config.backups, config.from.as_deref(), &config.into)?;
        Ok(Self { config })
    }
}

#[async_trait]
impl MigrationStep for KvCopy {
    fn describe(&self) -> Vec<Change> {
        let Self { config } = self;
        let from = config.from.clone().map_or_else(|| config.backups.join(", "), |from| format!("target {from}"));
        vec![
            Change::new(Action::Create, format!("records of {}", config.into))
                .with_detail(format!("copied from {from}")),
        ]
    }

    fn uses(&self) -> Vec<Use> {
        let from = self.config.from.iter().map(Use::read);
        from.chain([Use::write(&self.config.into)]).collect()
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        self.on(cx, |job| {
            let from = match job.from() {
                Ok(from) => from,
                Err(_) if job.is_awaited()? => return Ok(Standing::Pending),
                Err(error) => return Ok(Standing::Conflict(error.to_string())),
            };
            Ok(match job.cursor()? {
                Some(cursor) if cursor.identity != from.identity() => Standing::Conflict(job.of_another()),
                Some(cursor) if cursor.done => Standing::Applied,
                Some(cursor) => Standing::Partial(format!("{} records are copied", cursor.records)),
                None => job.into.is_empty()?.map_or(Standing::Pending, Standing::Conflict),
            })
        })
        .await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let known = match &cx.info().intent {
            Some(intent) => Some(intent.clone()),
            None => cx.receipt_of(&cx.info().id).await?,
        };
        let (made, begun) = self
            .on(cx, move |job| {
                let from = job.from()?;
                let cursor = job.cursor()?;
                match &cursor {
                    Some(cursor) if cursor.identity != from.identity() => {
                        return Err(StepError::conflict(job.of_another()).with_help(ANOTHER));
                    }
                    Some(_) => {}
                    None => {
                        if let Some(why) = job.into.is_empty()? {
                            return Err(StepError::conflict(why).with_help(NOT_EMPTY));
                        }
                    }
                }
                let (was_there, folders) = match known.filter(|receipt| !receipt.body.is_null()) {
                    Some(known) => {
                        let known = known.read::<Made>()?;
                        (known.was_there, known.folders)
                    }
                    None => (job.into.is_there()?, back::missing_folders(job)?),
                };
                let (into, identity) = (job.config.into.clone(), from.identity().to_owned());
                Ok((Made { version: VERSION, into, was_there, folders, identity, cursor: None }, cursor))
            })
            .await?;
        if let Some(cursor) = begun.filter(|cursor| cursor.done) {
            return Ok(Applied::AlreadyApplied(receipt(made, cursor)?));
        }
        cx.intend(&Receipt::of(&made)?).await?;
        fault::point(fault::KV_COPY_INTENDED);
        let (cursor, stopped) = self.on(cx, |job| job.copy()).await?;
        if stopped {
            return Ok(Applied::Stopped(Checkpoint { at: format!("{} records", cursor.records) }));
        }
        Ok(Applied::Changed(receipt(made, cursor)?))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        self.on(cx, |job| {
            let Some(cursor) = job.cursor()? else {
                return Ok(Verdict::Broken(vec![format!("nothing was copied into `{}`", job.config.into)]));
            };
            if !cursor.done {
                return Ok(Verdict::Broken(vec![format!("only {} records are copied", cursor.records)]));
            }
            // What was written after the copy has higher versions.
            let (records, sum) = job.into.read(|store| {
                let (mut records, mut sum) = (0, Sum::default());
                for record in store.into_iter().map(|store| store.versions(b"", 0)).collect::<Result<Vec<_>, _>>()? {
                    for record in record {
                        let record = record?;
                        if record.version <= cursor.max_version {
                            records += 1;
                            sum.add(&record);
                        }
                    }
                }
                Ok((records, sum))
            })?;
            Ok(match (records == cursor.records, sum == cursor.sum) {
                (true, true) => Verdict::Holds,
                (false, _) => Verdict::Broken(vec![format!(
                    "{} records were copied into `{}`, and {records} of their versions are there",
                    cursor.records, job.config.into
                )]),
                (true, false) => Verdict::Broken(vec![format!(
                    "what is in `{}` is not what was copied: its checksum is {sum}, not {}",
                    job.config.into, cursor.sum
                )]),
            })
        })
        .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let Some(made) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()? else {
            return Ok(());
        };
        self.on(cx, move |job| back::back(job, &made)).await
    }
}

const NOT_EMPTY: &str = "copy into a target whose folder is not there yet, or move that one away";
const ANOTHER: &str = "roll the step back before it copies another source";

/// One use of the step: its context, what it reads and writes.
struct Job<'a> {
    cx: &'a StepContext,
    config: &'a CopyConfig,
    into: Arc<dyn Into>,
    name: String,
}

impl KvCopy {
    async fn on<T: Send + 'static>(
        &self,
        cx: &StepContext,
        work: impl FnOnce(&Job<'_>) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let (inner, config) = (cx.clone(), self.config.clone());
        let into = into::of(cx, &config.into)?;
        let name = format!("{}/{}", cx.info().plan, cx.info().id);
        cx.blocking(move || work(&Job { cx: &inner, config: &config, into, name })).await
    }
}

impl Job<'_> {
    fn from(&self) -> Result<From, StepError> {
        From::of(self.cx, &self.config.backups, self.config.from.as_deref())
    }

    /// Whether a backup is yet to be written, by a step before this one say, and nothing is copied.
    fn is_awaited(&self) -> Result<bool, StepError> {
        let mut awaited = false;
        for name in &self.config.backups {
            awaited |= !disk::inside(self.cx.root(), name, true)?.exists();
        }
        Ok(awaited && self.cursor()?.is_none() && self.into.is_empty()?.is_none())
    }

    /// How far the copy has come, as the store says.
    fn cursor(&self) -> Result<Option<Cursor>, StepError> {
        Ok(self.into.read(|store| match store {
            Some(store) => Cursor::of(&self.name, store),
            None => Ok(None),
        })?)
    }

    fn of_another(&self) -> String {
        format!("`{}` was filled from another source than what is there now", self.config.into)
    }

    /// Copies until the end or until a stop is asked for, and gives the store up.
    fn copy(&self) -> Result<(Cursor, bool), StepError> {
        let from = self.from()?;
        let store = self.into.writer()?;
        let scratch = self.cx.scratch_dir().join("sort");
        let copy = Copy { name: &self.name, identity: from.identity(), since: 0, scratch: &scratch };
        let copied = copy.run(from.source(), &*store, &mut |cursor| {
            self.cx.progress(cursor.records, None, "records");
            fault::point(fault::KV_COPY_BATCH);
            if self.cx.stop_requested() { Flow::Stop } else { Flow::On }
        });
        drop(store);
        let shut = self.into.shut();
        // Only sorting needed it.
        let _ = cutover_core::disk::remove_dir(&scratch);
        let copied = copied?;
        shut?;
        fault::point(fault::KV_COPY_DONE);
        Ok((copied.cursor.clone(), !copied.cursor.done))
    }
}

fn receipt(made: Made, cursor: Cursor) -> Result<Receipt, StepError> {
    let (records, bytes) = (cursor.records, cursor.bytes);
    let note = format!("{records} records, versions up to {}", cursor.max_version);
    Ok(Receipt::of(&Made { cursor: Some(cursor), ..made })?.with_rows(records).with_bytes(bytes).with_note(note))
}

//! `kv.copy`: every record of a source into an empty store, sorted, in batches that carry their cursor.
//!
//! Owns the step: what it needs, what it says, when it is done. The copy itself is `copy`'s, where records come from is
//! `from`'s, and the way back is `back`'s.

mod back;
mod config;
mod live;
mod passes;
mod programs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Effects, MigrationStep, Receipt, Reference,
    Standing, StepContext, StepError, StepErrorKind, StepKind, Use, Verdict, async_trait, disk, fault, fault::Faults,
    process, register_step, shell_word,
};
use cutover_steps_control::Beside;
use serde::{Deserialize, Serialize};

pub(crate) use back::{free, remove_folders};
pub use config::{Back, CopyConfig};
use programs::Stage;
pub(crate) use programs::asked;

use crate::copy::{Copy, Cursor, Flow, Sum};
use crate::steps::from::{self, From};
use crate::steps::into::{self, Into};
use crate::store::Batch;

/// Copies records into a store.
#[derive(Debug)]
pub struct KvCopy {
    config: CopyConfig,
    beside: Option<Beside>,
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
        "copy every record of a Badger directory, backup or store, with its versions, into an empty store";
    const EXAMPLE: &'static str = r#"id = "copy-memory"
use = "kv.copy"
with = { backups = ["data/backups/phl-memory-backup-20251201_020000.bak"], into = "memory" }
"#;
    const FAULTS: Faults = Faults {
        apply: &[
            fault::KV_COPY_INTENDED,
            fault::KV_COPY_ASKED,
            fault::KV_COPY_BATCH,
            fault::KV_COPY_LOAD,
            fault::KV_COPY_LOADED,
            fault::KV_COPY_PASS,
            fault::KV_COPY_STOPPING,
            fault::KV_COPY_STOPPED,
            fault::KV_COPY_DONE,
            fault::KV_COPY_STARTING,
            fault::KV_COPY_STARTED,
        ],
        rollback: &[fault::KV_COPY_BACKED, fault::KV_COPY_BACK, fault::KV_COPY_EMPTIED],
    };
    const TUNING: &'static [&'static str] = CopyConfig::TUNING;
    type Config = CopyConfig;

    fn build(config: CopyConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        config.check(cx)?;
        let beside = config.beside.as_ref().map(|beside| Beside::build(beside, "beside", cx)).transpose()?;
        Ok(Self { config, beside })
    }
}

#[async_trait]
impl MigrationStep for KvCopy {
    fn describe(&self) -> Vec<Change> {
        let config = &self.config;
        let shown = |argv: &[String]| argv.iter().map(|a| shell_word(a)).collect::<Vec<_>>().join(" ");
        let from = match &config.backup_command {
            Some(argv) => format!("what `{}` writes, again and again", shown(argv)),
            None => from::named(&config.backups, config.backup_of.as_deref(), config.from.as_deref()),
        };
        let change = Change::new(Action::Create, format!("records of {}", config.into));
        let mut changes = vec![change.with_detail(format!("copied from {from}"))];
        changes.extend(self.beside.iter().flat_map(Beside::describe));
        let told = |field: &str| ["stop-command", "start-command"].contains(&field);
        for (field, argv) in config.commands().filter(|(field, _)| told(field)) {
            changes.push(Change::new(Action::Run, format!("command {}", shown(argv))).with_detail(field));
        }
        changes
    }

    fn effects(&self) -> Effects {
        if self.config.is_live() || self.config.restore_command.is_some() {
            Effects::External
        } else {
            Effects::Contained
        }
    }

    fn rehearsable(&self) -> bool {
        self.effects() == Effects::Contained
    }

    fn uses(&self) -> Vec<Use> {
        let looked = self.beside.iter().flat_map(Beside::targets).filter(|target| *target != self.config.into);
        let read: BTreeSet<String> = self.config.from.iter().cloned().chain(looked).collect();
        read.into_iter().map(Use::read).chain([Use::write(&self.config.into)]).collect()
    }

    fn refers(&self) -> Vec<Reference> {
        self.beside.iter().flat_map(Beside::refers).collect()
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let missing = self.config.commands().find_map(|(_, argv)| process::not_found(argv.first()?, &BTreeMap::new()));
        if let Some(why) = missing {
            return Ok(Standing::Conflict(format!("{why}; install it, or name it by its path")));
        }
        self.on(cx, |job| if job.config.is_live() { job.inspect_live() } else { job.inspect() }).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let known = match &cx.info().intent {
            Some(intent) => Some(intent.clone()),
            None => cx.receipt_of(&cx.info().id).await?,
        };
        let known = known.filter(|receipt| !receipt.body.is_null()).map(|known| known.read::<Made>()).transpose()?;
        // What was copied is in use by now, perhaps.
        let in_use = self.on(cx, |job| Ok(job.stage()? >= Stage::Starting)).await?;
        if let (true, Some(made)) = (in_use, &known)
            && let Some(cursor) = &made.cursor
        {
            let first = self.on(cx, |job| job.start()).await?;
            let receipt = receipt(made.clone(), cursor.clone())?;
            return Ok(if first { Applied::Changed(receipt) } else { Applied::AlreadyApplied(receipt) });
        }
        let (made, begun) = self.on(cx, move |job| job.prepare(known)).await?;
        if let Some(cursor) = begun.filter(|cursor| cursor.done && self.config.start_command.is_none()) {
            return Ok(Applied::AlreadyApplied(receipt(made, cursor)?));
        }
        cx.intend(&Receipt::of(&made)?).await?;
        fault::point(fault::KV_COPY_INTENDED);
        let noted = made.clone();
        self.on(cx, move |job| job.note(&noted)).await?;
        let copied = match self.config.is_live() {
            true => self.copy_living(cx).await?,
            false => self.on(cx, |job| job.copy()).await?,
        };
        let cursor = match copied {
            Ok(cursor) => cursor,
            Err(at) => return Ok(Applied::Stopped(Checkpoint { at })),
        };
        fault::point(fault::KV_COPY_DONE);
        if self.config.start_command.is_some() {
            // From then on the store is not ours alone to look into.
            cx.intend(&Receipt::of(&Made { cursor: Some(cursor.clone()), ..made.clone() })?).await?;
            self.on(cx, |job| job.start()).await?;
        }
        Ok(Applied::Changed(receipt(made, cursor)?))
    }

    /// The store says what was there before it.
    async fn recover(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        self.on(cx, |job| {
            let Some(cursor) = job.cursor()?.filter(|cursor| cursor.done) else { return Ok(None) };
            let name = job.made_note();
            let note =
                job.into.read(|store| Ok(store.map(|s| s.notes()).transpose()?.and_then(|mut n| n.remove(&name))))?;
            let made = note.and_then(|note| serde_json::from_value::<Made>(note).ok());
            made.map(|made| receipt(made, cursor)).transpose()
        })
        .await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        self.on(cx, |job| {
            let cursor = match job.cursor() {
                // It was counted before its program was started, which has it open now.
                Err(error) if error.kind() == StepErrorKind::Busy && job.stage()? == Stage::Started => {
                    return Ok(Verdict::Holds);
                }
                found => found?,
            };
            let Some(cursor) = cursor else {
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
        self.on(cx, move |job| {
            let stage = job.stage()?;
            if stage >= Stage::Starting {
                job.run_of("undo-start-command", &job.config.undo_start_command)?;
            }
            // Nobody waits for what is removed here: what was written after the copy is in Badger by then.
            back::back(job, &made, &|| match stage >= Stage::Stopping {
                true => job.run_of("undo-stop-command", &job.config.undo_stop_command),
                false => Ok(()),
            })?;
            job.forget()
        })
        .await
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
        let (inner, mut config) = (cx.clone(), self.config.clone());
        config.backups = from::backups(cx, &config.backups, config.backup_of.as_deref()).await?;
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
        let mut awaited = self.config.backup_of.is_some() && self.config.backups.is_empty();
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

    fn made_note(&self) -> String {
        format!("made:{}", self.name)
    }

    /// Has the store keep what was there before it, for a journal that is lost.
    fn note(&self, made: &Made) -> Result<(), StepError> {
        let store = self.into.writer()?;
        let note = serde_json::to_value(made)
            .map_err(|error| StepError::internal("a receipt could not be written as JSON").caused_by(error))?;
        let mut batch = Batch::default();
        batch.note(&self.made_note(), note);
        Ok(store.write(batch.durable())?)
    }

    fn of_another(&self) -> String {
        format!("`{}` was filled from another source than what is there now", self.config.into)
    }

    fn inspect(&self) -> Result<Standing, StepError> {
        let from = match self.from() {
            Ok(from) => from,
            Err(_) if self.is_awaited()? => return Ok(Standing::Pending),
            Err(error) => return Ok(Standing::Conflict(error.to_string())),
        };
        Ok(match self.cursor()? {
            Some(cursor) if cursor.identity != from.identity()? => Standing::Conflict(self.of_another()),
            Some(cursor) if cursor.done => Standing::Applied,
            Some(cursor) => Standing::Partial(format!("{} records are copied", cursor.records)),
            None => self.into.is_empty()?.map_or(Standing::Pending, Standing::Conflict),
        })
    }

    /// What apply makes, and how far an earlier try has come.
    fn prepare(&self, known: Option<Made>) -> Result<(Made, Option<Cursor>), StepError> {
        let live = self.config.is_live();
        let identity = if live { live::IDENTITY.to_owned() } else { self.from()?.identity()?.to_owned() };
        let cursor = self.cursor()?;
        match &cursor {
            Some(cursor) if cursor.identity != identity => {
                return Err(StepError::conflict(self.of_another()).with_help(ANOTHER));
            }
            Some(_) => {}
            None if live && self.is_under_way()? => {}
            None => {
                if let Some(why) = self.into.is_empty()? {
                    return Err(StepError::conflict(why).with_help(NOT_EMPTY));
                }
            }
        }
        let (was_there, folders) = match known {
            Some(known) => (known.was_there, known.folders),
            None => (self.into.is_there()?, back::missing_folders(self)?),
        };
        let into = self.config.into.clone();
        Ok((Made { version: VERSION, into, was_there, folders, identity, cursor: None }, cursor))
    }

    /// Copies until the end or until a stop is asked for (then it says where), and gives the store up.
    fn copy(&self) -> Result<Result<Cursor, String>, StepError> {
        let from = self.from()?;
        let store = self.into.writer()?;
        let scratch = self.cx.scratch_dir().join("sort");
        let copy = Copy { name: &self.name, identity: from.identity()?, since: self.config.since, scratch: &scratch };
        let copied = copy.run(from.source(), &*store, &mut |cursor| {
            self.cx.progress(cursor.records, None, "records");
            fault::point(fault::KV_COPY_BATCH);
            if self.cx.stop_requested() { Flow::Stop } else { Flow::On }
        });
        let copied = copied.and_then(|copied| store.rest().map(|()| copied));
        drop(store);
        let shut = self.into.shut();
        // Only sorting needed it.
        let _ = cutover_core::disk::remove_dir(&scratch);
        let cursor = copied?.cursor;
        match shut {
            // All is there and durable: what could not be put into tables is in the store's log.
            Err(why) if cursor.done => self.cx.note(&format!("the store was not left at rest: {why}")),
            shut => shut?,
        }
        Ok(if cursor.done { Ok(cursor) } else { Err(format!("{} records", cursor.records)) })
    }
}

fn receipt(made: Made, cursor: Cursor) -> Result<Receipt, StepError> {
    let (records, bytes) = (cursor.records, cursor.bytes);
    let note = format!("{records} records, versions up to {}", cursor.max_version);
    Ok(Receipt::of(&Made { cursor: Some(cursor), ..made })?.with_rows(records).with_bytes(bytes).with_note(note))
}

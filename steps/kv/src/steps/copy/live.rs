//! Copies a Badger database that a program has open and writes to.
//!
//! Owns a pass and the end, after which nobody else writes; `passes` owns how one follows the other. Each pass asks for what
//! came since the highest version of the one before, that version included, since what is written to a store twice is there
//! once, and what is left out is lost. What a pass brought and which one it was is in the store; which command was begun is
//! in the step's folder (`programs`).

use std::path::Path;
use std::time::{Duration, Instant};

use cutover_core::{Standing, StepError, disk, fault};
use serde::{Deserialize, Serialize};

use super::Job;
use super::programs::{PASS, Stage};
use crate::backup::BackupFile;
use crate::copy::{Copy, Cursor, Flow, Sum};
use crate::error::{KvError, KvErrorKind, Result};
use crate::source::RecordSource;
use crate::steps::from::From;
use crate::store::{Batch, VersionedStore};

/// What a source is that goes on.
pub(super) const IDENTITY: &str = "a living Badger";

/// What the store says of the passes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Passes {
    /// Whole ones.
    passes: u32,
    /// The highest version so far: the next one begins with it.
    since: u64,
}

/// What a pass brought.
pub(super) struct Brought {
    /// Records above the version that it began with.
    pub(super) fresh: u64,
    /// The highest version.
    max: u64,
    pub(super) took: Duration,
}

impl Job<'_> {
    fn passes_note(&self) -> String {
        format!("passes:{}", self.name)
    }

    fn passes(&self, store: &dyn VersionedStore) -> Result<Passes> {
        let note = store.notes()?.remove(&self.passes_note());
        note.map(serde_json::from_value).transpose().map(Option::unwrap_or_default).map_err(|error| {
            let text = format!("what it says of the passes of `{}` cannot be read: {error}", self.name);
            KvError::of(store.path(), KvErrorKind::Malformed(text))
        })
    }

    /// Whether passes of this copy are in the store.
    pub(super) fn is_under_way(&self) -> Result<bool, StepError> {
        Ok(self.into.read(|store| {
            let notes = store.map(VersionedStore::notes).transpose()?.unwrap_or_default();
            Ok([self.passes_note(), Cursor::note(&self.pass_name())].iter().any(|note| notes.contains_key(note)))
        })?)
    }

    /// What the store notes of a copy that is under way.
    pub(super) fn notes_under_way(&self) -> [String; 2] {
        [self.passes_note(), Cursor::note(&self.pass_name())]
    }

    pub(super) fn inspect_live(&self) -> Result<Standing, StepError> {
        let stage = self.stage()?;
        if stage >= Stage::Starting {
            let done = stage >= Stage::Started;
            return Ok(if done {
                Standing::Applied
            } else {
                Standing::Partial("`start-command` was begun".to_owned())
            });
        }
        Ok(match self.cursor()? {
            Some(cursor) if cursor.identity != IDENTITY => Standing::Conflict(self.of_another()),
            Some(cursor) if cursor.done && self.config.start_command.is_none() => Standing::Applied,
            Some(cursor) => Standing::Partial(format!("{} records are copied", cursor.records)),
            None if self.is_under_way()? => Standing::Partial("not all passes are copied".to_owned()),
            None => self.into.is_empty()?.map_or(Standing::Pending, Standing::Conflict),
        })
    }

    /// Ends the program that writes, copies the rest, and counts what is there.
    pub(super) fn take_over(&self) -> Result<Cursor, StepError> {
        let store = &*self.into.writer()?;
        let mut stage = self.stage()?;
        if stage < Stage::Stopping {
            self.reached(Stage::Stopping)?;
            fault::point(fault::KV_COPY_STOPPING);
            stage = Stage::Stopping;
        }
        if stage == Stage::Stopping {
            self.run_of("stop-command", &self.config.stop_command)?;
            fault::point(fault::KV_COPY_STOPPED);
            self.reached(Stage::Stopped)?;
        }
        match &self.config.from {
            Some(name) => self.pass(store, Some(&From::of(self.cx, &[], Some(name))?))?,
            None => self.pass(store, None)?,
        };
        let cursor = self.count(store)?;
        let mut batch = Batch::default();
        batch.note(&Cursor::note(&self.name), json(store, &cursor)?);
        self.notes_under_way().iter().for_each(|note| batch.forget(note));
        store.write(batch.durable())?;
        store.rest()?;
        Ok(cursor)
    }

    /// One pass while the program writes.
    pub(super) fn pass_beside(&self) -> Result<Brought, StepError> {
        self.pass(&*self.into.writer()?, None)
    }

    fn pass_name(&self) -> String {
        format!("{}/pass", self.name)
    }

    /// One pass: a backup of the program that writes, or what a directory has that nobody writes to any more.
    fn pass(&self, store: &dyn VersionedStore, directory: Option<&From>) -> Result<Brought, StepError> {
        let begun = Instant::now();
        let Passes { passes, since } = self.passes(store)?;
        let folder = self.cx.scratch_dir();
        let file = folder.join(format!("{PASS}{}.bak", passes + 1));
        let backup = BackupFile::new(&file);
        let source: &dyn RecordSource = match directory {
            Some(from) => from.source(),
            None => {
                self.ask(&file, since)?;
                &backup
            }
        };
        // All of it, before a record of it is believed.
        let (mut fresh, mut max, mut sum) = (0, since, Sum::default());
        for record in source.records(since)? {
            let record = record.inspect_err(|_| {
                // It is asked for anew.
                let _ = disk::remove_file(&file);
            })?;
            fresh += u64::from(record.version > since);
            max = max.max(record.version);
            sum.add(&record);
        }
        let identity = format!("{fresh} records above version {since}, {sum}");
        let (name, scratch) = (self.pass_name(), folder.join("sort"));
        let copy = Copy { name: &name, identity: &identity, since, scratch: &scratch };
        copy.run(source, store, &mut |cursor| {
            self.cx.progress(cursor.records, Some(fresh), "records");
            fault::point(fault::KV_COPY_BATCH);
            Flow::On
        })?;
        let mut batch = Batch::default();
        batch.note(&self.passes_note(), json(store, &Passes { passes: passes + 1, since: max })?);
        fault::point(fault::KV_COPY_PASS);
        store.write(batch.durable())?;
        let _ = (disk::remove_dir(&scratch), disk::remove_file(&file));
        Ok(Brought { fresh, max, took: begun.elapsed() }).inspect(|brought| {
            self.cx.note(&format!("pass {}: {fresh} records, versions up to {}", passes + 1, brought.max));
        })
    }

    /// Has the program write a backup, unless an interrupted try of the pass has it whole.
    fn ask(&self, file: &Path, since: u64) -> Result<(), StepError> {
        if file.is_file() {
            return Ok(());
        }
        disk::private_dir(&self.cx.scratch_dir())?;
        let partial = disk::partial_name(file)?;
        let argv = self.config.backup_command.as_deref().unwrap_or_default();
        self.run("backup-command", argv, ("{since}", &since.to_string()), Some(&partial))?;
        fault::point(fault::KV_COPY_ASKED);
        disk::rename(&partial, file).map_err(|error| disk::io_error("cannot rename", &partial, error))?;
        disk::sync_parent(file)
    }

    pub(super) fn run_of(&self, field: &str, argv: &Option<Vec<String>>) -> Result<(), StepError> {
        argv.as_ref().map_or(Ok(()), |argv| self.run(field, argv, ("{since}", "{since}"), None))
    }

    /// What is in the store, which nobody else has written to.
    fn count(&self, store: &dyn VersionedStore) -> Result<Cursor, StepError> {
        let mut cursor = Cursor::begin(IDENTITY, 0);
        for record in store.versions(b"", 0)? {
            cursor.add(&record?);
        }
        cursor.done = true;
        Ok(cursor)
    }

    /// Starts what uses the store, unless that is done.
    pub(super) fn start(&self) -> Result<bool, StepError> {
        if self.stage()? >= Stage::Started {
            return Ok(false);
        }
        self.reached(Stage::Starting)?;
        fault::point(fault::KV_COPY_STARTING);
        self.run_of("start-command", &self.config.start_command)?;
        fault::point(fault::KV_COPY_STARTED);
        self.reached(Stage::Started)?;
        Ok(true)
    }
}

fn json(store: &dyn VersionedStore, value: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| KvError::of(store.path(), std::io::Error::from(error)))
}

//! One use of the step: its store, what would go of it, and what went.

use std::mem::take;
use std::sync::Arc;

use cutover_core::{Receipt, StepContext, StepError, fault};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{GcConfig, KvGc, Made, VERSION};
use crate::error::{KvError, KvErrorKind, Result};
use crate::gc::{Dropped, Rule};
use crate::record::Record;
use crate::steps::into::{self, Into};
use crate::store::{Batch, VersionedStore};
use crate::target::REMOVES;

/// A batch is full with as many records, at the end of a key.
const RECORDS: usize = 2_000;

/// What the store says of a step: how far it has come, written with what it dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Note {
    pub(super) config: GcConfig,
    pub(super) rule: Rule,
    pub(super) dropped: Dropped,
    pub(super) done: bool,
}

/// One use of a step.
pub(super) struct Job {
    cx: StepContext,
    pub(super) target: String,
    pub(super) config: GcConfig,
    into: Arc<dyn Into>,
    name: String,
}

/// What a restore has to know: the step only took away, so that whatever lacks is its doing.
pub(super) fn removes() -> Value {
    json!({ REMOVES: true })
}

pub(super) async fn on<T: Send + 'static>(
    step: &KvGc,
    cx: &StepContext,
    work: impl FnOnce(&Job) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let into = into::of(cx, &step.target)?;
    let name = format!("gc:{}/{}", cx.info().plan, cx.info().id);
    let (target, config) = (step.target.clone(), step.config.clone());
    let job = Job { cx: cx.clone(), target, config, into, name };
    cx.blocking(move || work(&job)).await
}

impl Job {
    pub(super) fn is_there(&self) -> Result<(), StepError> {
        match self.into.is_there()? {
            true => Ok(()),
            false => Err(StepError::unavailable(format!("target `{}` has no store", self.target))
                .with_help("copy into it first, or check the path of the target")),
        }
    }

    pub(super) fn note(&self) -> Result<Option<Note>, StepError> {
        let read = |store: &dyn VersionedStore| {
            let found = store.notes()?.remove(&self.name).map(serde_json::from_value).transpose();
            found.map_err(|error| {
                let text = format!("its entry `{}` cannot be read: {error}", self.name);
                KvError::of(store.path(), KvErrorKind::Malformed(text))
            })
        };
        Ok(self.into.read(|store| store.map_or(Ok(None), read))?)
    }

    /// The rule as of now: no version that is written later is a part of it.
    pub(super) fn rule_from_now(&self) -> Result<Rule, StepError> {
        let bound = self.into.read(|store| store.map_or(Ok(0), |store| store.max_version()))?;
        let GcConfig { keep, below, deleted, expired, .. } = self.config;
        Ok(Rule { keep, below, deleted, expired, now: self.cx.now().as_second().max(0) as u64, bound })
    }

    /// What goes by the rule, as the store is.
    pub(super) fn would_drop(&self, rule: &Rule) -> Result<Dropped, StepError> {
        let mut dropped = Dropped::default();
        self.into.read(|store| {
            let Some(store) = store else { return Ok(()) };
            each_key(store, &self.config.prefix, &mut |versions| {
                let (staying, why) = rule.staying(&versions);
                versions[staying..].iter().for_each(|record| dropped.add(why, record));
                Ok(true)
            })
        })?;
        Ok(dropped)
    }

    /// Drops what goes, or goes on with it; not done where a stop was asked for.
    pub(super) fn drop_records(&self, rule: &Rule) -> Result<Note, StepError> {
        let begun = self.note()?;
        let store = self.into.writer()?;
        let done = self.drop_from(&*store, begun, rule);
        drop(store);
        let shut = self.into.shut();
        let done = done?;
        shut?;
        Ok(done)
    }

    fn drop_from(&self, store: &dyn VersionedStore, begun: Option<Note>, rule: &Rule) -> Result<Note> {
        let beginning = || Note { config: self.config.clone(), rule: *rule, dropped: Dropped::default(), done: false };
        let (mut note, mut batch) = (begun.unwrap_or_else(beginning), Batch::default());
        let failed = |error| KvError::of(store.path(), std::io::Error::from(error));
        let mut stopped = false;
        each_key(store, &self.config.prefix, &mut |mut versions| {
            let (staying, why) = note.rule.staying(&versions);
            for record in versions.drain(staying..) {
                note.dropped.add(why, &record);
                batch.remove(record);
            }
            if batch.len() >= RECORDS {
                batch.note(&self.name, serde_json::to_value(&note).map_err(failed)?);
                store.write(take(&mut batch))?;
                fault::point(fault::KV_GC_BATCH);
                self.cx.progress(note.dropped.total(), None, "records");
                stopped = self.cx.stop_requested();
            }
            Ok(!stopped)
        })?;
        note.done = !stopped;
        batch.note(&self.name, serde_json::to_value(&note).map_err(failed)?);
        store.write(batch.durable())?;
        Ok(note)
    }

    pub(super) fn receipt(&self, note: Note) -> Result<Receipt, StepError> {
        let text = note.dropped.text();
        let (rows, bytes) = (note.dropped.total(), note.dropped.bytes);
        let made = Made { version: VERSION, rule: note.rule, dropped: Some(note.dropped) };
        let mut receipt = Receipt::of(&made)?.with_rows(rows).with_bytes(bytes).with_note(format!("dropped {text}"));
        receipt.wrote.insert(self.target.clone(), removes());
        Ok(receipt)
    }

    pub(super) fn of_another(&self) -> String {
        format!("an earlier version of this step has dropped records of `{}`", self.target)
    }
}

/// Calls `with` for the versions of each key, the newest first, until it says no.
fn each_key(store: &dyn VersionedStore, prefix: &str, with: &mut dyn FnMut(Vec<Record>) -> Result<bool>) -> Result<()> {
    let mut versions: Vec<Record> = Vec::new();
    for record in store.versions(prefix.as_bytes(), 0)? {
        let record = record?;
        if versions.last().is_some_and(|last| last.key != record.key) && !with(take(&mut versions))? {
            return Ok(());
        }
        versions.push(record);
    }
    if !versions.is_empty() {
        with(versions)?;
    }
    Ok(())
}

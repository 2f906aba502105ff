//! One use of such a step: its store, and how far that says the step has come.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::{Receipt, StepContext, StepError, disk};
use serde::{Deserialize, Serialize};

use super::{Kind, LIST};
use crate::copy::Flow;
use crate::rewrite::{Cursor, PutBack, Rewrite};
use crate::steps::into::{self, Into};

/// What apply made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Document {
    pub(super) version: u32,
    pub(super) target: String,
    pub(super) identity: String,
    /// How far it came; none in an intent.
    pub(super) cursor: Option<Cursor>,
}

pub(super) const VERSION: u32 = 1;

/// One use of a step.
pub(super) struct Job<K> {
    pub(super) cx: StepContext,
    pub(super) kind: K,
    pub(super) into: Arc<dyn Into>,
    name: String,
}

pub(super) async fn on<K: Kind, T: Send + 'static>(
    kind: &K,
    cx: &StepContext,
    work: impl FnOnce(&Job<K>) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let into = into::of(cx, kind.target())?;
    let name = format!("{}/{}", cx.info().plan, cx.info().id);
    let job = Job { cx: cx.clone(), kind: kind.clone(), into, name };
    cx.blocking(move || work(&job)).await
}

impl<K: Kind> Job<K> {
    pub(super) fn cursor(&self) -> Result<Option<Cursor>, StepError> {
        Ok(self.into.read(|store| store.map_or(Ok(None), |store| Cursor::of(&self.name, store)))?)
    }

    pub(super) fn hindrance(&self) -> Result<Option<String>, StepError> {
        Ok(self.into.read(|store| store.map_or(Ok(None), |store| self.kind.hindrance(store)))?)
    }

    /// Everything that can be known to be wrong before the first record is written.
    pub(super) fn try_first(&self) -> Result<(), StepError> {
        let name = self.kind.target();
        if !self.into.is_there()? {
            return Err(StepError::unavailable(format!("target `{name}` has no store"))
                .with_help("copy into it first, or check the path of the target"));
        }
        if let Some(why) = self.hindrance()? {
            return Err(
                StepError::conflict(why).with_help("nothing was changed; take it out of the way, then run again")
            );
        }
        let (now, list) = (self.now(), self.list());
        let mut tried = Ok(());
        self.into.read(|store| {
            tried = store.map_or(Ok(()), |store| self.kind.trial(store, now, &list));
            Ok(())
        })?;
        tried
    }

    pub(super) fn rewrite(&self) -> Result<Cursor, StepError> {
        let (kept, list) = (self.kept(), self.list());
        disk::private_dir(&self.cx.scratch_dir())?;
        let store = self.into.writer()?;
        let rewrite = Rewrite {
            name: &self.name,
            beginning: Cursor::at_the_beginning(&self.kind.identity(), self.now()),
            kept: &kept,
            list: &list,
            points: [K::POINTS.kept, K::POINTS.batch],
        };
        let now = Cursor::of(&self.name, &*store)?.map_or(rewrite.beginning.now, |cursor| cursor.now);
        let make = self.kind.maker()?;
        let done = self.kind.records(&*store, now).and_then(|records| {
            rewrite.run(&*store, records, make, &mut |cursor| {
                self.cx.progress(cursor.changed + cursor.unchanged + cursor.refusals(), None, "records");
                if self.cx.stop_requested() { Flow::Stop } else { Flow::On }
            })
        });
        drop(store);
        let shut = self.into.shut();
        let done = done?;
        shut?;
        Ok(done)
    }

    pub(super) fn receipt(&self, cursor: Cursor) -> Result<Receipt, StepError> {
        let target = self.kind.target().to_owned();
        let note = format!("{} records rewritten, {} left as they were", cursor.changed, cursor.unchanged);
        let mut notes = vec![note];
        notes.extend(cursor.refused.iter().map(|(why, n)| format!("{n} in quarantine: {why}")));
        if cursor.refusals() > 0 {
            let info = self.cx.info();
            notes.push(format!("they are listed in `steps/{}/{}/{LIST}` of the state folder", info.plan, info.id));
        }
        let (rows, identity) = (cursor.changed, cursor.identity.clone());
        let document = Document { version: VERSION, target, identity, cursor: Some(cursor) };
        Ok(notes.into_iter().fold(Receipt::of(&document)?.with_rows(rows), Receipt::with_note))
    }

    pub(super) fn way<'w>(&'w self, kept: &'w Path, key: &'w dyn Fn(&[u8]) -> Vec<u8>) -> PutBack<'w> {
        PutBack { name: &self.name, kept, key, points: [K::POINTS.back, K::POINTS.forgotten] }
    }

    pub(super) fn kept(&self) -> PathBuf {
        self.cx.scratch_dir().join("before")
    }

    pub(super) fn list(&self) -> PathBuf {
        self.cx.scratch_dir().join(LIST)
    }

    pub(super) fn now(&self) -> u64 {
        self.cx.now().as_second().max(0) as u64
    }

    pub(super) fn of_another(&self) -> String {
        format!(
            "an earlier version of this step has rewritten records of `{}`, and is not taken back",
            self.kind.target()
        )
    }
}

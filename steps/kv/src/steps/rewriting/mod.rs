//! A step that rewrites records of a store where they lie: what `kv.transform` and `kv.rename-prefix` have in common.
//!
//! Owns when such a step is pending, under way, done or in something's way, and its receipt. The rewriting itself is
//! `rewrite`'s, what is made of a record the kind's.

mod job;

use std::fmt;
use std::path::Path;

use cutover_core::{
    Applied, BuildContext, BuildError, Checkpoint, Receipt, Standing, StepContext, StepError, Verdict, fault,
};

use super::into;
use crate::record::Record;
use crate::rewrite::{Made, put_back, standing};
use crate::store::{Records, VersionedStore};
use job::{Document, VERSION, on};

/// What a kind makes of records.
pub(super) trait Kind: fmt::Debug + Clone + Send + Sync + 'static {
    /// The points that it passes.
    const POINTS: Points;

    /// The target.
    fn target(&self) -> &str;

    /// A digest of what it makes of records.
    fn identity(&self) -> String;

    /// The records that it looks at, in order.
    fn records<'s>(&self, store: &'s dyn VersionedStore, now: u64) -> crate::Result<Records<'s>>;

    /// What makes something of each.
    fn maker(&self) -> Result<Maker, StepError>;

    /// The key that a record has afterwards.
    fn key(&self, key: &[u8]) -> Vec<u8>;

    /// What is in the way, told by looking.
    fn hindrance(&self, store: &dyn VersionedStore) -> crate::Result<Option<String>> {
        let _ = store;
        Ok(None)
    }

    /// What is found wrong by trying on every record, before the first is written. It may write the list.
    fn trial(&self, store: &dyn VersionedStore, now: u64, list: &Path) -> Result<(), StepError> {
        let _ = (store, now, list);
        Ok(())
    }
}

/// What makes something of a record.
pub(super) type Maker = Box<dyn FnMut(&Record) -> Made>;

/// The points of such a kind, in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Points {
    pub(super) intended: &'static str,
    pub(super) kept: &'static str,
    pub(super) batch: &'static str,
    pub(super) done: &'static str,
    pub(super) back: &'static str,
    pub(super) forgotten: &'static str,
}

/// The list of records that nothing could be made of, in the step's folder of state.
pub(super) const LIST: &str = "quarantine.jsonl";

/// The step's target, which has to be a store.
pub(super) fn target(cx: &BuildContext<'_>) -> Result<String, BuildError> {
    let Some(name) = cx.target else {
        return Err(BuildError::at("", "this step needs a `target` of kind `sled` or `fjall`")
            .with_help("add `target = \"NAME\"` to the step, beside `use`"));
    };
    into::known(cx, name, "")?;
    Ok(name.to_owned())
}

/// Where the store stands.
pub(super) async fn inspect<K: Kind>(kind: &K, cx: &StepContext) -> Result<Standing, StepError> {
    on(kind, cx, |job| {
        Ok(match job.cursor()? {
            Some(cursor) if cursor.identity != job.kind.identity() => Standing::Conflict(job.of_another()),
            Some(cursor) if cursor.done => Standing::Applied,
            Some(cursor) => Standing::Partial(format!("{} records are rewritten", cursor.changed)),
            // A store that is not there yet may be an earlier step's to make.
            None => job.hindrance()?.map_or(Standing::Pending, Standing::Conflict),
        })
    })
    .await
}

/// What apply made, as the store says.
pub(super) async fn recover<K: Kind>(kind: &K, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
    on(kind, cx, |job| {
        let cursor = job.cursor()?.filter(|cursor| cursor.done);
        cursor.map(|cursor| job.receipt(cursor)).transpose()
    })
    .await
}

/// Rewrites.
pub(super) async fn apply<K: Kind>(kind: &K, cx: &StepContext) -> Result<Applied, StepError> {
    let begun = on(kind, cx, |job| {
        let cursor = job.cursor()?;
        match &cursor {
            Some(cursor) if cursor.identity != job.kind.identity() => {
                return Err(StepError::conflict(job.of_another()).with_help("roll the step back, then apply it again"));
            }
            Some(_) => {}
            None => job.try_first()?,
        }
        cursor.filter(|cursor| cursor.done).map(|cursor| job.receipt(cursor)).transpose()
    })
    .await?;
    if let Some(receipt) = begun {
        return Ok(Applied::AlreadyApplied(receipt));
    }
    let (target, identity) = (kind.target().to_owned(), kind.identity());
    cx.intend(&Receipt::of(&Document { version: VERSION, target, identity, cursor: None })?).await?;
    fault::point(K::POINTS.intended);
    on(kind, cx, |job| {
        let cursor = job.rewrite()?;
        if !cursor.done {
            return Ok(Applied::Stopped(Checkpoint { at: format!("{} records", cursor.changed) }));
        }
        fault::point(K::POINTS.done);
        Ok(Applied::Changed(job.receipt(cursor)?))
    })
    .await
}

/// Compares what was written with what is there.
pub(super) async fn verify<K: Kind>(kind: &K, cx: &StepContext) -> Result<Verdict, StepError> {
    on(kind, cx, |job| {
        let name = job.kind.target();
        let Some(cursor) = job.cursor()? else {
            return Ok(Verdict::Broken(vec![format!("no record of `{name}` was rewritten")]));
        };
        if !cursor.done {
            return Ok(Verdict::Broken(vec![format!("only {} records are rewritten", cursor.changed)]));
        }
        let key = |key: &[u8]| job.kind.key(key);
        let (kept, way) = (job.kept(), |kept| job.way(kept, &key));
        let (records, sum, back) = job.into.read(|store| match store {
            Some(store) => standing(&way(&kept), &cursor, store),
            None => Ok((0, Default::default(), 0)),
        })?;
        let mut lines = Vec::new();
        if records != cursor.changed {
            lines.push(format!(
                "{} records of `{name}` were rewritten, and {records} of them are there",
                cursor.changed
            ));
        } else if sum != cursor.sum {
            lines.push(format!(
                "what was rewritten in `{name}` is not what is there: its checksum is {sum}, not {}",
                cursor.sum
            ));
        }
        if back > 0 {
            lines.push(format!("moved records of `{name}` that are there again under the keys that they had: {back}"));
        }
        Ok(if lines.is_empty() { Verdict::Holds } else { Verdict::Broken(lines) })
    })
    .await
}

/// Puts back what was there before.
pub(super) async fn rollback<K: Kind>(kind: &K, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
    let Some(_) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Document>).transpose()? else {
        return Ok(());
    };
    on(kind, cx, |job| {
        // What was begun is in the store: where that has no cursor, nothing was written.
        if !job.into.is_there()? {
            return Ok(());
        }
        let (kept, store) = (job.kept(), job.into.writer()?);
        let key = |key: &[u8]| job.kind.key(key);
        let put = put_back(&job.way(&kept, &key), &*store, |done, all| job.cx.progress(done, Some(all), "records"));
        drop(store);
        let shut = job.into.shut();
        put?;
        Ok(shut?)
    })
    .await
}

//! The target kinds `sled` and `fjall`: stores of versioned records in a folder.
//!
//! Owns when such a store is open. Neither engine can open one without writing to its folder, so that whoever only looks
//! looks at a copy, made while the engine's own lock is held; whoever writes opens the store itself, and from then until
//! [`Target::close`] everything is read there.

pub(crate) mod badger;
mod between;
mod content;
mod look;
mod query;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutover_core::{
    Assessment, BuildError, Depth, Fingerprint, RestoreOptions, Restored, SnapshotManifest, StepContext, StepError,
    Target, TargetKind, TargetSpec, async_trait, disk, fault, fault::Faults, register_target,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{KvError, Result};
use crate::store::{Engine, Fjall, Keyed, Sled, VersionedStore};
use look::Look;
pub(crate) use restore::REMOVES;

/// A sled store as a target.
pub type SledTarget = KvTarget<Sled>;
/// A fjall store as a target.
pub type FjallTarget = KvTarget<Fjall>;

/// A store in a folder as a target. Where none is yet, it reads as one without records.
#[derive(Debug)]
pub struct KvTarget<E: Engine> {
    name: String,
    path: PathBuf,
    open: Arc<Mutex<Open<E>>>,
}

impl<E: Engine> Clone for KvTarget<E> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), path: self.path.clone(), open: Arc::clone(&self.open) }
    }
}

/// A store has no options of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KvConfig {}

/// A store that is being read.
#[derive(Debug)]
pub(crate) enum Reading<E: Engine> {
    Open(Arc<Keyed<E>>),
    Copy(Arc<Look<E>>),
}

impl<E: Engine> Reading<E> {
    pub(crate) fn store(&self) -> &Keyed<E> {
        match self {
            Self::Open(store) => store,
            Self::Copy(look) => look.store(),
        }
    }
}

#[derive(Debug)]
struct Open<E: Engine> {
    writer: Option<Arc<Keyed<E>>>,
    look: Option<Arc<Look<E>>>,
}

impl<E: Engine> KvTarget<E> {
    fn of(spec: &TargetSpec, path: PathBuf) -> Self {
        Self { name: spec.name.clone(), path, open: Arc::new(Mutex::new(Open { writer: None, look: None })) }
    }

    /// The store to write to, made where none is. It stays open until the target is closed.
    pub fn writer(&self) -> Result<Arc<Keyed<E>>> {
        let mut open = self.lock();
        if let Some(writer) = &open.writer {
            return Ok(Arc::clone(writer));
        }
        open.look = None;
        if let Some(above) = self.path.parent() {
            disk::private_dir(above).map_err(|error| KvError::of(above, error))?;
        }
        let writer = Arc::new(Keyed::open_or_create(&self.path)?);
        open.writer = Some(Arc::clone(&writer));
        Ok(writer)
    }

    /// The store to read from: the open one, or a copy; none where no store is.
    pub(crate) fn reading(&self) -> Result<Option<Reading<E>>> {
        let mut open = self.lock();
        if let Some(writer) = &open.writer {
            return Ok(Some(Reading::Open(Arc::clone(writer))));
        }
        let look = Look::renewed(open.look.take(), &self.path)?;
        open.look.clone_from(&look);
        Ok(look.map(Reading::Copy))
    }

    /// Reads the store: the open one, or a copy; none where no store is.
    pub fn read<T>(&self, work: impl FnOnce(Option<&Keyed<E>>) -> Result<T>) -> Result<T> {
        let reading = self.reading()?;
        work(reading.as_ref().map(Reading::store))
    }

    /// Removes the store and its folder. Nobody has it open.
    pub(crate) fn remove(&self) -> Result<(), StepError> {
        self.shut()?;
        restore::remove(&self.path)
    }

    /// Gives every handle up.
    pub fn shut(&self) -> Result<()> {
        let mut open = self.lock();
        open.look = None;
        match open.writer.take() {
            Some(writer) => writer.flush(),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open<E>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn on<T: Send + 'static>(
        &self,
        cx: &StepContext,
        work: impl FnOnce(&Self, &StepContext) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let (target, inner) = (self.clone(), cx.clone());
        cx.blocking(move || work(&target, &inner)).await
    }
}

/// Those of a snapshot and of a restore.
const FAULTS: Faults = Faults {
    apply: &[fault::KV_SNAPSHOT_RECORDS, fault::KV_SNAPSHOT_MADE],
    rollback: &[fault::KV_RESTORE_ASIDE, fault::KV_RESTORE_BATCH, fault::KV_RESTORED],
};

register_target!(SledTarget);
register_target!(FjallTarget);

impl TargetKind for SledTarget {
    const KIND: &'static str = Sled::NAME;
    const SUMMARY: &'static str = "versioned records, Badger's, in a sled 0.34 database";
    const EXAMPLE: &'static str = "kind = \"sled\"\npath = \"data/phl-memory.sled\"\n";
    const FACTS: &'static [&'static str] = query::FACTS;
    const FAULTS: Faults = FAULTS;
    type Config = KvConfig;

    fn build(_config: KvConfig, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError> {
        Ok(Self::of(spec, path))
    }
}

impl TargetKind for FjallTarget {
    const KIND: &'static str = Fjall::NAME;
    const SUMMARY: &'static str = "versioned records, Badger's, in a fjall 3 database";
    const EXAMPLE: &'static str = "kind = \"fjall\"\npath = \"data/phl-memory.fjall\"\n";
    const FACTS: &'static [&'static str] = query::FACTS;
    const FAULTS: Faults = FAULTS;
    type Config = KvConfig;

    fn build(_config: KvConfig, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError> {
        Ok(Self::of(spec, path))
    }
}

#[async_trait]
impl<E: Engine> Target for KvTarget<E> {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        E::NAME
    }

    fn path(&self) -> &Path {
        &self.path
    }

    async fn assess(&self, cx: &StepContext) -> Result<Assessment, StepError> {
        self.on(cx, |target, cx| content::assess(target, cx)).await
    }

    async fn fingerprint(&self, cx: &StepContext, depth: Depth) -> Result<Fingerprint, StepError> {
        self.on(cx, move |target, cx| content::fingerprint(target, cx, depth)).await
    }

    async fn counts(&self, cx: &StepContext) -> Result<BTreeMap<String, u64>, StepError> {
        self.on(cx, |target, cx| Ok(content::counts(target, cx)?)).await
    }

    async fn bytes(&self, cx: &StepContext) -> Result<u64, StepError> {
        self.on(cx, |target, _| Ok(look::bytes(&target.path)?)).await
    }

    async fn snapshot(&self, cx: &StepContext, into: &Path) -> Result<SnapshotManifest, StepError> {
        let into = into.to_owned();
        self.on(cx, move |target, cx| snapshot::take(target, cx, &into)).await
    }

    async fn restore(
        &self,
        cx: &StepContext,
        from: &SnapshotManifest,
        options: &RestoreOptions,
    ) -> Result<Restored, StepError> {
        let (from, options) = (from.clone(), options.clone());
        self.on(cx, move |target, cx| restore::restore(target, cx, &from, &options)).await
    }

    async fn changes_since(&self, cx: &StepContext, _from: &SnapshotManifest) -> Result<serde_json::Value, StepError> {
        self.on(cx, |target, cx| restore::left(target, cx)).await
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    async fn copy_to(&self, cx: &StepContext, path: &Path) -> Result<(), StepError> {
        let path = path.to_owned();
        self.on(cx, move |target, _| {
            target.shut()?;
            Ok(look::copy::<E>(&target.path, &path)?)
        })
        .await
    }

    async fn differing(&self, cx: &StepContext, original: &Path) -> Result<Vec<String>, StepError> {
        let original = Self {
            name: self.name.clone(),
            path: original.to_owned(),
            open: Arc::new(Mutex::new(Open { writer: None, look: None })),
        };
        self.on(cx, move |target, _| Ok(content::differing(target, &original)?)).await
    }

    async fn measure(&self, cx: &StepContext, query: &str) -> Result<f64, StepError> {
        let query = query::Query::parse(query)?;
        self.on(cx, move |target, cx| Ok(query.answer(target, cx)?)).await
    }

    async fn holds(&self, cx: &StepContext, fact: &str) -> Result<bool, StepError> {
        let fact = query::Fact::parse(fact)?;
        self.on(cx, move |target, cx| Ok(fact.holds(target, cx)?)).await
    }

    async fn change_counter(&self, cx: &StepContext) -> Result<Option<u64>, StepError> {
        // Not a count, but it moves when a file does.
        self.on(cx, |target, _| Ok(Some(look::stamp(&target.path)?))).await
    }

    async fn close(&self, cx: &StepContext) -> Result<(), StepError> {
        self.on(cx, |target, _| Ok(target.shut()?)).await
    }
}

//! The store that a step writes to, of whichever engine.
//!
//! Owns which target kinds are stores. Knows no records.

use std::fmt;
use std::sync::Arc;

use cutover_core::{BuildContext, BuildError, StepContext, StepError, TargetKind};

use crate::error::Result;
use crate::source::{Order, RecordSource};
use crate::store::{Engine, Part, Records, VersionedStore};
use crate::target::{FjallTarget, KvTarget, Reading, SledTarget};

/// A target that is a store.
pub(super) trait Into: fmt::Debug + Send + Sync {
    /// The store to write to, made where none is.
    fn writer(&self) -> Result<Arc<dyn VersionedStore>>;

    /// Reads it, where it is.
    fn look(&self, work: &mut dyn FnMut(Option<&dyn VersionedStore>) -> Result<()>) -> Result<()>;

    /// Its records; none where it is not.
    fn source(&self) -> Result<Option<Box<dyn RecordSource>>>;

    /// Gives every handle up.
    fn shut(&self) -> Result<()>;

    /// Removes it.
    fn remove(&self) -> Result<(), StepError>;
}

impl dyn Into {
    /// Reads it, where it is.
    pub(super) fn read<T>(&self, work: impl FnOnce(Option<&dyn VersionedStore>) -> Result<T>) -> Result<T> {
        let (mut work, mut found) = (Some(work), None);
        self.look(&mut |store| {
            found = work.take().map(|work| work(store)).transpose()?;
            Ok(())
        })?;
        found.ok_or_else(|| crate::KvError::of("".as_ref(), crate::KvErrorKind::Store("it was not read".to_owned())))
    }

    pub(super) fn is_there(&self) -> Result<bool> {
        self.read(|store| Ok(store.is_some()))
    }

    /// Why not, if it has records.
    pub(super) fn is_empty(&self) -> Result<Option<String>> {
        self.read(|store| {
            let Some(store) = store else { return Ok(None) };
            let first = store.versions(b"", 0)?.next().transpose()?;
            Ok(first.map(|record| {
                let key = record.key.escape_ascii();
                format!("`{}` has records already, the first under `{key}`", store.path().display())
            }))
        })
    }
}

impl<E: Engine> Into for KvTarget<E> {
    fn writer(&self) -> Result<Arc<dyn VersionedStore>> {
        Ok(Self::writer(self)?)
    }

    fn look(&self, work: &mut dyn FnMut(Option<&dyn VersionedStore>) -> Result<()>) -> Result<()> {
        self.read(|store| work(store.map(|store| store as &dyn VersionedStore)))
    }

    fn source(&self) -> Result<Option<Box<dyn RecordSource>>> {
        Ok(self.reading()?.map(|reading| Box::new(reading) as Box<dyn RecordSource>))
    }

    fn shut(&self) -> Result<()> {
        Self::shut(self)
    }

    fn remove(&self) -> Result<(), StepError> {
        Self::remove(self)
    }
}

impl<E: Engine> RecordSource for Reading<E> {
    fn records(&self, since: u64) -> Result<Records<'_>> {
        self.store().versions(b"", since)
    }

    fn parts(&self, since: u64) -> Result<Vec<Part<'_>>> {
        self.store().parts(since)
    }

    fn order(&self) -> Order {
        Order::Sorted
    }
}

/// The target of that name, if it is a store.
pub(super) fn of(cx: &StepContext, name: &str) -> Result<Arc<dyn Into>, StepError> {
    match cx.any_target(name)?.kind() {
        <SledTarget as TargetKind>::KIND => Ok(cx.target::<SledTarget>(name)?),
        _ => Ok(cx.target::<FjallTarget>(name)?),
    }
}

/// Refuses the name of a target that is none, or no store.
pub(super) fn known(cx: &BuildContext<'_>, name: &str, field: &str) -> Result<(), BuildError> {
    cx.known_target(name, None, field)?;
    let kinds = [<SledTarget as TargetKind>::KIND, <FjallTarget as TargetKind>::KIND];
    match kinds.iter().any(|kind| cx.known_target(name, Some(kind), field).is_ok()) {
        true => Ok(()),
        false => Err(BuildError::at(field, format!("target `{name}` is no key-value store"))
            .with_help("name a target of kind `sled` or `fjall`")),
    }
}

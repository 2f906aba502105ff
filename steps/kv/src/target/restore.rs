//! Brings a store back to its snapshot, record by record, in the store itself.
//!
//! Owns what is foreign and what is kept of it. Only what still differs is written; how a restore that was killed goes on
//! is `between`'s.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use cutover_core::{
    Depth, RestoreOptions, Restored, SnapshotManifest, StepContext, StepError, canonical_json, disk, fault,
};
use serde_json::{Value, json};

use super::between::{self, Begun, RESTORING};
use super::snapshot::{Kept, RECORDS, prove};
use super::{KvTarget, content};
use crate::backup::{BackupReader, write_backup_parts};
use crate::copy::{Comparison, Differing, compare};
use crate::error::Result;
use crate::record::Record;
use crate::store::{Batch, Engine, FORMAT, Keyed, MAX_VERSION, VersionedStore, clear};

/// What a receipt says that a step wrote which only took records away.
pub(crate) const REMOVES: &str = "removes";

const RECORDS_AT_ONCE: usize = 1_000;

/// What is in the store now, in short: a step that knows it wrote all of that keeps it in its receipt.
pub(super) fn left<E: Engine>(target: &KvTarget<E>, cx: &StepContext) -> Result<Value, StepError> {
    Ok(json!({ "content": content::fingerprint(target, cx, Depth::Content)?.digest() }))
}

/// Puts the snapshot back.
pub(super) fn restore<E: Engine>(
    target: &KvTarget<E>,
    cx: &StepContext,
    from: &SnapshotManifest,
    options: &RestoreOptions,
) -> Result<Restored, StepError> {
    prove(from)?;
    let kept = Kept::read(&from.folder)?;
    let snapshot = from.folder.join(RECORDS);
    let mut begun = target.read(|store| Begun::of(store, from))?.unwrap_or_default();
    let present = target.read(|store| match begun.is_there() {
        true => {
            let foreign = between::strangers(&snapshot, &begun.aside, content::all(store)?)?;
            Ok(Present { foreign, differs: foreign > 0, named: None })
        }
        false => {
            let found = compare(BackupReader::open(&snapshot)?, content::all(store)?)?;
            // Nobody but a step takes records away: a program's delete is a record.
            let ours = |how: &Differing| *how == Differing::OnlyLeft && removes(target, options);
            let foreign = found.differing.iter().filter(|(how, _)| !ours(how)).map(|(_, n)| n).sum();
            Ok(Present { foreign, differs: !found.holds(), named: Some(found) })
        }
    })?;
    let foreign = if present.foreign == 0 || is_ours(target, cx, options)? { 0 } else { present.foreign };
    if foreign > 0 && !options.accept_loss {
        return Err(refused(target, &present));
    }
    if present.differs {
        disk::private_dir(&options.aside)?;
        begun.aside = options.aside.join(format!("{}.bak", target.name));
        // What a killed restore set aside was whole.
        if !begun.aside.exists() {
            target.read(|store| write_backup_parts(&begun.aside, 0, content::parts(store)?))?;
        }
        fault::point(fault::KV_RESTORE_ASIDE);
    }
    begun = Begun { snapshot: Begun::digest(from), lost: begun.lost + foreign, ..begun };
    match kept.there {
        true => put_back(target, cx, &snapshot, &kept, &begun)?,
        false => target.remove()?,
    }
    fault::point(fault::KV_RESTORED);
    let lost = if begun.lost > 0 { BTreeMap::from([("records".to_owned(), begun.lost)]) } else { BTreeMap::new() };
    let aside = begun.aside.parent().map_or_else(|| options.aside.clone(), Path::to_owned);
    Ok(Restored { aside, lost })
}

/// What is in the store beside the snapshot.
struct Present {
    /// Records that differ, or of a restore that was begun those that it knows nothing of.
    foreign: u64,
    /// Whether anything differs.
    differs: bool,
    named: Option<Comparison>,
}

/// Whether a step that is undone with this restore took records away.
fn removes<E: Engine>(target: &KvTarget<E>, options: &RestoreOptions) -> bool {
    let wrote = options.undone.values().flatten().filter_map(|receipt| receipt.wrote.get(&target.name));
    wrote.into_iter().any(|said| said[REMOVES] == true)
}

/// Whether the store is as a step left it that is undone with this restore.
fn is_ours<E: Engine>(target: &KvTarget<E>, cx: &StepContext, options: &RestoreOptions) -> Result<bool, StepError> {
    let said = |name: &str| {
        options.undone.values().flatten().filter_map(|receipt| receipt.wrote.get(name)).map(canonical_json).collect()
    };
    let said: Vec<String> = said(&target.name);
    Ok(!said.is_empty() && said.contains(&canonical_json(&left(target, cx)?)))
}

fn refused<E: Engine>(target: &KvTarget<E>, present: &Present) -> StepError {
    let records = if present.foreign == 1 { "record" } else { "records" };
    let (foreign, path) = (present.foreign, target.path.display());
    StepError::conflict(match &present.named {
        Some(found) => {
            let named = found.named.iter().take(3).map(|(how, key, version)| content::named(*how, key, *version));
            let named = named.collect::<Vec<_>>().join(", ");
            format!("{foreign} {records} in `{path}` changed since the snapshot: {named}")
        }
        None => format!("{foreign} {records} in `{path}` changed since a restore of it was interrupted"),
    })
    .with_help("with `--accept-loss` they are set aside as a Badger backup and everything is put back")
}

/// Writes what differs, in batches; the store's entries with the last.
fn put_back<E: Engine>(
    target: &KvTarget<E>,
    cx: &StepContext,
    snapshot: &Path,
    kept: &Kept,
    begun: &Begun,
) -> Result<()> {
    let store = target.writer()?;
    let (mut wanted, mut present) = (BackupReader::open(snapshot)?.peekable(), store.versions(b"", 0)?.peekable());
    let (mut batch, mut done) = (Batch::default(), 0);
    loop {
        let order = match (wanted.peek(), present.peek()) {
            (None, None) => break,
            (Some(Ok(a)), Some(Ok(b))) => a.order(b),
            (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
            (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
        };
        let a: Option<Record> = if order.is_le() { wanted.next().transpose()? } else { None };
        let b = if order.is_ge() { present.next().transpose()? } else { None };
        match (a, b) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), b) => {
                // An index of the other's expiry must not stay.
                b.into_iter().for_each(|b| batch.remove(b));
                batch.put(a);
            }
            (None, Some(b)) => batch.remove(b),
            (None, None) => {}
        }
        if batch.len() >= RECORDS_AT_ONCE {
            done += batch.len() as u64;
            begun.note(&mut batch);
            store.write(std::mem::take(&mut batch))?;
            cx.progress(done, None, "records");
            fault::point(fault::KV_RESTORE_BATCH);
        }
    }
    drop(present);
    notes(&store, kept, &mut batch)?;
    batch.forget(RESTORING);
    store.write(batch.durable())?;
    drop(store);
    target.shut()
}

/// Has the store note what it noted then.
fn notes<E: Engine>(store: &Keyed<E>, kept: &Kept, batch: &mut Batch) -> Result<()> {
    for name in store.notes()?.keys().filter(|name| ![FORMAT, MAX_VERSION].contains(&name.as_str())) {
        batch.forget(name);
    }
    for (name, value) in &kept.notes {
        batch.note(name, value.clone());
    }
    Ok(())
}

/// Removes a store that was not there before. Whoever is killed leaves it whole, or under another name.
pub(super) fn remove(path: &Path) -> Result<(), StepError> {
    let partial = disk::partial_name(path)?;
    clear(&partial)?;
    match disk::rename(path, &partial) {
        Ok(()) => disk::sync_parent(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(disk::io_error("cannot remove", path, error)),
    }
    clear(&partial)?;
    disk::sync_parent(path)
}

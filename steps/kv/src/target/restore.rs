//! Brings a store back to its snapshot, record by record, in the store itself.
//!
//! Owns what is foreign, what is kept of it, and that a restore which was killed goes on: only what still differs is
//! written.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use cutover_core::{Depth, RestoreOptions, Restored, SnapshotManifest, StepContext, StepError, canonical_json, disk};
use serde_json::{Value, json};

use super::snapshot::{Kept, RECORDS, prove};
use super::{KvTarget, content};
use crate::backup::{BackupReader, write_backup};
use crate::copy::{Comparison, Differing, compare};
use crate::error::{KvError, Result};
use crate::record::Record;
use crate::store::{Batch, Engine, FORMAT, Keyed, MAX_VERSION, VersionedStore};

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
    let found = target.read(|store| compare(BackupReader::open(&snapshot)?, content::all(store)?))?;
    // Nobody but a step takes records away: a program's delete is a record.
    let ours = |how: &Differing| *how == Differing::OnlyLeft && removes(target, options);
    let foreign = found.differing.iter().filter(|(how, _)| !ours(how)).map(|(_, n)| n).sum();
    let foreign = if foreign == 0 || is_ours(target, cx, options)? { 0 } else { foreign };
    if foreign > 0 && !options.accept_loss {
        return Err(refused(target, &found, foreign));
    }
    if !found.holds() {
        disk::private_dir(&options.aside)?;
        let aside = options.aside.join(format!("{}.bak", target.name));
        // What a killed restore set aside was whole; what is here now is partly put back.
        if !aside.exists() {
            target.read(|store| write_backup(&aside, 0, content::all(store)?))?;
        }
    }
    match kept.there {
        true => put_back(target, cx, &snapshot, &kept)?,
        false => target.remove()?,
    }
    let lost = if foreign > 0 { BTreeMap::from([("records".to_owned(), foreign)]) } else { BTreeMap::new() };
    Ok(Restored { aside: options.aside.clone(), lost })
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

fn refused<E: Engine>(target: &KvTarget<E>, found: &Comparison, foreign: u64) -> StepError {
    let shown: Vec<String> =
        found.named.iter().take(3).map(|(how, key, version)| content::named(*how, key, *version)).collect();
    StepError::conflict(format!(
        "{foreign} {} in `{}` changed since the snapshot: {}",
        if foreign == 1 { "record" } else { "records" },
        target.path.display(),
        shown.join(", ")
    ))
    .with_help("with `--accept-loss` they are set aside as a Badger backup and everything is put back")
}

/// Writes what differs, in batches; the store's entries with the last.
fn put_back<E: Engine>(target: &KvTarget<E>, cx: &StepContext, snapshot: &Path, kept: &Kept) -> Result<()> {
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
            store.write(std::mem::take(&mut batch))?;
            cx.progress(done, None, "records");
        }
    }
    drop(present);
    notes(&store, kept, &mut batch)?;
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

/// Removes a store that was not there before.
pub(super) fn remove(path: &Path) -> Result<(), StepError> {
    match path.symlink_metadata() {
        Ok(_) => {
            disk::remove_all(path).map_err(|error| KvError::of(path, error))?;
            disk::sync_parent(path)
        }
        Err(_) => Ok(()),
    }
}

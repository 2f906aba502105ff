//! Takes a copy back.
//!
//! Owns what is the copy's: every version up to the highest that it copied. What an application wrote after the switch has
//! higher ones, and stays; or it goes back into Badger, by a backup, and then nothing stays.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_core::{StepError, disk, fault};

use super::programs::Stage;
use super::{Back, Job, Made};
use crate::backup::write_backup_parts;
use crate::copy::Cursor;
use crate::error::Result as KvResult;
use crate::record::Record;
use crate::steps::backup::stamped;
use crate::store::{Batch, Part, VersionedStore};

const RECORDS_AT_ONCE: usize = 2_000;

/// Removes the copy's records, its cursor with the last of them, and a store that was not there before and is empty then.
/// `given_up` is run before that, once nothing more is to go into Badger.
pub(super) fn back(job: &Job<'_>, made: &Made, given_up: &dyn Fn() -> Result<(), StepError>) -> Result<(), StepError> {
    if !job.into.is_there()? {
        given_up()?;
        return if made.was_there { Ok(()) } else { remove(job, made) };
    }
    let store = job.into.writer()?;
    let upto = extent(job, made, &*store)?;
    given_up()?;
    if let Some(upto) = upto {
        let mut batch = Batch::default();
        let mut removed = 0;
        for record in store.versions(b"", 0)? {
            let record = record?;
            if record.version > upto {
                continue;
            }
            batch.remove(record);
            if batch.len() == RECORDS_AT_ONCE {
                removed += batch.len() as u64;
                store.write(std::mem::take(&mut batch))?;
                job.cx.progress(removed, None, "records");
                fault::point(fault::KV_COPY_BACK);
            }
        }
        batch.forget(&Cursor::note(&job.name));
        job.notes_under_way().iter().for_each(|note| batch.forget(note));
        store.write(batch.durable())?;
    }
    let mut batch = Batch::default();
    batch.forget(&job.made_note());
    store.write(batch.durable())?;
    fault::point(fault::KV_COPY_EMPTIED);
    let empty = store.versions(b"", 0)?.next().is_none();
    drop(store);
    if made.was_there || !empty {
        return Ok(job.into.shut()?);
    }
    remove(job, made)
}

/// Up to which version what is in the store is the copy's, or is in Badger again; none where nothing is.
fn extent(job: &Job<'_>, made: &Made, store: &dyn VersionedStore) -> Result<Option<u64>, StepError> {
    let cursor = Cursor::of(&job.name, store)?.filter(|cursor| cursor.identity == made.identity);
    match cursor {
        Some(cursor) if cursor.done && job.config.back_into.is_some() => {
            give_back(job, &cursor, store)?;
            Ok(Some(u64::MAX))
        }
        Some(cursor) => Ok(Some(cursor.max_version)),
        // Passes that did not come to their end: nobody else has written yet.
        None if job.config.is_live()
            && job.notes_under_way().iter().any(|note| store.notes().is_ok_and(|notes| notes.contains_key(note))) =>
        {
            Ok(Some(u64::MAX))
        }
        None => Ok(None),
    }
}

/// Writes what is in the store as a backup, and has Badger restore it if something was written after the copy.
fn give_back(job: &Job<'_>, cursor: &Cursor, store: &dyn VersionedStore) -> Result<(), StepError> {
    let Some(into) = job.config.back_into.as_ref().filter(|_| job.stage().is_ok_and(|stage| stage < Stage::Returned))
    else {
        return Ok(());
    };
    let named = stamped(job.cx, into);
    let path = free(&disk::inside(job.cx.root(), named.as_deref().unwrap_or(into), false)?, "");
    if let Some(above) = path.parent() {
        disk::private_dir(above)?;
    }
    let since = match job.config.back {
        Back::All => 0,
        Back::Later => cursor.max_version.saturating_add(1),
    };
    let (copied, later) = (cursor.max_version, &AtomicU64::new(0));
    let count = move |found: &KvResult<Record>| {
        let is_later = found.as_ref().is_ok_and(|record| record.version > copied);
        later.fetch_add(is_later.into(), Ordering::Relaxed);
    };
    let parts = store.parts(since)?.into_iter();
    let parts = parts.map(|part| -> Part<'_> { Box::new(move || Ok(Box::new(part()?.inspect(count)))) });
    write_backup_parts(&path, since, parts.collect())?;
    let later = later.load(Ordering::Relaxed);
    fault::point(fault::KV_COPY_BACKED);
    let shown = path.strip_prefix(job.cx.root()).unwrap_or(&path).display().to_string();
    let noun = if later == 1 { "record was" } else { "records were" };
    job.cx.note(&format!("{later} {noun} written after the copy; the backup is `{shown}`"));
    if let Some(argv) = job.config.restore_command.as_ref().filter(|_| later > 0) {
        job.run("restore-command", argv, ("{backup}", &path.display().to_string()), None)?;
    }
    job.reached(Stage::Returned)
}

/// The first free name of `PATH`, `PATH.2` and so on, with what is to come behind the path.
pub(crate) fn free(path: &Path, behind: &str) -> PathBuf {
    let first = format!("{}{behind}", path.display());
    let names = std::iter::once(first.clone()).chain((2..u32::MAX).map(|n| format!("{first}.{n}")));
    names.map(PathBuf::from).find(|p| p.symlink_metadata().is_err()).unwrap_or_else(|| PathBuf::from(first))
}

/// How many of the folders above the store are not there.
pub(super) fn missing_folders(job: &Job<'_>) -> Result<usize, StepError> {
    let path = job.cx.any_target(&job.config.into)?.path().to_owned();
    Ok(path.ancestors().skip(1).take_while(|folder| !folder.exists()).count())
}

/// Removes what a killed removal left of the store, and the folders above that were made for it.
fn remove(job: &Job<'_>, made: &Made) -> Result<(), StepError> {
    job.into.remove()?;
    remove_folders(job.cx.any_target(&job.config.into)?.path(), made.folders)
}

/// Removes as many folders above `path`, as far as nothing else is in them.
pub(crate) fn remove_folders(path: &Path, folders: usize) -> Result<(), StepError> {
    for folder in path.ancestors().skip(1).take(folders) {
        match disk::remove_dir(folder) {
            Ok(()) => disk::sync_parent(folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
            Err(error) => return Err(disk::io_error("cannot remove", folder, error)),
        }
    }
    Ok(())
}

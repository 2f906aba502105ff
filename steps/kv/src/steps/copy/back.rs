//! Takes a copy back.
//!
//! Owns what is the copy's: every version up to the highest that it copied. What an application wrote after the switch has
//! higher ones, and stays.

use std::io;

use cutover_core::{StepError, disk, fault};

use super::{Job, Made};
use crate::store::Batch;

const RECORDS_AT_ONCE: usize = 2_000;

/// Removes the copy's records, its cursor with the last of them, and a store that was not there before and is empty then.
pub(super) fn back(job: &Job<'_>, made: &Made) -> Result<(), StepError> {
    if !job.into.is_there()? {
        return if made.was_there { Ok(()) } else { remove_folders(job, made) };
    }
    let store = job.into.writer()?;
    if let Some(cursor) = job.cursor()?.filter(|cursor| cursor.identity == made.identity) {
        let mut batch = Batch::default();
        let mut removed = 0;
        for record in store.versions(b"", 0)? {
            let record = record?;
            if record.version > cursor.max_version {
                continue;
            }
            batch.remove(record);
            if batch.len() == RECORDS_AT_ONCE {
                removed += batch.len() as u64;
                store.write(std::mem::take(&mut batch))?;
                job.cx.progress(removed, Some(cursor.records), "records");
                fault::point(fault::KV_COPY_BACK);
            }
        }
        batch.forget(&crate::copy::Cursor::note(&job.name));
        store.write(batch.durable())?;
    }
    fault::point(fault::KV_COPY_EMPTIED);
    let empty = store.versions(b"", 0)?.next().is_none();
    drop(store);
    if made.was_there || !empty {
        return Ok(job.into.shut()?);
    }
    remove_folders(job, made)
}

/// How many of the folders above the store are not there.
pub(super) fn missing_folders(job: &Job<'_>) -> Result<usize, StepError> {
    let path = job.cx.any_target(&job.config.into)?.path().to_owned();
    Ok(path.ancestors().skip(1).take_while(|folder| !folder.exists()).count())
}

/// Removes the folders above that were made for the store, as far as nothing else is in them; and what a killed removal
/// left of the store.
fn remove_folders(job: &Job<'_>, made: &Made) -> Result<(), StepError> {
    job.into.remove()?;
    let path = job.cx.any_target(&job.config.into)?.path().to_owned();
    for folder in path.ancestors().skip(1).take(made.folders) {
        match disk::remove_dir(folder) {
            Ok(()) => disk::sync_parent(folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
            Err(error) => return Err(disk::io_error("cannot remove", folder, error)),
        }
    }
    Ok(())
}

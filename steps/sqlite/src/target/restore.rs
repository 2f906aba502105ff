//! Putting a snapshot back into a living database.
//!
//! Owns the order: prove the snapshot, look at what it would take away, then copy its pages into the live file through
//! SQLite. The file, its `-wal` and its `-shm` are never renamed or
//! deleted: a program that has them open would go on writing into files that nobody reads.

use std::path::{Path, PathBuf};

use cutover_core::disk::{self, io_error};
use cutover_core::room::{room, same_file_system};
use cutover_core::{Depth, RestoreOptions, Restored, SnapshotManifest, StepError, StepInfo, fault};
use rusqlite::Connection;

use super::look::Looking;
use super::loss::Comparison;
use super::session::{ForeignKeys, Session};
use super::{bookkeeping, connect, fingerprint, held, snapshot};
use crate::sql::sqlite_error;

/// Puts the snapshot `from` back, and says which schema objects of others were lost. The epoch of `step` is stored
/// afterwards.
///
/// What others wrote is looked for while they go on. Only if one of them commits before the database is locked, it is
/// looked for once more, behind the lock.
pub(crate) fn restore(
    session: &Session,
    target: &str,
    step: &StepInfo,
    from: &SnapshotManifest,
    options: &RestoreOptions,
) -> Result<(Restored, Vec<String>), StepError> {
    let older = proven(from)?;
    let path = session.path.as_path();
    need_room(path, &older, &options.aside)?;
    if path.symlink_metadata().is_err() {
        disk::create_new(path).map_err(|e| io_error("cannot make", path, e))?;
    }
    disk::private_dir(&options.aside)?;
    // That it can be written is known before anything is set aside.
    session.exclusive(|_| Ok(()))?;
    let looking = Looking { session, target, step, from, older: &older, options, reader: &connect::reader(path)? };
    let first = looking.look()?;
    let found = session.exclusive(|conn| {
        let snapshot = connect::open_immutable(&older).map_err(|e| sqlite_error(e, "while opening the snapshot"))?;
        let scratch = options.aside.join(format!("resized{}", disk::PARTIAL_SUFFIX));
        let doing = format!("while restoring `{}`", path.display());
        let found = held::put_back(&snapshot, conn, &scratch, &doing, || looking.again(first))?;
        fault::point(fault::SQLITE_RESTORE_COPIED);
        prove_restored(conn, session, from)?;
        Ok(found)
    })?;
    session.transaction((ForeignKeys::On, connect::BUSY_TIMEOUT, false), |conn| {
        bookkeeping::create(conn, &session.ledger)?;
        bookkeeping::check_epoch(conn, step.epoch)
    })?;
    fault::point(fault::SQLITE_RESTORED);
    tracing::debug!(name = target, aside = %found.aside.display(), "database restored");
    Ok((Restored { aside: found.aside, lost: found.lost.rows }, found.lost.objects))
}

/// What is in the living database and was not in the snapshot `from`.
pub(crate) fn changes_since(session: &Session, from: &SnapshotManifest) -> Result<serde_json::Value, StepError> {
    let older = proven(from)?;
    let written = Comparison::of_living(&session.path, &older, &session.ledger)?.written(&older)?;
    serde_json::to_value(&written)
        .map_err(|e| StepError::internal("what changed could not be written as JSON").caused_by(e))
}

/// The snapshot's file, when it is the one that the manifest describes.
fn proven(from: &SnapshotManifest) -> Result<PathBuf, StepError> {
    if from.version > SnapshotManifest::VERSION {
        return Err(StepError::unavailable(format!(
            "the snapshot's manifest has format version {}, and this program knows {}",
            from.version,
            SnapshotManifest::VERSION
        ))
        .with_help("restore it with a newer cutover"));
    }
    let [file] = from.files.as_slice() else {
        return Err(StepError::unavailable(format!(
            "a SQLite snapshot is one file, this one names {}",
            from.files.len()
        )));
    };
    let path = disk::inside(&from.folder, &file.path, true)?;
    let (bytes, blake3) = disk::hash_file(&path)?;
    if (bytes, &blake3) != (file.bytes, &file.blake3) {
        return Err(StepError::unavailable(format!(
            "the snapshot `{}` is not what its manifest says: {bytes} bytes instead of {}, or other content",
            path.display(),
            file.bytes
        ))
        .with_help("it was changed or damaged since; restore from another snapshot. Nothing was changed"));
    }
    Ok(path)
}

/// There must be room for the present state aside, and beside the database for what SQLite keeps of it while the
/// snapshot is written over it.
fn need_room(path: &Path, snapshot: &Path, aside: &Path) -> Result<(), StepError> {
    let kept = snapshot::bytes(path, aside);
    let written = connect::bytes(snapshot);
    let help = "free some space there, then run the same command again; nothing was restored";
    let what = format!("the restore of `{}`", path.display());
    if same_file_system(path, aside) {
        return room(aside, kept + written, &what, help).map(drop);
    }
    room(aside, kept, &what, help)?;
    room(path, written, &what, help).map(drop)
}

/// The live database now has the structure that the manifest recorded.
fn prove_restored(conn: &Connection, session: &Session, from: &SnapshotManifest) -> Result<(), StepError> {
    let found = fingerprint::of(conn, &session.ledger, Depth::Schema, None)?.schema_digest();
    if found == from.schema_digest {
        return Ok(());
    }
    Err(StepError::failed(format!("`{}` differs from its snapshot after the restore", session.path.display()))
        .with_help("another program changed it meanwhile: stop what writes to it, then run the same command again"))
}

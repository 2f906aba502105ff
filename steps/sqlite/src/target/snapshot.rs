//! Copies of a database: consistent while others write, hashed, durable, proven to open. The file itself is copied where
//! nothing lies in a log, else its pages through SQLite.
//!
//! Owns snapshot files and their manifests. A snapshot never replaces an older one: the next free name is taken.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cutover_core::disk::{self, PARTIAL_SUFFIX, io_error};
use cutover_core::room::shares_blocks;
use cutover_core::{Depth, SnapshotFile, SnapshotManifest, StepContext, StepError, StepErrorKind, fault};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::connect::{self, BUSY_TIMEOUT};
use super::session::Session;
use super::still::{private_file, still};
use super::{assess, fingerprint};
use crate::sql::{message, sqlite_error};

/// Copies what `conn` sees of the session's database into the folder `into`, with a manifest beside the copy.
pub(crate) fn take(
    session: &Session,
    conn: &Connection,
    target: &str,
    into: &Path,
    cx: &StepContext,
) -> Result<SnapshotManifest, StepError> {
    disk::private_dir(into)?;
    let folder = into.canonicalize().map_err(|e| io_error("cannot find", into, e))?;
    let (name, ledger) = (free_name(&folder, &session.path), session.ledger.as_str());
    let (file, bytes, blake3) = copy(session, conn, &folder, &name, Some(cx))?;
    let opened = connect::open_immutable(&file).map_err(|e| sqlite_error(e, "while opening the snapshot"))?;
    let manifest = SnapshotManifest {
        version: SnapshotManifest::VERSION,
        target: target.to_owned(),
        kind: "sqlite".to_owned(),
        taken_at: cx.now(),
        folder: folder.clone(),
        files: vec![SnapshotFile { path: name.clone(), bytes, blake3 }],
        schema_digest: fingerprint::of(&opened, ledger, Depth::Schema, None)?.schema_digest(),
        counts: assess::counts(&opened, ledger)?,
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|e| StepError::internal("a manifest could not be written as JSON").caused_by(e))?;
    disk::write_once(&folder.join(format!("{name}.manifest.json")), &text)?;
    fault::point(fault::SQLITE_COPY_DESCRIBED);
    tracing::debug!(name = target, file = name, bytes, "database copied");
    Ok(manifest)
}

/// Bytes that a copy of the database at `path` takes up in `folder`: none where the file itself is copied and its blocks
/// are shared.
pub(crate) fn bytes(path: &Path, folder: &Path) -> u64 {
    let by_pages = connect::has_log(path);
    if !by_pages && shares_blocks(path, folder) { 0 } else { connect::bytes(path) }
}

/// The first of `app.db`, `app.2.db`, `app.3.db` that is free in `folder`.
pub(crate) fn free_name(folder: &Path, path: &Path) -> String {
    let part = |p: Option<&std::ffi::OsStr>| p.map(|s| s.to_string_lossy().into_owned());
    let whole = part(path.file_name()).unwrap_or_else(|| "database".to_owned());
    let stem = part(path.file_stem()).unwrap_or_else(|| whole.clone());
    let end = part(path.extension()).map(|e| format!(".{e}")).unwrap_or_default();
    let mut name = whole;
    let mut n = 1;
    while folder.join(&name).symlink_metadata().is_ok() {
        n += 1;
        name = format!("{stem}.{n}{end}");
    }
    name
}

/// Copies what `conn` sees into `folder/name`: private, fsynced, proven to be what it was copied from. Returns the file,
/// its size and its BLAKE3.
pub(crate) fn copy(
    session: &Session,
    conn: &Connection,
    folder: &Path,
    name: &str,
    cx: Option<&StepContext>,
) -> Result<(PathBuf, u64, String), StepError> {
    let file = folder.join(name);
    let partial = folder.join(format!("{name}{PARTIAL_SUFFIX}"));
    let _ = disk::remove_file(&partial);
    let handle = private_file(&partial)?;
    let copied = still(session, conn, |main, log| match log {
        None => main.copy_proven(&handle, &partial, cx).map(Some),
        Some(_) => Ok(None),
    })?;
    let (bytes, blake3) = match copied {
        Some(copied) => copied,
        None => by_pages(conn, &handle, &partial)?,
    };
    fault::point(fault::SQLITE_COPY_MADE);
    disk::rename(&partial, &file).map_err(|e| io_error("cannot rename", &partial, e))?;
    disk::sync_parent(&file)?;
    fault::point(fault::SQLITE_COPY_NAMED);
    Ok((file, bytes, blake3))
}

/// The same where the log holds pages too: through SQLite into `partial`, the open empty file `handle`.
fn by_pages(conn: &Connection, handle: &File, partial: &Path) -> Result<(u64, String), StepError> {
    {
        let doing = "while copying the database";
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut copy = Connection::open_with_flags(partial, flags).map_err(|e| sqlite_error(e, doing))?;
        // The copy counts only once it is fsynced below; SQLite itself need not be careful with it.
        copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE")
            .map_err(|e| sqlite_error(e, doing))?;
        transfer(conn, &mut copy, doing)?;
    }
    let (hashed, checked) = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| {
            handle.sync_all().map_err(|e| io_error("cannot make durable", partial, e))?;
            disk::hash_file(partial)
        });
        let checked = check(partial, conn);
        (hashing.join(), checked)
    });
    checked?;
    hashed.unwrap_or_else(|_| Err(StepError::internal("hashing the copy ended without a result")))
}

/// Every page of `from` into `to`, in one step.
pub(crate) fn transfer(from: &Connection, to: &mut Connection, doing: &str) -> Result<(), StepError> {
    let backup = Backup::new(from, to).map_err(|e| sqlite_error(e, doing))?;
    step(&backup, -1, doing)
}

/// The next `pages` of a backup; waits for locks of others.
pub(crate) fn step(backup: &Backup<'_, '_>, pages: i32, doing: &str) -> Result<(), StepError> {
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        match backup.step(pages).map_err(|e| sqlite_error(e, doing))? {
            StepResult::Done | StepResult::More => return Ok(()),
            StepResult::Busy | StepResult::Locked if Instant::now() > until => {
                return Err(StepError::new(
                    StepErrorKind::Busy,
                    format!("{doing}: another program holds a lock on it"),
                )
                .with_help("end that program's transaction, then run the same command again"));
            }
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The copy opens and says of itself what the original says.
fn check(copy: &Path, original: &Connection) -> Result<(), StepError> {
    let opened = connect::open_immutable(copy).map_err(|e| sqlite_error(e, "while opening the copy"))?;
    let found = quick_check(&opened);
    if found == ["ok"] || found == quick_check(original) {
        return Ok(());
    }
    Err(StepError::failed(format!("the copy `{}` is not whole: {}", copy.display(), found.join("; ")))
        .with_help("check the disk, then run the same command again; the database itself was only read"))
}

fn quick_check(conn: &Connection) -> Vec<String> {
    conn.prepare("PRAGMA quick_check(20)")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .unwrap_or_else(|e| vec![message(&e)])
}

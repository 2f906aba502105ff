//! The database's own file, copied while a read transaction holds it still.
//!
//! Owns the proof that it stands still. In rollback-journal mode a read transaction holds SHARED, and a writer changes
//! the file under EXCLUSIVE only. In WAL mode writers append to the log alone, and a checkpoint puts no frame into the
//! file that is newer than the oldest reader's moment; a reader whose moment has nothing left in the log keeps every
//! checkpoint out. So with an empty log the file *is* the database of that moment. With frames in the log a checkpoint
//! may be changing the file, but all that it changes is in the log too, which nobody begins anew while a reader needs
//! it: the file first and then the log, each as it is found, are the database of that moment or of a later commit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::disk::{self, io_error};
use cutover_core::{StepContext, StepError};
use rusqlite::Connection;

use super::session::{self, Session};
use crate::sql::sqlite_error;

/// Copied between two looks at the operator's wishes.
const PIECE: u64 = 1 << 26;

/// The main file, held still.
#[derive(Debug)]
pub(crate) struct Still {
    path: PathBuf,
    file: Arc<File>,
}

/// Runs `work` in a read transaction of `conn`, on the main file and on the log if it holds frames.
pub(crate) fn still<T>(
    session: &Session,
    conn: &Connection,
    work: impl FnOnce(&Still, Option<&Path>) -> Result<T, StepError>,
) -> Result<T, StepError> {
    session::moment(conn, |conn| {
        // The transaction begins with the first read.
        conn.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
            .map_err(|e| sqlite_error(e, "while copying the database"))?;
        let still = Still { path: session.path.clone(), file: session.main_file()? };
        let log = sibling(&session.path, "-wal");
        work(&still, log.metadata().is_ok_and(|m| m.len() > 0).then_some(log.as_path()))
    })
}

/// The file beside the database at `path` whose name ends so.
pub(crate) fn sibling(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A new file of ours.
pub(crate) fn private_file(path: &Path) -> Result<File, StepError> {
    disk::create_new(path).map_err(|e| io_error("cannot make", path, e))
}

impl Still {
    /// The file's content into the empty file `to`: its blocks are shared where the file system can, else copied.
    /// Returns whether they are shared.
    pub(crate) fn copy(&self, to: &File, path: &Path, cx: Option<&StepContext>) -> Result<bool, StepError> {
        if rustix::fs::ioctl_ficlone(to, &*self.file).is_ok() {
            return Ok(true);
        }
        let failed = |e| io_error("cannot write", path, e);
        let total = self.file.metadata().map_err(failed)?.len();
        let mut from = &*self.file;
        from.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut done = 0;
        loop {
            match io::copy(&mut from.take(PIECE), &mut &*to).map_err(failed)? {
                0 => return Ok(false),
                more => done += more,
            }
            if let Some(cx) = cx {
                cx.progress(done, Some(total), "bytes");
                if cx.stop_requested() {
                    return Err(StepError::failed(format!("stopped while copying `{}`", self.path.display())));
                }
            }
        }
    }

    /// The same into `path`, which `to` has open: durable, and byte for byte what the database is. Returns its size and
    /// its BLAKE3.
    pub(crate) fn copy_proven(
        &self,
        to: &File,
        path: &Path,
        cx: Option<&StepContext>,
    ) -> Result<(u64, String), StepError> {
        std::thread::scope(|scope| {
            let original = scope.spawn(|| self.hash());
            let shared = self.copy(to, path, cx)?;
            let durable = scope.spawn(|| to.sync_all().map_err(|e| io_error("cannot make durable", path, e)));
            let copy = if shared { None } else { Some(disk::hash_file(path)?) };
            let ended = |_| StepError::internal("copying the database ended without a result");
            let original = original.join().map_err(ended)??;
            durable.join().map_err(ended)??;
            match copy {
                Some(copy) if copy != original => {
                    Err(StepError::failed(format!("the copy `{}` is not what the database is", path.display()))
                        .with_help(
                            "check the disk, then run the same command again; the database itself was only read",
                        ))
                }
                _ => Ok(original),
            }
        })
    }

    fn hash(&self) -> Result<(u64, String), StepError> {
        let (mut hasher, mut buffer, mut bytes) = (blake3::Hasher::new(), vec![0; 1 << 18], 0);
        loop {
            match self.file.read_at(&mut buffer, bytes).map_err(|e| io_error("cannot read", &self.path, e))? {
                0 => return Ok((bytes, hasher.finalize().to_hex().to_string())),
                n => {
                    hasher.update(&buffer[..n]);
                    bytes += n as u64;
                }
            }
        }
    }
}

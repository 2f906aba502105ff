//! What a rollback would take away with an object, set aside first: SQL files in `<state>/aside/<run>-<step>/`.
//!
//! Owns the files: private, streamed, durable before the reversal commits, never over one that is there. A reversal
//! that is undone and done again sets aside again, under the next free name. Must not know what is written into them.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use cutover_core::disk::{self, PARTIAL_SUFFIX, io_error};
use cutover_core::{StepContext, StepError};

mod rows;

pub(crate) use rows::{column_values, table};

/// Writes a file of SQL that is one transaction. Returns how many rows `write` wrote and where they are; no file and
/// none when there were no rows, unless the file is worth it `always`.
pub(crate) fn keep(
    cx: &StepContext,
    name: &str,
    about: &str,
    always: bool,
    write: impl FnOnce(&mut dyn Write) -> Result<u64, StepError>,
) -> Result<Option<(u64, PathBuf)>, StepError> {
    let info = cx.info();
    let folder = cx.state_dir().join("aside").join(format!("{}-{}", plain(&info.run), plain(&info.id)));
    disk::private_dir(&folder)?;
    let partial = folder.join(format!(".{}{PARTIAL_SUFFIX}", plain(name)));
    let failed = |e| io_error("cannot write", &partial, e);
    let file = disk::create(&partial).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    // A name with a line break must not end the comment.
    let about = about.replace(['\n', '\r'], " ");
    write!(out, "-- {about}\nPRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n").map_err(failed)?;
    let written = write(&mut out);
    let kept = written.as_ref().is_ok_and(|rows| always || *rows > 0);
    let (true, Ok(rows)) = (kept, &written) else {
        drop(out);
        disk::remove_file(&partial).map_err(failed)?;
        // A folder that nothing was put into says nothing; one that holds files stays.
        let _ = disk::remove_dir(&folder);
        return written.map(|_| None);
    };
    out.write_all(b"COMMIT;\n").map_err(failed)?;
    let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(failed)?;
    let path = free(&folder, &plain(name));
    disk::rename(&partial, &path).map_err(|e| io_error("cannot write", &path, e))?;
    disk::sync_dir(&folder)?;
    Ok(Some((*rows, path)))
}

/// The path below the state folder's own, as a note shows it.
pub(crate) fn shown(cx: &StepContext, path: &Path) -> String {
    path.strip_prefix(cx.root()).unwrap_or(path).display().to_string()
}

/// A name in which nothing means anything to a file system.
fn plain(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).take(60).collect();
    if plain.starts_with('.') || plain.is_empty() { format!("_{plain}") } else { plain }
}

fn free(folder: &Path, name: &str) -> PathBuf {
    let candidates = std::iter::once(format!("{name}.sql")).chain((2_u64..).map(|n| format!("{name}-{n}.sql")));
    let mut paths = candidates.map(|name| folder.join(name));
    paths.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| folder.join(format!("{name}.sql")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_file_in_its_folder() {
        assert_eq!(plain("../a b/ü"), "_.._a_b_ü");
        assert_eq!(plain(""), "_");
        assert_eq!(plain("orders.extra"), "orders.extra");
    }
}

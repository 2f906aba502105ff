//! What is measured with: a backup with the records, and databases of Badger's that hold them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::measured::{child, run};

/// A backup of that many records, made once.
pub(crate) fn backup(place: &Path, records: u64) -> Result<PathBuf> {
    let path = place.join(format!("made-{records}.bak"));
    if !path.exists() {
        child(&["make".as_ref(), path.as_ref(), records.to_string().as_ref()])?;
    }
    Ok(path)
}

/// Debian's CLI, in a network namespace of its own: it opens a port.
pub(crate) fn badger(word: &str, folder: &Path, file: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-n", "badger", word, "--dir"]).arg(folder).arg("-f").arg(file);
    command
}

/// A database with as many records in tables of that compression, made once by the program of tests/peers/badger; none
/// where that was not built.
pub(crate) fn tables(place: &Path, records: u64, compression: &str) -> Result<Option<PathBuf>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap_or(Path::new("."));
    let peer = std::env::var_os("CUTOVER_BADGER").map_or_else(|| repository.join("target/peers/badger"), PathBuf::from);
    if !peer.is_file() {
        return Ok(None);
    }
    let folder = place.join(format!("tables-{compression}-{records}"));
    if !folder.exists() {
        let partial = place.join("tables.partial");
        remove(&partial)?;
        let mut command = Command::new(peer);
        command.arg("make").arg(&partial).args([
            "--bulk",
            "--compact",
            "--batch",
            "1000",
            "--compression",
            compression,
        ]);
        run(command.arg("--records").arg(records.to_string()))?;
        std::fs::rename(&partial, &folder)?;
    }
    Ok(Some(folder))
}

/// Takes away a file or a folder that may be there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    } else if path.exists() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Megabytes of a file.
pub(crate) fn megabytes(path: &Path) -> Result<f64> {
    Ok(std::fs::metadata(path)?.len() as f64 / 1e6)
}

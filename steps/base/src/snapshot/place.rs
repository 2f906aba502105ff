//! The folder of a set: what may be there before, and what becomes of it.

use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::StepError;
use cutover_core::disk::{PRIVATE_FILE, io_error, private_dir, sync_parent, write_atomic};

use super::set::{MANIFEST, SnapshotSet};

/// Present while a set is being taken; a crash leaves it.
pub(super) const INCOMPLETE: &str = "incomplete";

/// Present in a set whose step was rolled back: kept, and never taken for the work of a later apply.
pub(super) const ROLLED_BACK: &str = "rolled-back";

/// The complete set in `folder`; none when it is absent, empty or an incomplete set; else a conflict.
pub(super) fn occupied(folder: &Path) -> Result<Option<SnapshotSet>, StepError> {
    let entries = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) => return Err(io_error("cannot read", folder, e)),
    };
    let set = SnapshotSet::read(folder)?;
    if set.is_none() && entries && !folder.join(INCOMPLETE).exists() {
        return Err(StepError::conflict(format!("`{}` holds files that are no snapshots of ours", folder.display()))
            .with_help("choose another `into`, or move them elsewhere"));
    }
    Ok(set)
}

/// Makes `folder` empty but for the marker: a complete set is set aside, an incomplete one is replaced.
/// Returns the name that a complete one got.
pub(super) fn make_place(folder: &Path) -> Result<Option<String>, StepError> {
    let mut aside = None;
    match occupied(folder)? {
        // Whole, whether or not the marker was still to go when a crash came.
        Some(set) => aside = Some(set_aside(folder, set)?),
        None if folder.exists() => {
            fs::remove_dir_all(folder).map_err(|e| io_error("cannot remove the incomplete set", folder, e))?;
        }
        None => {}
    }
    private_dir(folder)?;
    write_atomic(&folder.join(INCOMPLETE), b"", PRIVATE_FILE)?;
    Ok(aside)
}

/// The sets of `folder` that were set aside for later ones.
pub(super) fn earlier_sets(folder: &Path) -> Result<Vec<PathBuf>, StepError> {
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(Vec::new()) };
    let begin = format!("{}-", name.to_string_lossy());
    let mut sets = Vec::new();
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let named = entry.file_name().to_string_lossy().starts_with(&begin);
        if named && SnapshotSet::read(&entry.path())?.is_some() {
            sets.push(entry.path());
        }
    }
    Ok(sets)
}

/// Renames a complete set to `<into>-<taken_at>`, and corrects where its manifest says it lies.
fn set_aside(folder: &Path, mut set: SnapshotSet) -> Result<String, StepError> {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stamp = set.taken_at.strftime("%Y%m%dT%H%M%SZ");
    let place =
        |n: u32| folder.with_file_name(if n == 1 { format!("{name}-{stamp}") } else { format!("{name}-{stamp}-{n}") });
    let to: PathBuf = (1..).map(place).find(|p| p.symlink_metadata().is_err()).unwrap_or_else(|| place(1));
    fs::rename(folder, &to).map_err(|e| io_error("cannot set aside", folder, e))?;
    sync_parent(&to)?;
    for member in set.snapshots.values_mut() {
        if let Ok(rest) = member.manifest.folder.strip_prefix(folder) {
            member.manifest.folder = to.join(rest);
        }
    }
    write_atomic(&to.join(MANIFEST), &set.to_bytes()?, PRIVATE_FILE)?;
    Ok(to.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
}

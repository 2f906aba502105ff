//! The folder of a set: what may be there before, and what becomes of it.

use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk::{PRIVATE_FILE, io_error, private_dir, sync_parent, write_atomic};
use cutover_core::{StepContext, StepError, fault};

use super::set::{MANIFEST, SnapshotSet};

/// Present while a set is being taken; a crash leaves it.
pub(super) const INCOMPLETE: &str = "incomplete";

/// Present in a set whose step was rolled back: kept, and never taken for the work of a later apply.
pub(super) const ROLLED_BACK: &str = "rolled-back";

/// The complete set in `folder`; none when it is absent, empty or an incomplete set; else a conflict. Nor may it hold a
/// set of another step, or lie in one, as long as that step was not rolled back: its way back needs the set where it is.
pub(super) fn occupied(cx: &StepContext, folder: &Path) -> Result<Option<SnapshotSet>, StepError> {
    let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(cx.root()));
    for above in above {
        // What is no manifest of ours makes no folder a set.
        if let Ok(Some(set)) = SnapshotSet::read(above) {
            let why = format!("`{}` lies in a set of snapshots of {}", folder.display(), set.taken_by());
            return Err(StepError::conflict(why).with_help("choose another `into`"));
        }
    }
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
    if let Some(set) = set.as_ref().filter(|set| !set.is_of(cx) && !folder.join(ROLLED_BACK).exists()) {
        let why = format!("`{}` holds the snapshots of {}, which its way back needs", folder.display(), set.taken_by());
        return Err(StepError::conflict(why).with_help("choose another `into`, or roll that step back first"));
    }
    Ok(set)
}

/// Makes `folder` empty but for the marker: a complete set is set aside, an incomplete one is replaced.
/// Returns the name that a complete one got.
pub(super) fn make_place(cx: &StepContext, folder: &Path) -> Result<Option<String>, StepError> {
    let mut aside = None;
    match occupied(cx, folder)? {
        // Whole, whether or not the marker was still to go when a crash came.
        Some(set) => aside = Some(set_aside(folder, set)?),
        None => {
            remove_incomplete(folder)?;
            if folder.exists() {
                cutover_core::disk::remove_dir(folder).map_err(|e| io_error("cannot remove", folder, e))?;
            }
        }
    }
    private_dir(folder)?;
    // In place: a folder with another file and without the mark would be taken for somebody else's.
    let mark = folder.join(INCOMPLETE);
    let made = cutover_core::disk::create(&mark);
    made.and_then(|file| file.sync_all()).map_err(|e| io_error("cannot make", &mark, e))?;
    sync_parent(&mark)?;
    Ok(aside)
}

/// The sets of the context's step that were set aside for later ones in `folder`, with the epochs in which they were
/// taken. A name tells nothing: another plan may keep its own in a folder that is called alike.
pub(super) fn earlier_sets(cx: &StepContext, folder: &Path) -> Vec<(u64, PathBuf)> {
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else { return Vec::new() };
    let begin = format!("{}-", name.to_string_lossy());
    let mut sets = Vec::new();
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let named = entry.file_name().to_string_lossy().starts_with(&begin);
        let set = if named { SnapshotSet::read(&entry.path()).ok().flatten() } else { None };
        sets.extend(set.filter(|set| set.is_of(cx)).map(|set| (set.epoch, entry.path())));
    }
    sets
}

/// Removes a set that is marked as incomplete. The marker goes last: without it, what a crash leaves would be taken for
/// somebody else's.
pub(super) fn remove_incomplete(folder: &Path) -> Result<(), StepError> {
    let marker = folder.join(INCOMPLETE);
    if !marker.exists() {
        return Ok(());
    }
    let failed = |e| io_error("cannot remove the incomplete set", folder, e);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path == marker {
            continue;
        }
        cutover_core::disk::remove_all(&path).map_err(failed)?;
    }
    fault::point(fault::SNAPSHOT_EMPTIED);
    cutover_core::disk::remove_file(&marker).and_then(|()| cutover_core::disk::remove_dir(folder)).map_err(failed)?;
    sync_parent(folder)
}

/// Renames a complete set to `<into>-<taken_at>`, and corrects where its manifest says it lies.
fn set_aside(folder: &Path, mut set: SnapshotSet) -> Result<String, StepError> {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stamp = set.taken_at.strftime("%Y%m%dT%H%M%SZ");
    let place =
        |n: u32| folder.with_file_name(if n == 1 { format!("{name}-{stamp}") } else { format!("{name}-{stamp}-{n}") });
    let to: PathBuf = (1..).map(place).find(|p| p.symlink_metadata().is_err()).unwrap_or_else(|| place(1));
    cutover_core::disk::rename(folder, &to).map_err(|e| io_error("cannot set aside", folder, e))?;
    sync_parent(&to)?;
    for member in set.snapshots.values_mut() {
        if let Ok(rest) = member.manifest.folder.strip_prefix(folder) {
            member.manifest.folder = to.join(rest);
        }
    }
    write_atomic(&to.join(MANIFEST), &set.to_bytes()?, PRIVATE_FILE)?;
    Ok(to.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
}

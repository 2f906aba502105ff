//! A file or link moved to another name, durably, on the same device or on another.

use std::fs;
use std::path::Path;

use cutover_core::disk::{
    copy_file, hash_file, io_error, make_link, partial_name, private_dir, remove_file, remove_partial, rename,
    sync_parent,
};
use cutover_core::{StepError, fault};

/// Moves a file or link to a name that is free: by rename, across devices by copy, fsync and remove.
pub(crate) fn move_file(from: &Path, to: &Path) -> Result<(), StepError> {
    if let Some(above) = to.parent() {
        private_dir(above)?;
    }
    // What a crash left of an earlier try, which may have had to copy.
    remove_partial(to)?;
    match rename(from, to) {
        Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => copy_over(from, to)?,
        Err(e) => return Err(io_error("cannot move", from, e)),
        Ok(()) => {}
    }
    sync_parent(to)?;
    sync_parent(from)
}

fn copy_over(from: &Path, to: &Path) -> Result<(), StepError> {
    let found = fs::symlink_metadata(from).map_err(|e| io_error("cannot look at", from, e))?;
    if found.is_symlink() {
        let destination = fs::read_link(from).map_err(|e| io_error("cannot read the link", from, e))?;
        make_link(&destination, to).map_err(|e| io_error("cannot write", to, e))?;
    } else {
        // Under another name first: the real one must never hold half a file.
        let partial = partial_name(to)?;
        let (_, hash) = copy_file(from, &partial)?;
        fs::set_permissions(&partial, found.permissions()).map_err(|e| io_error("cannot write", &partial, e))?;
        if hash_file(&partial)?.1 != hash {
            return Err(StepError::failed(format!("the copy of `{}` is not what was read", from.display())));
        }
        fault::point(fault::FILES_COPY_MADE);
        rename(&partial, to).map_err(|e| io_error("cannot write", to, e))?;
        sync_parent(to)?;
        fault::point(fault::FILES_COPY_NAMED);
    }
    remove_file(from).map_err(|e| io_error("cannot remove", from, e))
}

//! Whether there is room for what a step of this crate is about to do, and what to do if not.

use std::path::Path;

use cutover_core::StepError;
pub(crate) use cutover_core::room::Space;

/// The room in `folder`; less than `needed` is a refusal that says how much is missing.
pub(crate) fn room(folder: &Path, needed: u64) -> Result<Space, StepError> {
    let help = "free some space on the file system of the root, or lower `free-space` knowing what it is for";
    cutover_core::room::room(folder, needed, "the migration", help)
}

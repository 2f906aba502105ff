//! Whether there is room on a file system, and how bytes are said to people.
//!
//! Owns the question and its refusal. Knows nothing of what the bytes are for.

use std::path::Path;

use cutover_core::StepError;
use cutover_core::disk::io_error;
use serde::{Deserialize, Serialize};

/// Room on a file system, as asked for and as found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Space {
    /// Bytes free to us.
    pub free: u64,
    /// Bytes asked for.
    pub needed: u64,
}

/// The room in `folder`; less than `needed` is a refusal that says how much is missing.
pub(crate) fn room(folder: &Path, needed: u64, what: &str) -> Result<Space, StepError> {
    let stat =
        rustix::fs::statvfs(folder).map_err(|e| io_error("cannot ask for the free space of", folder, e.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed {
        return Err(StepError::failed(format!(
            "not enough free space for {what}: {} needed, {} free, {} missing",
            size(needed),
            size(free),
            size(needed - free)
        ))
        .with_help("free some space on the file system of the root, or lower `free-space` knowing what it is for"));
    }
    Ok(Space { free, needed })
}

/// Bytes for people: "3.5 MiB".
pub(crate) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_room_is_said_in_bytes() {
        let error = room(Path::new("/"), u64::MAX, "a snapshot").unwrap_err().to_string();
        assert!(error.contains("needed") && error.contains("missing"), "{error}");
        assert!(room(Path::new("/"), 0, "nothing").is_ok());
    }
}

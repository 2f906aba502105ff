//! How long the big parts of a migration will take here, and whether there is room for them.
//!
//! Owns a small measurement of this disk and the arithmetic on it. Knows nothing of steps or of what the bytes are.

use std::fs;
use std::path::Path;
use std::time::Instant;

use cutover_core::StepError;
use cutover_core::disk::{copy_file, hash_file, io_error, private_dir, write_atomic};
use serde::{Deserialize, Serialize};

/// Bytes of the sample.
const SAMPLE: usize = 8 * 1024 * 1024;

/// Rows that a backfill is assumed to write in a second. Not measured: it depends on the target's indexes.
const ROWS_PER_SECOND: f64 = 50_000.0;

/// How estimates are made, for the reader of a report.
pub(crate) const BASIS: &str = "fingerprint: bytes / hash rate; snapshot: bytes / copy rate + bytes / hash rate; \
     both rates measured on this disk with a file of 8 MiB (copy includes fsync); \
     backfill: rows / 50000 per second, assumed, as if every row were written once";

/// Rates measured on this machine, in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Rates {
    /// Reading and hashing.
    pub hash: f64,
    /// Copying, with fsync.
    pub copy: f64,
}

/// Seconds that the parts of a migration of one target will take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Estimate {
    /// A content fingerprint.
    pub fingerprint_seconds: f64,
    /// A snapshot.
    pub snapshot_seconds: f64,
    /// Writing every row once.
    pub backfill_seconds: f64,
}

/// Measures with a sample in `folder`, and removes it.
pub(crate) fn measure(folder: &Path) -> Result<Rates, StepError> {
    private_dir(folder)?;
    let (sample, copy) = (folder.join("sample"), folder.join("sample-copy"));
    // Not constant, so that no file system can make it a hole.
    let bytes: Vec<u8> = (0..SAMPLE).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    write_atomic(&sample, &bytes, cutover_core::disk::PRIVATE_FILE)?;
    let rates = (|| {
        let hash = timed(|| hash_file(&sample).map(drop))?;
        remove(&copy)?;
        let copy = timed(|| copy_file(&sample, &copy).map(drop))?;
        Ok(Rates { hash, copy })
    })();
    remove(&sample)?;
    remove(&copy)?;
    rates
}

fn timed(work: impl FnOnce() -> Result<(), StepError>) -> Result<f64, StepError> {
    let started = Instant::now();
    work()?;
    Ok((SAMPLE as f64 / started.elapsed().as_secs_f64().max(1e-6)).round())
}

fn remove(path: &Path) -> Result<(), StepError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error("cannot remove", path, e)),
        _ => Ok(()),
    }
}

impl Rates {
    /// The estimate for a target of this size.
    pub(crate) fn estimate(&self, bytes: u64, rows: u64) -> Estimate {
        let bytes = bytes as f64;
        let millis = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        Estimate {
            fingerprint_seconds: millis(bytes / self.hash),
            snapshot_seconds: millis(bytes / self.copy + bytes / self.hash),
            backfill_seconds: millis(rows as f64 / ROWS_PER_SECOND),
        }
    }
}

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

    #[test]
    fn a_measurement_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let rates = measure(dir.path()).unwrap();
        assert!(rates.hash > 0.0 && rates.copy > 0.0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let estimate = Rates { hash: 1000.0, copy: 500.0 }.estimate(2000, 100_000);
        assert_eq!(estimate, Estimate { fingerprint_seconds: 2.0, snapshot_seconds: 6.0, backfill_seconds: 2.0 });
    }
}

//! How fast this disk is, measured with a small sample.
//!
//! Owns the measurement. Knows nothing of steps or of what the bytes are; blocking.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use cutover_core::StepError;
use cutover_core::disk::{
    PRIVATE_FILE, copy_file, hash_file, io_error, open_or_create, private_dir, remove_file, write_atomic,
};
use serde::{Deserialize, Serialize};

/// Bytes of the sample that is hashed and copied.
const SAMPLE: usize = 8 * 1024 * 1024;

/// Bytes that one commit appends, and how many of them are timed.
const COMMIT: [u8; 4096] = [0xA5; 4096];
const COMMITS: usize = 5;

/// What was measured on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Rates {
    /// Reading and hashing, in bytes a second.
    pub(crate) hash: f64,
    /// Copying with fsync, in bytes a second.
    pub(crate) copy: f64,
    /// Seconds for a small write with fsync: the middle one of a few.
    pub(crate) commit_seconds: f64,
}

/// Measures with samples in `folder`, and removes them.
pub(crate) fn measure(folder: &Path) -> Result<Rates, StepError> {
    private_dir(folder)?;
    let [sample, copy, commits] = ["sample", "sample-copy", "sample-commits"].map(|name| folder.join(name));
    // Not constant, so that no file system can make it a hole.
    let bytes: Vec<u8> = (0..SAMPLE).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let rates = (|| {
        write_atomic(&sample, &bytes, PRIVATE_FILE)?;
        let hash = timed(|| hash_file(&sample).map(drop))?;
        remove(&copy)?;
        let copy = timed(|| copy_file(&sample, &copy).map(drop))?;
        let rate = |seconds: f64| (SAMPLE as f64 / seconds).round();
        Ok(Rates { hash: rate(hash), copy: rate(copy), commit_seconds: commit(&commits)? })
    })();
    for file in [&sample, &copy, &commits] {
        remove(file)?;
    }
    rates
}

/// Seconds for one small write with fsync.
fn commit(path: &Path) -> Result<f64, StepError> {
    let failed = |e| io_error("cannot write", path, e);
    let opened = open_or_create(path);
    let mut file = opened.map_err(failed)?;
    let mut write = || timed(|| file.write_all(&COMMIT).and_then(|()| file.sync_all()).map_err(failed));
    let mut taken = (0..COMMITS).map(|_| write()).collect::<Result<Vec<_>, _>>()?;
    taken.sort_by(f64::total_cmp);
    Ok(rounded(taken[COMMITS / 2]))
}

fn timed(work: impl FnOnce() -> Result<(), StepError>) -> Result<f64, StepError> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64().max(1e-6))
}

/// Seconds to the microsecond.
pub(crate) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

fn remove(path: &Path) -> Result<(), StepError> {
    match remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error("cannot remove", path, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let rates = measure(dir.path()).unwrap();
        assert!(rates.hash > 0.0 && rates.copy > 0.0 && rates.commit_seconds > 0.0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

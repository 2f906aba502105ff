//! How large a batch may be and how long it may take.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use cutover_core::StepError;
use rusqlite::Connection;

/// The database is held no longer than this by a batch, where its size can help it.
const HOLD: Duration = Duration::from_millis(25);

/// The smallest batch that shrinking leads to.
const SMALLEST: u64 = 16;

/// The size of the next batch, when one of `size` held the database for so long: half, or a little more, never above
/// `most`.
pub(super) fn next_size(size: u64, most: u64, held: Duration) -> u64 {
    if held > HOLD { (size / 2).max(SMALLEST.min(most)) } else { (size + size / 8 + 1).min(most) }
}

/// Runs `work`, interrupted when it takes longer than `limit`.
pub(super) fn timed<T>(
    conn: &Connection,
    limit: Duration,
    work: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let started = Instant::now();
    let interrupt = conn.get_interrupt_handle();
    let result = std::thread::scope(|scope| {
        let (done, watched) = mpsc::channel::<()>();
        scope.spawn(move || {
            if watched.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
        let result = work();
        drop(done);
        result
    });
    if started.elapsed() <= limit {
        return result;
    }
    Err(StepError::failed(format!("a batch took longer than {} s and was undone: review", limit.as_secs())).with_help(
        "an index behind `key` lets each batch start where the last one ended; else lower `batch` or raise `seconds`. \
         The same command goes on after the last complete batch",
    ))
}

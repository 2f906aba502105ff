//! What a command runs on: one thread of its own, and signals turned into stop requests. Knows no command.

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::host::Stop;

/// Sent to whoever writes more into a file than its limit allows.
const SIGXFSZ: i32 = 25;

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| RunnerError::io("the async runtime", e))
}

/// Runs `work` to its end.
pub(super) fn block_on(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    runtime()?.block_on(work)
}

/// The same, with Ctrl-C and SIGTERM turned into stop requests: apply is never dropped midway.
pub(super) fn block_on_stoppable<F: Future<Output = Result<Exit>>>(work: impl FnOnce(Stop) -> F) -> Result<Exit> {
    let stop = Stop::default();
    let heard = stop.clone();
    runtime()?.block_on(async move {
        let mut terminate = signal(SignalKind::terminate()).map_err(|e| RunnerError::io("the signal handler", e))?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                heard.request();
            }
        });
        // Whoever listens to it is not killed by it: a file that may not grow (`ulimit -f`) is an error like a full disk.
        let _limit = signal(SignalKind::from_raw(SIGXFSZ)).map_err(|e| RunnerError::io("the signal handler", e))?;
        work(stop).await
    })
}

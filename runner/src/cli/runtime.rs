//! What a command runs on: one thread of its own, and signals turned into stop requests. Knows no command.

use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::host::Stop;

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
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|e| RunnerError::io("the signal handler", e))?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                heard.request();
            }
        });
        work(stop).await
    })
}

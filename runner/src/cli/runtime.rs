//! What a command runs on: one thread of its own, and another that hears signals, whatever the first is busy with. Knows
//! no command.

use std::io::Write as _;
use std::sync::mpsc;

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
    let (heard, (listening, begun)) = (stop.clone(), mpsc::channel());
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let heard = listen(&heard, &listening);
            // Nobody waits any more once it listens.
            let _ = listening.send(heard);
        })
        .map_err(|e| RunnerError::io("the thread for signals", e))?;
    begun.recv().map_err(|e| RunnerError::io("the signal handler", e))??;
    runtime()?.block_on(work(stop))
}

/// Turns signals into requests for as long as the process lives.
fn listen(stop: &Stop, listening: &mpsc::Sender<Result<()>>) -> Result<()> {
    runtime()?.block_on(async {
        let handler = |kind| signal(kind).map_err(|e| RunnerError::io("the signal handler", e));
        let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
        // Whoever listens to it is not killed by it: a file that may not grow (`ulimit -f`) is an error like a full disk.
        let _limit = handler(SignalKind::from_raw(SIGXFSZ))?;
        let _ = listening.send(Ok(()));
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tell(if stop.requested() {
                "asked again: a running SQL statement is broken off and undone"
            } else {
                "asked to stop: what runs goes on to a place where it can; once more breaks off a running SQL statement"
            });
            stop.request();
        }
    })
}

/// To standard error, where nothing else is written that anybody parses.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

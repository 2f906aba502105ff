//! Folds the write-ahead log into the main file while the next batch is written.
//!
//! Owns a thread with a connection of its own. A checkpoint copies what was committed when it began and waits for the
//! disk twice; done by the writer itself, nothing is written meanwhile. What it copies behind a writer's back is never
//! all of the log, so the log grows on: [`Commits`](super::commits::Commits) knows when to wait for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use cutover_core::StepError;
use rusqlite::Connection;

/// The thread, until it is dropped.
#[derive(Debug)]
pub(crate) struct Folding {
    asked: Option<Sender<()>>,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    busy: Mutex<bool>,
    idle: Condvar,
}

impl Folding {
    /// Folds by `conn` from now on.
    pub(crate) fn by(conn: Connection) -> Result<Self, StepError> {
        let (asked, asks) = channel();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || fold(&conn, &asks, &shared))
            .map_err(|e| StepError::failed("the log cannot be checkpointed: no thread").caused_by(e))?;
        Ok(Self { asked: Some(asked), state, thread: Some(thread) })
    }

    /// Folds what is committed by now, unless it is at work still.
    pub(crate) fn ask(&self) {
        let mut busy = self.state.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !*busy {
            *busy = self.asked.as_ref().is_some_and(|asked| asked.send(()).is_ok());
        }
    }

    /// Returns when it is not at work.
    pub(crate) fn wait(&self) {
        let busy = self.state.busy.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.state.idle.wait_while(busy, |busy| *busy).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        self.asked = None;
        if let Some(thread) = self.thread.take() {
            // It folds for nobody: whoever commits next does it again.
            drop(thread.join());
        }
    }
}

fn fold(conn: &Connection, asks: &Receiver<()>, state: &State) {
    while asks.recv().is_ok() {
        // Others may be at it, or the disk be full: what is committed is in the log all the same.
        drop(conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
        *state.busy.lock().unwrap_or_else(PoisonError::into_inner) = false;
        state.idle.notify_all();
    }
}

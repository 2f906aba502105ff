//! Keeps the lease of a freeze alive as long as this process works on the database.
//!
//! Owns a thread that renews it in time by the monotonic clock, on the connection that writes: nobody else's commits are
//! seen in between. The thread ends with the freeze, the session or the process; then the lease ends by itself.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use cutover_core::{StepError, StepInfo};
use rusqlite::Connection;

use super::session::Session;
use super::watch::data_version;

/// The freeze of this session, if it is under one.
#[derive(Debug, Default)]
pub(crate) struct Keeper(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    /// `PRAGMA data_version` when this session last committed.
    seen: i64,
    thread: JoinHandle<()>,
    /// The thread ends when this is dropped.
    _stop: Sender<()>,
}

/// What a transaction leaves: how long the lease is, and the data version that nobody else has moved yet.
pub(crate) type Left = Option<(Duration, i64)>;

impl Keeper {
    /// Whether somebody else committed since the freeze began, or since this session's last transaction.
    pub(crate) fn passed(&self, conn: &Connection) -> Result<bool, StepError> {
        match self.lock().as_ref() {
            Some(kept) => Ok(data_version(conn)? != kept.seen),
            None => Ok(false),
        }
    }

    /// A transaction of `step` is committed, and this is what it left.
    pub(crate) fn follow(&self, session: &Arc<Session>, step: &StepInfo, left: Left) -> Result<(), StepError> {
        let mut slot = self.lock();
        let Some((lease, seen)) = left else {
            *slot = None;
            return Ok(());
        };
        if let Some(kept) = slot.as_mut().filter(|kept| !kept.thread.is_finished()) {
            kept.seen = seen;
            return Ok(());
        }
        let (stop, stopped) = channel();
        let (weak, plan, run) = (Arc::downgrade(session), step.plan.clone(), step.run.clone());
        let thread = std::thread::Builder::new()
            .name("freeze".to_owned())
            .spawn(move || keep(&weak, &plan, &run, lease / 4, &stopped))
            .map_err(|e| StepError::failed("the lease of the freeze cannot be renewed: no thread").caused_by(e))?;
        *slot = Some(Kept { seen, thread, _stop: stop });
        Ok(())
    }

    /// The session closes: the lease is not renewed any more.
    pub(crate) fn stop(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(session: &Weak<Session>, plan: &str, run: &str, pace: Duration, stop: &Receiver<()>) {
    while stop.recv_timeout(pace) == Err(RecvTimeoutError::Timeout) {
        let Some(session) = session.upgrade() else { return };
        // A lease that cannot be renewed now (a reader of a rollback-journal database, a full disk) may be next time.
        if matches!(session.renew(plan, run), Ok(false)) {
            return;
        }
    }
}

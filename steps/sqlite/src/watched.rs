//! Queries that a plan's author wrote, under watch: a stop or a time limit ends them.
//!
//! Owns the thread that looks. It interrupts reads only: what it watches must not write. A query that runs when a stop
//! is asked for gets a moment to end, since most do and their answer is still wanted.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cutover_core::{StepContext, StepError};
use rusqlite::{Connection, InterruptHandle};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a query may go on after a stop was asked for.
const GRACE: Duration = Duration::from_secs(2);

/// What the watching thread knows.
pub(crate) struct Watched {
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    handles: Vec<InterruptHandle>,
    deadline: Option<Instant>,
    late: bool,
    stop_since: Option<Instant>,
    stopped: bool,
    done: bool,
}

/// Runs `work`, which reads from `conn`. None: a stop was asked for, and it was cut short.
pub(crate) fn watched<T>(
    cx: &StepContext,
    conn: &Connection,
    work: impl FnOnce(&Watched) -> Result<T, StepError>,
) -> Result<Option<T>, StepError> {
    let state = State {
        handles: vec![conn.get_interrupt_handle()],
        deadline: None,
        late: false,
        stop_since: None,
        stopped: false,
        done: false,
    };
    let watched = Watched { state: Mutex::new(state), ended: Condvar::new() };
    let result = std::thread::scope(|scope| {
        scope.spawn(|| watched.look(cx));
        // Also when `work` panics: the scope waits for the thread.
        let _done = Done(&watched);
        work(&watched)
    });
    if watched.stopped() { Ok(None) } else { result.map(Some) }
}

struct Done<'a>(&'a Watched);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.lock().done = true;
        self.0.ended.notify_all();
    }
}

impl Watched {
    /// Runs one query of at most `seconds`.
    pub(crate) fn limited<T>(
        &self,
        seconds: u64,
        doing: &str,
        query: impl FnOnce() -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        {
            let mut state = self.lock();
            state.late = false;
            state.deadline = Instant::now().checked_add(Duration::from_secs(seconds));
        }
        let result = query();
        let mut state = self.lock();
        state.deadline = None;
        match result {
            Err(_) if state.late => {
                Err(StepError::failed(format!("{doing}: it did not end within {seconds} s and was stopped"))
                    .with_help("make the query end sooner: an index, a condition, a LIMIT"))
            }
            result => result,
        }
    }

    /// Watches one more connection, for as long as it is open.
    pub(crate) fn also(&self, conn: &Connection) {
        self.lock().handles.push(conn.get_interrupt_handle());
    }

    /// Whether a stop cut something short.
    pub(crate) fn stopped(&self) -> bool {
        self.lock().stopped
    }

    fn look(&self, cx: &StepContext) {
        let mut state = self.lock();
        while !state.done {
            let now = Instant::now();
            if cx.stop_requested() {
                let since = *state.stop_since.get_or_insert(now);
                state.stopped = state.stopped || now.duration_since(since) >= GRACE;
            }
            state.late = state.late || state.deadline.is_some_and(|deadline| now >= deadline);
            // Again and again: what is interrupted before a statement begins its work is not interrupted.
            if state.stopped || (state.late && state.deadline.is_some()) {
                state.handles.iter().for_each(InterruptHandle::interrupt);
            }
            state = self.ended.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

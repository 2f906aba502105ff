//! Statements run as long as they like, until the operator asks again to stop.
//!
//! Owns which work may be broken off: a change that its transaction undoes, or a look. Nothing else listens.

use std::cell::RefCell;

use cutover_core::StepContext;
use rusqlite::Connection;

/// Instructions of SQLite's machine between two looks at the operator's wishes: about a millisecond.
const INSTRUCTIONS: i32 = 10_000;

thread_local! {
    /// Whom to ask, while this thread runs what may be broken off.
    static ASKED: RefCell<Option<StepContext>> = const { RefCell::new(None) };
}

/// Makes the statements of `conn` listen.
pub(crate) fn listen(conn: &mut Connection) -> rusqlite::Result<()> {
    conn.progress_handler(INSTRUCTIONS, Some(insisted))
}

fn insisted() -> bool {
    ASKED.with_borrow(|asked| asked.as_ref().is_some_and(StepContext::stop_insisted))
}

/// Runs `work`, whose statements are broken off when the operator asks again to stop.
pub(crate) fn unless_insisted<T>(cx: &StepContext, work: impl FnOnce() -> T) -> T {
    struct Before(Option<StepContext>);
    impl Drop for Before {
        fn drop(&mut self) {
            ASKED.set(self.0.take());
        }
    }
    let _before = Before(ASKED.replace(Some(cx.clone())));
    work()
}

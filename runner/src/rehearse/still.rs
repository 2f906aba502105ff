//! Whether nobody migrates the system while it is looked at and copied.
//!
//! A rehearsal only reads the real system, so it takes no lock there; what it saw in the middle of a run counts nothing.

use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::lock::living_holder;
use crate::recorder::journal_error;
use crate::session::Session;

/// How far the journal was when looking began.
#[derive(Debug)]
pub(super) struct Still<'a> {
    session: &'a Session,
    last: u64,
}

impl<'a> Still<'a> {
    /// From now on nobody must write.
    pub(super) fn begin(session: &'a Session) -> Result<Self> {
        let still = Self { session, last: last(session)? };
        still.refuse_holder()?;
        Ok(still)
    }

    /// What was found, if nobody wrote meanwhile.
    pub(super) fn unless_moved<T>(&self, found: Result<T>) -> Result<T> {
        self.refuse_holder()?;
        if last(self.session)? != self.last {
            return Err(self.refused("another command ran while the system was copied"));
        }
        found
    }

    fn refuse_holder(&self) -> Result<()> {
        let held = self.session.lock_files().into_iter().find_map(|path| Some((living_holder(&path)?, path)));
        held.map_or(Ok(()), |(holder, path)| {
            Err(self.refused(&format!("a run is under way: `{}` is held by {holder}", path.display())))
        })
    }

    fn refused(&self, why: &str) -> RunnerError {
        RunnerError::new(Exit::Locked, format!("{why}; the real system was only read"))
            .with_help(format!("wait for its end, then rehearse again: `{}`", self.session.command_line("rehearse")))
    }
}

/// The number of the journal's last record, whatever plan it is about.
fn last(session: &Session) -> Result<u64> {
    let journal = Journal::open_read(&session.state_dir).map_err(journal_error)?;
    Ok(journal.map_or(0, |journal| journal.last_seq()))
}

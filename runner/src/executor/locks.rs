//! One writer: the locks of a run, and the refusal to take over what cannot be fenced.

use super::RunOptions;
use crate::clock;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::lock::{Holder, Lock, LockError, host_name, process_exists};
use crate::recorder::journal_error;
use crate::session::Session;

/// Takes the lock of the state folder and one per target, or says who holds one.
pub(super) fn take(session: &Session, options: &RunOptions) -> Result<Vec<Lock>> {
    crate::journal::make_private_folder(&session.state_dir).map_err(journal_error)?;
    let holder = Holder {
        pid: std::process::id(),
        host: host_name(),
        since: clock::now().to_string(),
        command: options.command.clone(),
    };
    let mut locks = Vec::new();
    for file in session.lock_files() {
        let taken = match Lock::acquire(&file, &holder, options.lock_timeout) {
            Err(LockError::Held { holder: theirs, .. }) if options.take_over => {
                refuse_unfenced_take_over(session, theirs.as_ref())?;
                Lock::take_over(&file, &holder)
            }
            other => other,
        };
        locks.push(taken.map_err(|e| lock_error(session, &e))?);
    }
    Ok(locks)
}

/// Where a target has no transactions, nothing can stop a woken holder from writing: refuse while it exists.
fn refuse_unfenced_take_over(session: &Session, holder: Option<&Holder>) -> Result<()> {
    let Some(open) = session.targets.values().find(|t| t.ledger().is_none()) else { return Ok(()) };
    let alive = holder.is_none_or(|h| h.host != host_name() || process_exists(h.pid));
    if !alive {
        return Ok(());
    }
    let who = holder.map_or_else(|| "the holder".to_owned(), |h| format!("process {} on {}", h.pid, h.host));
    Err(RunnerError::new(
        Exit::Locked,
        format!("cannot take over: target `{}` has no transactions, and {who} may still write to it", open.name()),
    )
    .with_help("end that process first; its locks are freed by the kernel, and the same command goes on"))
}

fn lock_error(session: &Session, error: &LockError) -> RunnerError {
    match error {
        LockError::Held { .. } => RunnerError::new(Exit::Locked, error.to_string()).with_help(format!(
            "wait with `--lock-timeout 60s`, look with `{}`, or, if that process is frozen, `--take-over`",
            session.command_line("status")
        )),
        LockError::Unfit { .. } => RunnerError::new(Exit::NoTarget, error.to_string()).with_help(
            "Cutover writes only into a lock file of its own: look at what that is, move it away, and run again",
        ),
        LockError::File { .. } => RunnerError::new(Exit::NoTarget, error.to_string())
            .with_help("the folder of every target and the state folder must be writable"),
    }
}

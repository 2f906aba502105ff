//! Exit codes: what a script may rely on.

use std::process::ExitCode;

use cutover_core::Outcome;

/// How a command ended, as seen by a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: done, or nothing to do.
    Done = 0,
    /// 2: the command line is wrong.
    Usage = 2,
    /// 3: changes are pending (`plan --exit-code`).
    Pending = 3,
    /// 65: the plan is invalid.
    InvalidPlan = 65,
    /// 66: a target is missing, unreadable, encrypted, corrupt or read-only, or there is no state folder to be had (no room,
    /// say).
    NoTarget = 66,
    /// 70: a defect of ours.
    Internal = 70,
    /// 75: another runner holds the lock.
    Locked = 75,
    /// 100: a step failed, and what the plan says was rolled back; or `apply` finished a rollback that was interrupted.
    Failed = 100,
    /// 101: a rollback failed; a person is needed. Where the storage failed it, the same command tries again.
    Stuck = 101,
    /// 102: an applied step changed, or what is there is not what was recorded.
    Drift = 102,
    /// 103: a step waits; the same command comes back to it.
    Waiting = 103,
    /// 104: a step failed, and nothing was undone, or only what came after a step that cannot be undone; or the journal
    /// could not be written any more.
    Paused = 104,
    /// 130: stopped by the operator.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done | Outcome::NothingToDo => Exit::Done,
            Outcome::FailedRolledBack | Outcome::Unwound => Exit::Failed,
            Outcome::FailedPaused | Outcome::FailedBlocked => Exit::Paused,
            Outcome::Stuck => Exit::Stuck,
            Outcome::Waiting => Exit::Waiting,
            Outcome::Interrupted => Exit::Interrupted,
        }
    }
}

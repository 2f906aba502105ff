//! One writer: the locks of a run, and the refusal to take over what cannot be fenced.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cutover_core::disk;
use cutover_core::journal::StepState;

use super::RunOptions;
use crate::clock;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::lock::{Holder, Lock, LockError, host_name, process_exists, uses};
use crate::recorder::journal_error;
use crate::session::Session;

/// Takes the lock of the state folder and one per target, or says who holds one.
pub(super) fn take(session: &Session, options: &RunOptions) -> Result<Vec<Lock>> {
    let locks = take_files(session, options, &session.lock_files())?;
    refuse_left_running(session, options)?;
    Ok(locks)
}

/// The lock of the state folder alone, for who writes into the journal and into no target.
pub(super) fn take_state(session: &Session, options: &RunOptions) -> Result<Vec<Lock>> {
    take_files(session, options, &session.lock_files()[..1])
}

fn take_files(session: &Session, options: &RunOptions, files: &[PathBuf]) -> Result<Vec<Lock>> {
    crate::journal::make_private_folder(&session.state_dir).map_err(journal_error)?;
    let holder = Holder {
        pid: std::process::id(),
        host: host_name(),
        since: clock::now().to_string(),
        command: options.command.clone(),
    };
    let mut locks = Vec::new();
    for file in files {
        let taken = match Lock::acquire(file, &holder, options.lock_timeout) {
            Err(LockError::Held { holder: theirs, .. }) if options.take_over => {
                refuse_unfenced_take_over(session, theirs.as_ref())?;
                Lock::take_over(file, &holder)
            }
            other => other,
        };
        locks.push(taken.map_err(|e| lock_error(session, &e))?);
    }
    Ok(locks)
}

/// A lock file that somebody deleted keeps nobody out: a run of the journal that has not ended, and whose process has
/// the journal open, is under way all the same.
pub(super) fn refuse_unlocked_runner(session: &Session, journal: &Journal, options: &RunOptions) -> Result<()> {
    let path = Journal::path_in(&session.state_dir);
    let living = |(host, pid): &(String, u32)| *host == host_name() && *pid != std::process::id() && uses(*pid, &path);
    match journal.open_run().map_err(journal_error)?.filter(living) {
        Some((host, pid)) if !options.take_over => Err(RunnerError::new(
            Exit::Locked,
            format!("a run is under way in process {pid} on {host}, though its lock file was deleted or replaced"),
        )
        .with_help(format!("wait for its end, or end it: `kill {pid}`; then the same command goes on"))),
        _ => Ok(()),
    }
}

/// A program that a runner started lives on when that runner is killed. Until it has ended nothing can be said of its
/// step, and nothing may be undone beneath it.
fn refuse_left_running(session: &Session, options: &RunOptions) -> Result<()> {
    let until = Instant::now() + options.lock_timeout;
    loop {
        let Some((step, pid)) = left_running(session, &|ended| drop(disk::remove_file(ended))) else {
            return Ok(());
        };
        if Instant::now() >= until {
            return Err(RunnerError::new(
                Exit::Locked,
                format!("the program of step `{step}` still runs, in process group {pid}: the runner that started it was killed"),
            )
            .with_help(format!("wait for it with `--lock-timeout 60s`, or end it: `kill -- -{pid}`; then the same command")));
        }
        std::thread::sleep(Duration::from_millis(50).min(options.lock_timeout));
    }
}

/// A step whose program runs, and its process group. Marks of programs that have ended are given to `ended`.
pub(crate) fn left_running(session: &Session, ended: &dyn Fn(&Path)) -> Option<(String, String)> {
    let folder = session.state_dir.join("running");
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    for mark in entries(&folder).flat_map(|plan| entries(&plan).collect::<Vec<_>>()) {
        match File::open(&mark).map(|file| file.try_lock()) {
            Ok(Err(TryLockError::WouldBlock)) => {
                let step = mark.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                return Some((step, std::fs::read_to_string(&mark).unwrap_or_default()));
            }
            Ok(Ok(())) => ended(&mark),
            // What cannot be looked at says nothing, and stays.
            Ok(Err(TryLockError::Error(_))) | Err(_) => {}
        }
    }
    None
}

/// What has no transactions cannot be fenced: a target without a ledger, or a step in flight that writes no ledger row.
/// Nothing would stop a woken holder from going on with it. Refuse while that process exists.
pub(crate) fn refuse_unfenced_take_over(session: &Session, holder: Option<&Holder>) -> Result<()> {
    let alive = holder.is_none_or(|h| h.host != host_name() || process_exists(h.pid));
    if !alive {
        return Ok(());
    }
    let who = holder.map_or_else(|| "the holder".to_owned(), |h| format!("process {} on {}", h.pid, h.host));
    let why = match session.targets.values().find(|t| t.ledger().is_none()) {
        Some(open) => format!("target `{}` has no transactions, and {who} may still write to it", open.name()),
        None => match unfenced_in_flight(session) {
            Some(step) => format!("step `{step}` is under way in {who}, and nothing could stop it from going on"),
            None => return Ok(()),
        },
    };
    Err(RunnerError::new(Exit::Locked, format!("cannot take over: {why}"))
        .with_help("end that process first; its locks are freed by the kernel, and the same command goes on"))
}

/// A step that was begun, or whose rollback was, and that keeps no ledger.
fn unfenced_in_flight(session: &Session) -> Option<String> {
    use StepState as S;
    let (state, _) = session.journalled().ok()?;
    let ledgered = |id: &str| session.plan.step(id).is_some_and(|s| s.step.ledgered().is_some());
    let in_flight = |s: StepState| matches!(s, S::Started | S::Intended | S::RollingBack);
    state.steps.iter().find(|(id, r)| in_flight(r.state) && !ledgered(id)).map(|(id, _)| id.clone())
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
            .with_help("make the folders of all targets and the state folder writable, make room on their file systems, then run the same command again"),
    }
}

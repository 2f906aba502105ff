//! The scratch root of a rehearsal: consistent copies of the targets, and a copy of everything else in the root.
//!
//! The real root is only read. What the state folder holds is not copied, but for the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_core::disk::{self, private_dir};
use cutover_core::{StepContext, StepInfo, Target, fault};

use super::copying::Copying;
use super::links::Links;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::lock::{Holder, Lock, LockError, host_name};
use crate::prune::bytes;
use crate::recorder::journal_error;
use crate::session::{Place, Session, real_or_given, shell_words};

/// A copy of a system to rehearse on; removed when it is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    keep: bool,
    /// The folder is ours too, and goes with what is in it.
    ours: bool,
    /// Where the copied targets lie that are not inside the root.
    binds: BTreeMap<String, PathBuf>,
    /// As long as it is held nobody else removes the folder.
    _lock: Lock,
    /// It is removed, or that failed and was said.
    ended: bool,
}

impl Scratch {
    /// Makes the copy's folder in the state folder, or uses `elsewhere`. What a killed rehearsal left there goes first.
    pub(super) fn new(session: &Session, elsewhere: Option<&Path>, keep: bool) -> Result<Self> {
        let folder = elsewhere.map_or_else(|| session.state_dir.join("scratch"), Path::to_owned);
        refuse_unfit(session, &folder, elsewhere.is_some())?;
        // Links of the copy lead here by this path.
        let folder = std::path::absolute(&folder).map_or(folder, |folder| real_or_given(&folder));
        // An empty folder that the operator has is given back as it was.
        let ours = elsewhere.is_none() || !folder.exists();
        private_dir(&folder)?;
        let lock = Lock::acquire(&folder.join(MARK), &holder(), Duration::ZERO).map_err(|e| match e {
            LockError::Held { .. } => RunnerError::new(Exit::Locked, format!("another rehearsal is under way: {e}"))
                .with_help("wait for its end, or name another place for the copy with `--scratch DIR`"),
            _ => RunnerError::new(Exit::NoTarget, e.to_string()).with_help(ELSEWHERE),
        })?;
        empty(&folder)?;
        fault::point(fault::REHEARSAL_BEGUN);
        Ok(Self { folder, keep, ours, binds: BTreeMap::new(), _lock: lock, ended: false })
    }

    /// The copied root.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The same plan on the copies.
    pub(super) fn place(&self, session: &Session) -> Place {
        Place {
            plan: session.plan_file.clone(),
            root: Some(self.root()),
            state: Some(self.folder.join("state")),
            binds: self.binds.clone(),
            vars: session.place.vars.clone(),
            rehearsal: true,
            said: None,
        }
    }

    /// Where the copy of a target goes, and whether that is inside the copied root.
    fn place_of(&self, session: &Session, target: &dyn Target) -> (PathBuf, bool) {
        let (name, path) = (target.name(), target.path());
        match path.strip_prefix(&session.root).ok().filter(|_| !session.place.binds.contains_key(name)) {
            Some(path) => (self.root().join(path), true),
            None => {
                let file = path.file_name().map_or_else(|| name.into(), ToOwned::to_owned);
                (self.folder.join("bound").join(name).join(file), false)
            }
        }
    }

    /// The links of the copy.
    pub(super) fn links(&self, session: &Session) -> Links {
        let mut copies = vec![(session.root.clone(), self.root())];
        for target in session.targets.values() {
            let (to, inside) = self.place_of(session, target.as_ref());
            if !inside || !target.files().is_empty() {
                copies.push((real_or_given(target.path()), to));
            }
        }
        Links::new(copies, self.folder.join("outside"))
    }

    /// Copies the targets, the rest of the root and the journal. Returns the links that lead out of it, and what became
    /// of them.
    pub(super) async fn fill(&mut self, session: &Session, cx: &StepContext) -> Result<BTreeMap<PathBuf, String>> {
        let root = self.root();
        private_dir(&root)?;
        // Folders outside of the root, whose targets leave their copying to whoever copies the folder.
        let mut outside = Vec::new();
        for (name, target) in session.targets.iter() {
            let (to, inside) = self.place_of(session, target.as_ref());
            if !inside {
                self.binds.insert(name.clone(), to.clone());
            }
            if let Some(parent) = to.parent() {
                private_dir(parent)?;
            }
            let named = cx.for_step(StepInfo { id: format!("copying {name}"), ..cx.info().clone() });
            target.copy_to(&named, &to).await.map_err(|e| if cx.stop_requested() { stopped() } else { e.into() })?;
            if !inside && target.files().is_empty() {
                outside.push((target.path().to_owned(), to));
            }
            fault::point(fault::REHEARSAL_TARGET);
        }
        let copies = std::iter::once((session.root.clone(), root)).chain(outside).collect();
        let links = self.links(session);
        let copying = Copying { copies, left_out: self.left_out(session), links, cx: cx.clone() };
        let out = cx.blocking(move || Ok(copying.all())).await??;
        let state = self.folder.join("state");
        private_dir(&state)?;
        if let Some(journal) = Journal::open_read(&session.state_dir).map_err(journal_error)? {
            journal.copy_to(&state).map_err(journal_error)?;
        }
        Ok(out)
    }

    /// What of the root is not copied as it lies there: what targets copy themselves, the state folder, this folder.
    pub(super) fn left_out(&self, session: &Session) -> BTreeSet<PathBuf> {
        let mut left_out: BTreeSet<PathBuf> = session.targets.values().flat_map(|t| t.files()).collect();
        left_out.extend([session.state_dir.clone(), real_or_given(&session.state_dir), self.folder.clone()]);
        left_out
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes of it now.
    pub(super) fn bytes(&self) -> u64 {
        bytes(&self.folder)
    }
}

impl Scratch {
    /// Removes it, unless it is to be kept; says why where it cannot.
    pub(super) fn end(mut self) -> Option<String> {
        self.remove().err().map(|e| e.message)
    }

    fn remove(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        if self.keep && self.root().exists() {
            return fs::write(self.folder.join(KEPT), "").map_err(|e| failed(&self.folder, &e));
        }
        empty(&self.folder).and_then(|()| remove(&self.folder, self.ours))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes with the next rehearsal, or with `prune`.
        let _ = self.remove();
    }
}

/// Tells a scratch folder of ours from anything else.
const MARK: &str = ".cutover-scratch";

/// Says that the copy is to stay.
const KEPT: &str = ".cutover-kept";

/// All that a rehearsal makes there beside the mark.
const MADE: &[&str] = &["bound", "outside", "root", "state"];

const ELSEWHERE: &str = "the real system was only read; `--scratch DIR` names another place for the copy";

/// Whether a rehearsal is using the scratch folder.
pub(crate) fn in_use(folder: &Path) -> bool {
    let locked = |mark: fs::File| matches!(mark.try_lock_shared(), Err(fs::TryLockError::WouldBlock));
    fs::File::open(folder.join(MARK)).is_ok_and(locked)
}

/// Refuses a folder that holds anything but what a killed rehearsal left.
fn refuse_unfit(session: &Session, folder: &Path, elsewhere: bool) -> Result<()> {
    let shown = folder.display();
    let another = "name a folder that is empty or not there yet";
    let unfit = |what: String, help: &str| {
        Err(RunnerError::usage(format!("the scratch folder `{shown}` {what}")).with_help(help))
    };
    if folder.is_symlink() {
        return unfit("is a symbolic link".to_owned(), "remove the link, or name another folder: `--scratch DIR`");
    }
    if !folder.exists() {
        return Ok(());
    }
    if !folder.is_dir() {
        return unfit("is no folder".to_owned(), another);
    }
    let entries = fs::read_dir(folder).map_err(|e| failed(folder, &e))?;
    let mut names: Vec<_> = entries.flatten().map(|e| e.file_name()).collect();
    names.sort();
    if in_use(folder) {
        // Whoever asks for the lock is told who has it.
        return Ok(());
    }
    if names.iter().any(|name| name == KEPT) {
        let help = match elsewhere {
            true => format!(
                "remove it (`rm -r {}`) when nobody wants it any more, or name another place with `--scratch DIR`",
                shell_words([shown.to_string()])
            ),
            false => format!(
                "`{}` deletes it; or name another place for the new one with `--scratch DIR`",
                session.command_line("prune")
            ),
        };
        return unfit("holds the copy of a rehearsal that was to be kept".to_owned(), &help);
    }
    let marked = names.iter().any(|name| name == MARK);
    let of_others = names.iter().find(|&name| name != MARK && !(marked && MADE.iter().any(|made| name == made)));
    match of_others {
        Some(name) if marked => unfit(
            format!("holds `{}`, which no rehearsal made", name.to_string_lossy()),
            "move that away, or name another place with `--scratch DIR`",
        ),
        Some(_) => unfit("is not empty".to_owned(), another),
        None => Ok(()),
    }
}

/// Removes all that a rehearsal made but for the mark, which says whose it is until nothing is left.
fn empty(folder: &Path) -> Result<()> {
    for name in MADE {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            disk::remove_closed(&path).map_err(|e| not_removed(&path, &e))?;
            fault::point(fault::REHEARSAL_REMOVING);
        }
    }
    Ok(())
}

/// Removes the mark, and the folder too when it is ours and nobody put anything there.
fn remove(folder: &Path, ours: bool) -> Result<()> {
    let mark = folder.join(MARK);
    disk::remove_file(&mark).map_err(|e| not_removed(&mark, &e))?;
    match if ours { disk::remove_dir(folder) } else { Ok(()) } {
        Err(e) if e.kind() != std::io::ErrorKind::DirectoryNotEmpty => Err(not_removed(folder, &e)),
        _ => Ok(()),
    }
}

fn holder() -> Holder {
    Holder {
        pid: std::process::id(),
        host: host_name(),
        since: crate::clock::now().to_string(),
        command: "cutover rehearse".to_owned(),
    }
}

pub(super) fn stopped() -> RunnerError {
    RunnerError::new(Exit::Interrupted, "stopped; the real system was only read, and the copy is removed")
}

pub(super) fn failed(path: &Path, error: &std::io::Error) -> RunnerError {
    RunnerError::new(Exit::NoTarget, format!("cannot copy for the rehearsal: `{}`: {error}", path.display()))
        .with_help(ELSEWHERE)
}

fn not_removed(path: &Path, error: &std::io::Error) -> RunnerError {
    RunnerError::new(
        Exit::NoTarget,
        format!("the copy of a rehearsal cannot be removed: `{}`: {error}", path.display()),
    )
    .with_help("`cutover prune` deletes the one in the state folder; `--scratch DIR` names another place")
}

//! The scratch root of a rehearsal: consistent copies of the targets, and a copy of everything else in the root.
//!
//! The real root is only read. What the state folder holds is not copied, but for the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_core::disk::{self, private_dir};
use cutover_core::{StepContext, StepInfo, fault};

use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::lock::{Holder, Lock, host_name};
use crate::prune::bytes;
use crate::recorder::journal_error;
use crate::session::{Place, Session, real_path};

/// A copy of a system to rehearse on; removed when it is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    keep: bool,
    /// Where the copied targets lie that are not inside the root.
    binds: BTreeMap<String, PathBuf>,
    /// As long as it is held nobody else removes the folder.
    _lock: Lock,
}

impl Scratch {
    /// Makes the folder. Whatever a killed rehearsal left there goes first.
    pub(super) fn new(folder: PathBuf, keep: bool) -> Result<Self> {
        if folder.is_symlink() {
            let message = format!("the scratch folder `{}` is a symbolic link", folder.display());
            return Err(
                RunnerError::usage(message).with_help("remove the link, or name another folder: `--scratch DIR`")
            );
        }
        let folder = real_path(&folder).unwrap_or(folder);
        let mark = folder.join(MARK);
        let occupied = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied && !mark.exists() {
            return Err(RunnerError::usage(format!("the scratch folder `{}` is not empty", folder.display()))
                .with_help("name a folder that is empty or not there yet"));
        }
        private_dir(&folder)?;
        let lock = Lock::acquire(&mark, &holder(), Duration::ZERO).map_err(|e| {
            RunnerError::new(Exit::Locked, format!("another rehearsal is under way: {e}"))
                .with_help("wait for its end, or name another place for the copy with `--scratch DIR`")
        })?;
        if occupied {
            empty(&folder)?;
        }
        fault::point(fault::REHEARSAL_BEGUN);
        Ok(Self { folder, keep, binds: BTreeMap::new(), _lock: lock })
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

    /// Copies the targets, the rest of the root and the journal; returns the bytes of it all.
    pub(super) async fn fill(&mut self, session: &Session, cx: &StepContext) -> Result<u64> {
        let root = self.root();
        private_dir(&root)?;
        // Folders outside of the root, whose targets leave their copying to whoever copies the folder.
        let mut outside = Vec::new();
        for (name, target) in session.targets.iter() {
            let inside =
                target.path().strip_prefix(&session.root).ok().filter(|_| !session.place.binds.contains_key(name));
            let to = match inside {
                Some(path) => root.join(path),
                None => {
                    let file = target.path().file_name().map_or_else(|| name.into(), ToOwned::to_owned);
                    let to = self.folder.join("bound").join(name).join(file);
                    self.binds.insert(name.clone(), to.clone());
                    to
                }
            };
            if let Some(parent) = to.parent() {
                private_dir(parent)?;
            }
            let named = cx.for_step(StepInfo { id: format!("copying {name}"), ..cx.info().clone() });
            target.copy_to(&named, &to).await.map_err(|e| if cx.stop_requested() { stopped() } else { e.into() })?;
            if inside.is_none() && target.files().is_empty() {
                outside.push((target.path().to_owned(), to));
            }
            fault::point(fault::REHEARSAL_TARGET);
        }
        let copies = std::iter::once((session.root.clone(), root)).chain(outside).collect();
        let copying = Copying { copies, left_out: self.left_out(session), cx: cx.clone() };
        cx.blocking(move || Ok(copying.all())).await??;
        let state = self.folder.join("state");
        private_dir(&state)?;
        if let Some(journal) = Journal::open_read(&session.state_dir).map_err(journal_error)? {
            journal.copy_to(&state).map_err(journal_error)?;
        }
        Ok(self.bytes())
    }

    /// What of the root is not copied as it lies there: what targets copy themselves, the state folder, this folder.
    pub(super) fn left_out(&self, session: &Session) -> BTreeSet<PathBuf> {
        let mut left_out: BTreeSet<PathBuf> = session.targets.values().flat_map(|t| t.files()).collect();
        let real = |path: &Path| real_path(path).unwrap_or_else(|_| path.to_owned());
        left_out.extend([real(&session.state_dir), real(&self.folder)]);
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

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed now goes with the next rehearsal, or with `prune`.
            let _ = empty(&self.folder).and_then(|()| remove(&self.folder));
        }
    }
}

/// Tells a scratch folder of ours from anything else.
const MARK: &str = ".cutover-scratch";

/// Whether a rehearsal is using the scratch folder.
pub(crate) fn in_use(folder: &Path) -> bool {
    let locked = |mark: fs::File| matches!(mark.try_lock_shared(), Err(fs::TryLockError::WouldBlock));
    fs::File::open(folder.join(MARK)).is_ok_and(locked)
}

/// Removes all but the mark, which says whose the folder is until nothing else is in it.
fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| failed(folder, &e))? {
        let entry = entry.map_err(|e| failed(folder, &e))?;
        let path = entry.path();
        if entry.file_name() == MARK {
            continue;
        }
        disk::remove_all(&path).map_err(|e| failed(&path, &e))?;
        fault::point(fault::REHEARSAL_REMOVING);
    }
    Ok(())
}

/// Removes the folder with its mark.
fn remove(folder: &Path) -> Result<()> {
    let mark = folder.join(MARK);
    disk::remove_file(&mark).map_err(|e| failed(&mark, &e))?;
    disk::remove_dir(folder).map_err(|e| failed(folder, &e))
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

pub(super) fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(".cutover-lock"))
}

/// The copying of a root, and of what lies outside of it.
struct Copying {
    /// Each folder, and where its copy goes.
    copies: Vec<(PathBuf, PathBuf)>,
    left_out: BTreeSet<PathBuf>,
    cx: StepContext,
}

impl Copying {
    fn all(&self) -> Result<()> {
        for (from, to) in &self.copies {
            private_dir(to)?;
            self.tree(from, to)?;
        }
        Ok(())
    }

    /// Copies files, folders and links that are not there yet. Sockets, pipes and devices are left out.
    fn tree(&self, from: &Path, to: &Path) -> Result<()> {
        let mut entries: Vec<_> = fs::read_dir(from)
            .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
            .map_err(|e| failed(from, &e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if self.left_out.contains(&path) || is_lock(&path) {
                continue;
            }
            if self.cx.stop_requested() {
                return Err(stopped());
            }
            let copy = to.join(entry.file_name());
            let kind = entry.file_type().map_err(|e| failed(&path, &e))?;
            if kind.is_dir() {
                private_dir(&copy)?;
                self.tree(&path, &copy)?;
                let mode = entry.metadata().map_err(|e| failed(&path, &e))?.permissions();
                fs::set_permissions(&copy, mode).map_err(|e| failed(&copy, &e))?;
            } else if copy.symlink_metadata().is_ok() {
                // A target's own copy is consistent; this one would not be.
            } else if kind.is_symlink() {
                let end = fs::read_link(&path).map_err(|e| failed(&path, &e))?;
                symlink(self.end_of_link(end), &copy).map_err(|e| failed(&copy, &e))?;
            } else if kind.is_file() {
                copy_file(&path, &copy).map_err(|e| failed(&path, &e))?;
            }
        }
        Ok(())
    }

    /// Where a copied link leads: what led into a copied folder by its whole path leads into the copy, or a program of
    /// the rehearsal would write to the real system through it.
    fn end_of_link(&self, end: PathBuf) -> PathBuf {
        let copied = self.copies.iter().find_map(|(from, to)| Some(to.join(end.strip_prefix(from).ok()?)));
        copied.unwrap_or(end)
    }
}

/// A copy that shares its blocks where the file system can, else a plain one.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let source = fs::File::open(from)?;
    let target = fs::OpenOptions::new().write(true).create_new(true).open(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        std::io::copy(&mut &source, &mut &target)?;
    }
    fs::set_permissions(to, source.metadata()?.permissions())
}

fn failed(path: &Path, error: &std::io::Error) -> RunnerError {
    RunnerError::new(Exit::NoTarget, format!("cannot copy for the rehearsal: `{}`: {error}", path.display()))
        .with_help("the real system was only read; `--scratch DIR` names another place for the copy")
}

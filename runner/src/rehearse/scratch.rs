//! The scratch root of a rehearsal: consistent copies of the targets, and a copy of everything else in the root.
//!
//! The real root is only read. What the state folder holds is not copied, but for the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cutover_core::StepContext;
use cutover_core::disk::private_dir;

use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::journal::Journal;
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
}

impl Scratch {
    /// Makes the folder. Whatever a killed rehearsal left there goes first.
    pub(super) fn new(folder: PathBuf, keep: bool) -> Result<Self> {
        if folder.join(MARK).exists() {
            remove(&folder)?;
        }
        let occupied = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(RunnerError::usage(format!("the scratch folder `{}` is not empty", folder.display()))
                .with_help("name a folder that is empty or not there yet"));
        }
        private_dir(&folder)?;
        fs::write(folder.join(MARK), b"").map_err(|e| failed(&folder, &e))?;
        Ok(Self { folder, keep, binds: BTreeMap::new() })
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
            target.copy_to(cx, &to).await?;
            if inside.is_none() && target.files().is_empty() {
                outside.push((target.path().to_owned(), to));
            }
        }
        let copied: BTreeSet<PathBuf> = session.targets.values().flat_map(|t| t.files()).collect();
        let state = real_path(&session.state_dir).unwrap_or_else(|_| session.state_dir.clone());
        let own = real_path(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let mut left_out = copied;
        left_out.extend([state, own]);
        let copies = std::iter::once((session.root.clone(), root)).chain(outside).collect();
        let copying = Copying { copies, left_out, cx: cx.clone() };
        cx.blocking(move || Ok(copying.all())).await??;
        let state = self.folder.join("state");
        private_dir(&state)?;
        if let Some(journal) = Journal::open_read(&session.state_dir).map_err(journal_error)? {
            journal.copy_to(&state).map_err(journal_error)?;
        }
        Ok(self.bytes())
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
            let _ = remove(&self.folder);
        }
    }
}

/// Tells a scratch folder of ours from anything else.
const MARK: &str = ".cutover-scratch";

fn remove(folder: &Path) -> Result<()> {
    if folder.join(MARK).exists() { fs::remove_dir_all(folder).map_err(|e| failed(folder, &e)) } else { Ok(()) }
}

fn is_lock(path: &Path) -> bool {
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
                return Err(RunnerError::new(Exit::Interrupted, "stopped while copying; nothing was changed"));
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

//! The blocking side of `file.archive`: finding, moving, moving back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk::{hash_file, inside, io_error, remove_dir, remove_file, remove_partial, sync_parent};
use cutover_core::{StepContext, StepError, blake3_hex, fault};

use super::{Made, Moved};
use crate::dir::DirConfig;
use crate::dir::moving::move_file;
use crate::dir::walk::{Entry, Kind, walk};
use crate::globs::literal_prefix;

/// Where a file of a receipt is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only where it was.
    Home,
    /// Only in the archive.
    Archive,
    /// In both: a move across devices was cut short, or somebody made a new one.
    Both,
    /// Nowhere.
    Gone,
}

/// The blocking side of the step.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) folder: PathBuf,
    pub(super) files: Vec<String>,
    pub(super) into: String,
    /// What the target covers, if there is one.
    pub(super) covered: Option<DirConfig>,
    pub(super) cx: StepContext,
}

impl Job {
    fn home(&self, path: &str) -> Result<PathBuf, StepError> {
        inside(&self.folder, path, false)
    }

    fn archived(&self, path: &str) -> Result<PathBuf, StepError> {
        inside(&self.folder, &format!("{}/{path}", self.into), false)
    }

    /// What is there to be set aside.
    pub(super) fn matching(&self) -> Result<Vec<Entry>, StepError> {
        let config = DirConfig { include: self.files.clone(), exclude: Vec::new() };
        let mut found = walk(&self.cx, &self.folder, &config)?;
        found.retain(|e| !Path::new(&e.path).starts_with(&self.into));
        found.retain(|e| self.covered.as_ref().is_none_or(|config| config.covers(&e.path)));
        Ok(found)
    }

    /// Refuses patterns whose files lie behind a link: what it leads to is not this step's, and would be taken for done.
    fn refuse_links(&self) -> Result<(), StepError> {
        let real = self.folder.canonicalize().map_err(|e| io_error("cannot open", &self.folder, e))?;
        for pattern in &self.files {
            let prefix = literal_prefix(pattern);
            // What a pattern names as a whole may be a link, which is set aside as one.
            let named = usize::from(prefix == *pattern);
            let mut folders: Vec<_> =
                Path::new(&prefix).ancestors().skip(named).filter(|f| !f.as_os_str().is_empty()).collect();
            folders.reverse();
            let Some(link) = folders.into_iter().find(|f| real.join(f).is_symlink()) else { continue };
            let inside = real.join(link).canonicalize().is_ok_and(|to| to.starts_with(&real));
            let what = if inside { "a link" } else { "a link that leads out of the folder" };
            return Err(StepError::conflict(format!(
                "`{}` is {what}: `{pattern}` sets nothing aside through it",
                link.display()
            ))
            .with_help("name the files where they really are; outside of the folder, as a target of their own"));
        }
        Ok(())
    }

    /// What is there to be set aside, hashed; refused where something is in the way.
    pub(super) fn fresh(&self) -> Result<Vec<Moved>, StepError> {
        self.refuse_links()?;
        let mut fresh = Vec::new();
        for entry in self.matching()? {
            if entry.kind == Kind::Special {
                return Err(StepError::conflict(format!(
                    "`{}` is no file but a socket, a pipe or a device",
                    entry.path
                ))
                .with_help("stop the program that made it, or leave it out of `files`"));
            }
            let home = self.home(&entry.path)?;
            let (bytes, blake3) = content(&home)?;
            let there = self.archived(&entry.path)?;
            // The same bytes there: a move across devices that a crash cut short.
            if there.symlink_metadata().is_ok() && content(&there)? != (bytes, blake3.clone()) {
                return Err(StepError::conflict(format!(
                    "`{0}` cannot be set aside: `{1}/{0}` is there already",
                    entry.path, self.into
                ))
                .with_help("choose another `into`, or move that file elsewhere; it is never overwritten"));
            }
            fresh.push(Moved { path: entry.path, blake3, bytes });
        }
        Ok(fresh)
    }

    /// What an interrupted try has set aside.
    pub(super) fn done(&self, intent: Option<&Made>) -> Result<Vec<Moved>, StepError> {
        let mut done = Vec::new();
        for moved in intent.map(|made| made.moved.as_slice()).unwrap_or_default() {
            if self.place(moved)? == Place::Archive && content(&self.archived(&moved.path)?)?.1 == moved.blake3 {
                done.push(moved.clone());
            }
        }
        Ok(done)
    }

    fn place(&self, moved: &Moved) -> Result<Place, StepError> {
        let home = self.home(&moved.path)?.symlink_metadata().is_ok();
        let archived = self.archived(&moved.path)?.symlink_metadata().is_ok();
        Ok(match (home, archived) {
            (true, false) => Place::Home,
            (false, true) => Place::Archive,
            (true, true) => Place::Both,
            (false, false) => Place::Gone,
        })
    }

    /// Folders that the move will make, outermost first, relative to the base.
    pub(super) fn missing_folders(&self, moved: &[Moved]) -> Result<Vec<String>, StepError> {
        let real = self.folder.canonicalize().map_err(|e| io_error("cannot open", &self.folder, e))?;
        let mut folders = Vec::new();
        for one in moved {
            let to = self.archived(&one.path)?;
            let missing = to.ancestors().skip(1).take_while(|f| !f.exists());
            folders.extend(missing.map(|f| f.strip_prefix(&real).unwrap_or(f).display().to_string()));
        }
        folders.sort();
        folders.dedup();
        Ok(folders)
    }

    /// Moves what is still at home. Returns how many are done when a stop was requested on the way.
    pub(super) fn move_all(&self, cx: &StepContext, moved: &[Moved]) -> Result<Option<usize>, StepError> {
        for (i, one) in moved.iter().enumerate() {
            cx.progress(i as u64, Some(moved.len() as u64), "files");
            if cx.stop_requested() {
                return Ok(Some(i));
            }
            let (home, there) = (self.home(&one.path)?, self.archived(&one.path)?);
            match self.place(one)? {
                Place::Home => move_file(&home, &there)?,
                Place::Both if content(&there)?.1 == one.blake3 && content(&home)?.1 == one.blake3 => remove(&home)?,
                Place::Archive => {}
                Place::Both | Place::Gone => {
                    return Err(StepError::failed(format!("`{}` was changed by somebody else just now", one.path))
                        .with_help("stop the program that writes it, then run again"));
                }
            }
            fault::point(fault::ARCHIVE_MOVED);
        }
        Ok(None)
    }

    /// What of it is not in the archive as it was put there.
    pub(super) fn not_archived(&self, made: &Made) -> Result<Vec<String>, StepError> {
        let mut lines = Vec::new();
        for one in &made.moved {
            let there = self.archived(&one.path)?;
            match there.symlink_metadata() {
                Err(_) => lines.push(format!("`{}/{}` is missing", self.into, one.path)),
                Ok(_) if content(&there)?.1 != one.blake3 => {
                    lines.push(format!("`{}/{}` was changed", self.into, one.path));
                }
                Ok(_) => {}
            }
        }
        Ok(lines)
    }

    /// Moves everything back, or nothing when something is in the way.
    pub(super) fn move_back(&self, made: &Made) -> Result<(), StepError> {
        let mut work = BTreeMap::new();
        let mut refused = Vec::new();
        for one in &made.moved {
            let (home, there) = (self.home(&one.path)?, self.archived(&one.path)?);
            let place = self.place(one)?;
            let intact = |path: &Path| content(path).is_ok_and(|(_, hash)| hash == one.blake3);
            match place {
                // A crash may have left the beginning of a copy there.
                Place::Home => remove_partial(&there)?,
                Place::Archive if intact(&there) => drop(work.insert(&one.path, place)),
                Place::Both if intact(&home) && intact(&there) => drop(work.insert(&one.path, place)),
                Place::Archive => refused.push(format!("`{}/{}` was changed in the archive", self.into, one.path)),
                Place::Both => refused.push(format!("somebody made a new `{}`", one.path)),
                Place::Gone => refused.push(format!("`{}/{}` is gone", self.into, one.path)),
            }
        }
        if !refused.is_empty() {
            return Err(StepError::failed(format!("files cannot be moved back: {}", refused.join("; ")))
                .with_help("nothing was moved; move what is in the way elsewhere, then roll back again"));
        }
        for (path, place) in work.into_iter().rev() {
            let (home, there) = (self.home(path)?, self.archived(path)?);
            if place == Place::Both {
                remove(&there)?;
            } else {
                move_file(&there, &home)?;
            }
            fault::point(fault::ARCHIVE_RETURNED);
        }
        fault::point(fault::ARCHIVE_EMPTIED);
        for folder in made.folders.iter().rev() {
            // Not empty, or gone: not ours to remove any more.
            let _ = remove_dir(&self.home(folder)?);
        }
        Ok(())
    }
}

/// Removes one of two files that were proven to be the same.
fn remove(path: &Path) -> Result<(), StepError> {
    remove_file(path).map_err(|e| io_error("cannot remove", path, e))?;
    sync_parent(path)
}

/// Size and hash of a file, or of where a link leads.
fn content(path: &Path) -> Result<(u64, String), StepError> {
    let found = path.symlink_metadata().map_err(|e| io_error("cannot look at", path, e))?;
    if !found.is_symlink() {
        return hash_file(path);
    }
    let to = fs::read_link(path).map_err(|e| io_error("cannot read the link", path, e))?;
    Ok((0, blake3_hex(to.as_os_str().as_encoded_bytes())))
}

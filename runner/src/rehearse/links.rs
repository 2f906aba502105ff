//! Where the symbolic links of a copy lead: never to the real system.
//!
//! A link is followed part by part from its own place in the real root, by whatever names it goes. What ends in a copied
//! folder leads into the copy. What ends elsewhere leads to a copy of that file, or nowhere: a program of the rehearsal
//! could write there, or come back to the real root from there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::Result;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::copying::copy_file;

/// Devices that keep nothing that is written to them.
const HARMLESS: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The links of a copy.
#[derive(Debug)]
pub(super) struct Links {
    /// Real paths that are copied, and where the copies go; the innermost first.
    copies: Vec<(PathBuf, PathBuf)>,
    /// Where copies of files go that lie outside of all that.
    outside: PathBuf,
    /// Those that were made, by real path.
    made: BTreeMap<PathBuf, PathBuf>,
    /// Links that lead out of all that is copied, and what became of them.
    out: BTreeMap<PathBuf, String>,
}

/// Where a link ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// In what is copied; none where the link may stay as it is, else its end in the copy.
    Inside(Option<PathBuf>),
    /// At a harmless device.
    Harmless(PathBuf),
    /// At a file outside that can be read.
    File(PathBuf),
    /// At a folder, a device or nothing outside; none where it goes in a circle.
    Elsewhere(Option<PathBuf>),
}

impl Links {
    /// Of a copy of these real paths; what lies outside goes into the folder `outside`.
    pub(super) fn new(mut copies: Vec<(PathBuf, PathBuf)>, outside: PathBuf) -> Self {
        copies.sort_by_key(|(from, _)| std::cmp::Reverse(from.components().count()));
        Self { copies, outside, made: BTreeMap::new(), out: BTreeMap::new() }
    }

    /// Makes the copy of the link at `path`.
    pub(super) fn copy(&mut self, path: &Path, copy: &Path) -> Result<()> {
        let to = match self.end(path, copy)? {
            End::Inside(None) => fs::read_link(path)?,
            End::Inside(Some(to)) | End::Harmless(to) => to,
            End::File(end) => {
                self.out.insert(path.to_owned(), format!("to a copy of `{}`", end.display()));
                self.file(&end)?
            }
            End::Elsewhere(end) => {
                if let Some(end) = end {
                    let why = format!("nowhere: `{}` is not copied", end.display());
                    self.out.insert(path.to_owned(), why);
                }
                // No folder is there either: nothing can be made through it.
                self.outside.join("nowhere/at/all")
            }
        };
        symlink(to, copy)
    }

    /// Links that lead out of all that is copied, and what became of them.
    pub(super) fn leading_out(self) -> BTreeMap<PathBuf, String> {
        self.out
    }

    /// Bytes of the file that is copied for the link at `path`; `seen` are those that count already.
    pub(super) fn bytes(&self, path: &Path, seen: &mut BTreeSet<PathBuf>) -> u64 {
        match self.end(path, path) {
            Ok(End::File(end)) => {
                let size = end.metadata().map_or(0, |found| found.len());
                if seen.insert(end) { size } else { 0 }
            }
            _ => 0,
        }
    }

    fn end(&self, path: &Path, copy: &Path) -> Result<End> {
        let text = fs::read_link(path)?;
        let folder = path.parent().unwrap_or(Path::new("/")).canonicalize()?;
        // The copied folder in which the link lies, which a link that stays as it is never leaves.
        let home = self.home(&folder);
        let Some(Walked { end, left }) = walk(&folder, &text, home.map(|(from, _)| from.as_path())) else {
            return Ok(End::Elsewhere(None));
        };
        if let Some((from, to)) = self.home(&end) {
            let copied = joined(to, end.strip_prefix(from).unwrap_or(Path::new("")));
            let beside = home.and_then(|(from, to)| Some(joined(to, end.strip_prefix(from).ok()?)));
            // A copy in another place than its folder's is one of a target.
            let stays = !left && !text.is_absolute() && copy.starts_with(home.map_or(Path::new("/"), |(_, to)| to));
            return Ok(End::Inside((!stays || beside.as_ref() != Some(&copied)).then_some(copied)));
        }
        Ok(match fs::metadata(&end) {
            Ok(found) if found.is_file() && fs::File::open(&end).is_ok() => End::File(end),
            Ok(_) if HARMLESS.iter().any(|device| Path::new(device) == end) => End::Harmless(end),
            _ => End::Elsewhere(Some(end)),
        })
    }

    /// The innermost copied path that holds a real path.
    fn home(&self, real: &Path) -> Option<&(PathBuf, PathBuf)> {
        self.copies.iter().find(|(from, _)| real.starts_with(from))
    }

    /// A copy of a file that lies outside.
    fn file(&mut self, end: &Path) -> Result<PathBuf> {
        if let Some(made) = self.made.get(end) {
            return Ok(made.clone());
        }
        let folder = self.outside.join((self.made.len() + 1).to_string());
        fs::create_dir_all(&folder)?;
        let copy = folder.join(end.file_name().unwrap_or_default());
        copy_file(end, &copy)?;
        self.made.insert(end.to_owned(), copy.clone());
        Ok(copy)
    }
}

/// `path` as it is for an empty `rest`: joining that would add a slash.
fn joined(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) }
}

/// Where a walk came to.
struct Walked {
    end: PathBuf,
    /// It was outside of its home on the way.
    left: bool,
}

/// Follows `text` from the real folder `from`, part by part; what is not there yet is taken by its name. None: it goes
/// in a circle.
fn walk(from: &Path, text: &Path, home: Option<&Path>) -> Option<Walked> {
    const LINKS: usize = 40;
    let (mut at, mut links, mut left) = (from.to_owned(), 0, home.is_none());
    let mut rest: Vec<OsString> = parts(text);
    while let Some(part) = rest.pop() {
        match part.to_str() {
            Some("/") => at = PathBuf::from("/"),
            Some("..") => drop(at.pop()),
            _ => {
                let next = at.join(&part);
                match fs::read_link(&next) {
                    Ok(to) => {
                        links += 1;
                        if links > LINKS {
                            return None;
                        }
                        rest.extend(parts(&to));
                    }
                    Err(_) => at = next,
                }
            }
        }
        left |= home.is_some_and(|home| !at.starts_with(home));
    }
    Some(Walked { end: at, left })
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().filter(|c| !matches!(c, Component::CurDir));
    named.map(|c| c.as_os_str().to_owned()).rev().collect()
}

//! Files written so that a crash leaves the old one or the new one, and paths that stay inside a folder.
//!
//! Owns the few file operations that every step without a transactional store needs. Knows nothing of steps, targets
//! or formats. What changes a file goes through its folder as `place` opens it: a path as [`inside`] gave it, in which
//! somebody has put a symbolic link since, is refused. Blocking: call it inside [`StepContext::blocking`](crate::StepContext::blocking).

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::plan::is_inside;
use crate::{StepError, StepErrorKind, fault};

mod place;

use place::Place;

/// Mode of the files that are ours: the owner alone reads and writes them.
pub const PRIVATE_FILE: u32 = 0o600;

/// End of the name of a file that is being written; whoever finds one may overwrite it.
pub const PARTIAL_SUFFIX: &str = ".cutover-partial";

/// An error of `doing` ("cannot read") to `path`, with its cause.
pub fn io_error(doing: &str, path: &Path, cause: io::Error) -> StepError {
    let error = match cause.kind() {
        io::ErrorKind::NotFound => StepError::unavailable(format!("{doing} `{}`: it is not there", path.display())),
        io::ErrorKind::PermissionDenied => StepError::unavailable(format!("{doing} `{}`", path.display()))
            .with_help("check the owner and the mode of the file and of its folder"),
        _ if cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            StepError::failed(format!("{doing} `{}`: a symbolic link is in the way", path.display()))
                .with_help("nothing was written through it; put the folder or file itself there, then run again")
        }
        _ if is_of_storage(&cause) => StepError::new(StepErrorKind::Storage, format!("{doing} `{}`", path.display()))
            .with_help("make room on that file system, or mend it, then run the same command again"),
        _ => StepError::failed(format!("{doing} `{}`", path.display())),
    };
    error.caused_by(cause)
}

/// Whether it is the storage's doing: no room, a limit, a device that does not read or write.
pub fn is_of_storage(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(EIO)
}

/// Replaces `path` by `bytes` in one move: temporary file, fsync, rename, fsync of the folder.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StepError> {
    let failed = |cause| io_error("cannot write", path, cause);
    let (place, partial) = (Place::of(path).map_err(failed)?, Place::of(&partial_name(path)?).map_err(failed)?);
    let written = write_partial(&partial, bytes, mode).and_then(|()| {
        fault::point(fault::DISK_PARTIAL);
        partial.rename(&place)
    });
    if let Err(cause) = written {
        // The old file is whole; a leftover of ours is only litter.
        let _ = partial.remove();
        return Err(failed(cause));
    }
    sync_parent(path)
}

/// Removes what a crash left of a [`write_atomic`] of `path`, if it did. For a way back: the next write replaces it.
pub fn remove_partial(path: &Path) -> Result<(), StepError> {
    let partial = partial_name(path)?;
    match Place::of(&partial).and_then(|place| place.remove()) {
        Err(e) if ![io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&e.kind()) => {
            Err(io_error("cannot remove", &partial, e))
        }
        _ => Ok(()),
    }
}

/// Where [`write_atomic`] prepares `path`: never a file of the user's, and no content of a target.
pub fn partial_name(path: &Path) -> Result<PathBuf, StepError> {
    let name = path
        .file_name()
        .ok_or_else(|| StepError::internal(format!("`{}` is no file name", path.display())))?
        .to_string_lossy();
    Ok(path.with_file_name(format!(".{name}{PARTIAL_SUFFIX}")))
}

/// Moves a file or a link to another name, over what may be there. Not durable yet: see [`sync_parent`].
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    Place::of(from)?.rename(&Place::of(to)?)
}

/// Removes a file or a link. Not durable yet: see [`sync_parent`].
pub fn remove_file(path: &Path) -> io::Result<()> {
    Place::of(path)?.remove()
}

/// Removes an empty folder.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    Place::of(path)?.remove_dir()
}

/// Makes the symbolic link `path`, which leads to `end`.
pub fn make_link(end: &Path, path: &Path) -> io::Result<()> {
    Place::of(path)?.link_to(end)
}

/// Opens a private file for writing, made new or emptied. A symbolic link there is refused.
pub fn create(path: &Path) -> io::Result<File> {
    Place::of(path)?.create(PRIVATE_FILE, false)
}

/// Opens a private file for writing that must not be there yet.
pub fn create_new(path: &Path) -> io::Result<File> {
    Place::of(path)?.create(PRIVATE_FILE, true)
}

/// Opens a private file for reading and writing as it is, made when it is not there. A symbolic link is refused.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    Place::of(path)?.open_or_create(PRIVATE_FILE)
}

/// Removes a folder with all that is in it, or a file. Links are removed, never followed.
pub fn remove_all(path: &Path) -> io::Result<()> {
    Place::of(path)?.remove_all()
}

/// The same where folders of it are closed to their owner too: for what nobody but us made.
pub fn remove_closed(path: &Path) -> io::Result<()> {
    let place = Place::of(path)?;
    match place.remove_all() {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            place.open_all()?;
            place.remove_all()
        }
        other => other,
    }
}

fn write_partial(partial: &Place, bytes: &[u8], mode: u32) -> io::Result<()> {
    match partial.remove() {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = partial.create(mode, true)?;
    file.write_all(bytes)?;
    // The umask may have taken bits away that the file had before.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Makes a new private file, written and fsynced. Present already with the same bytes: nothing to do.
pub fn write_once(path: &Path, bytes: &[u8]) -> Result<(), StepError> {
    match fs::read(path) {
        Ok(present) if present == bytes => Ok(()),
        _ => write_atomic(path, bytes, PRIVATE_FILE),
    }
}

/// Makes `folder` and what is missing above it, each 0700, and makes the names durable.
///
/// Returns the folders that were made, outermost first.
pub fn private_dir(folder: &Path) -> Result<Vec<PathBuf>, StepError> {
    make_missing(folder, 0o700)
}

/// Makes `folder` and what is missing above it, each with the mode that the umask leaves: a folder of the user's.
pub fn make_dir(folder: &Path) -> Result<Vec<PathBuf>, StepError> {
    make_missing(folder, 0o777)
}

fn make_missing(folder: &Path, mode: u32) -> Result<Vec<PathBuf>, StepError> {
    let mut missing = Vec::new();
    let mut at = folder;
    while !at.is_dir() {
        missing.push(at.to_owned());
        match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => at = parent,
            _ => break,
        }
    }
    missing.reverse();
    for dir in &missing {
        match Place::of(dir).and_then(|place| place.make_dir(mode)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(io_error("cannot make", dir, e)),
            _ => sync_parent(dir)?,
        }
    }
    Ok(missing)
}

/// Makes the names in the folder of `path` durable.
pub fn sync_parent(path: &Path) -> Result<(), StepError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes the names in `folder` durable.
pub fn sync_dir(folder: &Path) -> Result<(), StepError> {
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(|e| io_error("cannot make durable", folder, e))
}

/// Size and BLAKE3 (hex) of a file, read in pieces.
pub fn hash_file(path: &Path) -> Result<(u64, String), StepError> {
    let mut file = File::open(path).map_err(|e| io_error("cannot read", path, e))?;
    copy_hashed(&mut file, &mut io::sink()).map_err(|e| io_error("cannot read", path, e))
}

/// Copies a file to a new private one, fsynced, hashing what is copied. The destination must not be there. Blocks are
/// shared where the file system can.
pub fn copy_file(from: &Path, to: &Path) -> Result<(u64, String), StepError> {
    let mut source = File::open(from).map_err(|e| io_error("cannot read", from, e))?;
    let copied = Place::of(to).and_then(|place| place.create_to_read(PRIVATE_FILE)).and_then(|mut file| {
        let result = match rustix::fs::ioctl_ficlone(&file, &source) {
            Ok(()) => copy_hashed(&mut file, &mut io::sink())?,
            Err(_) => copy_hashed(&mut source, &mut file)?,
        };
        file.sync_all()?;
        Ok(result)
    });
    copied.map_err(|e| io_error("cannot write", to, e))
}

fn copy_hashed(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hasher.finalize().to_hex().to_string())),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hasher.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        bytes += n as u64;
    }
}

/// `path` inside `folder`, refused when it is absolute, has `..`, or leads out through a symbolic link.
///
/// What exists of it is resolved; the last name too when `follow` is set (else a link there stays a link).
pub fn inside(folder: &Path, path: &str, follow: bool) -> Result<PathBuf, StepError> {
    let out = || {
        StepError::failed(format!("`{path}` leaves the folder `{}`", folder.display()))
            .with_help("name a path inside it: relative, without `..`, and not through a link that leads out")
    };
    let relative = Path::new(path);
    if !is_inside(relative) {
        return Err(out());
    }
    let folder = folder.canonicalize().map_err(|e| io_error("cannot open", folder, e))?;
    let wanted: PathBuf = folder.join(relative).components().collect();
    let resolve = match (follow, wanted.parent()) {
        (false, Some(parent)) if wanted != folder => parent.to_owned(),
        _ => wanted.clone(),
    };
    let mut existing = resolve.as_path();
    let mut rest = Vec::new();
    let real = loop {
        match existing.canonicalize() {
            Ok(real) => break real,
            // A dangling link would be followed by whoever creates the file.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !existing.is_symlink() => {
                let (Some(name), Some(parent)) = (existing.file_name(), existing.parent()) else { return Err(out()) };
                rest.push(name.to_owned());
                existing = parent;
            }
            Err(e) => return Err(io_error("cannot open", existing, e)),
        }
    };
    if !real.starts_with(&folder) {
        return Err(out());
    }
    let mut full = real;
    full.extend(rest.iter().rev());
    if resolve != wanted
        && let Some(name) = wanted.file_name()
    {
        full.push(name);
    }
    Ok(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_out_is_refused_and_one_that_stays_is_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/f"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("out")).unwrap();
        std::os::unix::fs::symlink("a/f", root.join("in")).unwrap();
        for bad in ["../x", "/etc/passwd", "a/../../x", "out/new", "", "out"] {
            assert!(inside(&root, bad, true).is_err(), "{bad} was accepted");
        }
        let real = root.canonicalize().unwrap();
        assert_eq!(inside(&root, "in", true).unwrap(), real.join("a/f"));
        assert_eq!(inside(&root, "in", false).unwrap(), real.join("in"));
        assert_eq!(inside(&root, "a/new/deep", true).unwrap(), real.join("a/new/deep"));
        assert_eq!(inside(&root, ".", true).unwrap(), real);
    }

    #[test]
    fn a_folder_is_removed_with_all_that_is_in_it_but_not_what_a_link_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("gone/deep/deeper")).unwrap();
        fs::create_dir(root.join("kept")).unwrap();
        fs::write(root.join("kept/f"), "kept").unwrap();
        fs::write(root.join("gone/deep/f"), "gone").unwrap();
        std::os::unix::fs::symlink("../../kept", root.join("gone/deep/link")).unwrap();
        std::os::unix::fs::symlink("kept", root.join("link")).unwrap();
        assert_eq!(remove_all(&root.join("link/f")).unwrap_err().raw_os_error(), Some(40));
        remove_all(&root.join("gone")).unwrap();
        remove_all(&root.join("link")).unwrap();
        assert_eq!(remove_all(&root.join("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read(root.join("kept/f")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    }

    #[test]
    fn an_atomic_write_keeps_the_given_mode_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(dir.path().join(format!(".f{PARTIAL_SUFFIX}")), "left by a crash").unwrap();
        write_atomic(&path, b"new", 0o664).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o664);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

//! A name in an open folder: what is done to it happens in that folder, whatever becomes of the path meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, mkdirat, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

/// Bytes of a path that the kernel takes, with the NUL at its end (PATH_MAX).
const LONGEST: usize = 4096;

/// Where a file is, or will be.
#[derive(Debug)]
pub(super) struct Place {
    folder: OwnedFd,
    name: OsString,
}

impl Place {
    /// The place of `path`, whose folder is entered part by part: a symbolic link on the way is an error.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        // Part by part it could be made, and nobody could name it whole.
        if path.as_os_str().len() >= LONGEST {
            return Err(Errno::NAMETOOLONG.into());
        }
        let mut folder = openat(CWD, if path.is_absolute() { "/" } else { "." }, entering(), Mode::empty())?;
        for part in path.parent().into_iter().flat_map(Path::components) {
            if let Component::Normal(_) | Component::ParentDir = part {
                folder = openat(&folder, part.as_os_str(), entering(), Mode::empty())
                    .map_err(|e| link_or(e, &folder, part))?;
            }
        }
        Ok(Self { folder, name })
    }

    /// Opens the file for writing. With `new` it must not be there; else it is emptied.
    pub(super) fn create(&self, mode: u32, new: bool) -> io::Result<File> {
        self.open(OFlags::WRONLY | if new { OFlags::EXCL } else { OFlags::TRUNC }, mode)
    }

    /// Makes the file and opens it for reading and writing.
    pub(super) fn create_to_read(&self, mode: u32) -> io::Result<File> {
        self.open(OFlags::RDWR | OFlags::EXCL, mode)
    }

    /// Opens the file for reading and writing as it is, made when it is not there. Waits for no pipe.
    pub(super) fn open_or_create(&self, mode: u32) -> io::Result<File> {
        self.open(OFlags::RDWR | OFlags::NONBLOCK, mode)
    }

    fn open(&self, how: OFlags, mode: u32) -> io::Result<File> {
        let flags = how | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.folder, &self.name, flags, Mode::from_raw_mode(mode))?))
    }

    pub(super) fn rename(&self, to: &Self) -> io::Result<()> {
        Ok(renameat(&self.folder, &self.name, &to.folder, &to.name)?)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        Ok(unlinkat(&self.folder, &self.name, AtFlags::empty())?)
    }

    pub(super) fn remove_dir(&self) -> io::Result<()> {
        Ok(unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR)?)
    }

    /// Removes it with all that is in it. Links are removed, never followed.
    pub(super) fn remove_all(&self) -> io::Result<()> {
        Ok(remove_all(&self.folder, &self.name)?)
    }

    /// Gives its owner all rights on it and on every folder in it. No link is followed.
    pub(super) fn open_all(&self) -> io::Result<()> {
        open_all(&self.folder, &self.name)
    }

    pub(super) fn make_dir(&self, mode: u32) -> io::Result<()> {
        Ok(mkdirat(&self.folder, &self.name, Mode::from_raw_mode(mode))?)
    }

    pub(super) fn link_to(&self, end: &Path) -> io::Result<()> {
        Ok(symlinkat(end, &self.folder, &self.name)?)
    }
}

fn remove_all(above: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(above, name, AtFlags::empty()) {
        // A folder, in the words of one system or another.
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return other,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(above, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&folder)?.collect::<Result<Vec<_>, _>>()? {
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            inside => remove_all(&folder, OsStr::from_bytes(inside))?,
        }
    }
    unlinkat(above, name, AtFlags::REMOVEDIR)
}

fn open_all(above: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let folder = match openat(above, name, entering(), Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        other => other?,
    };
    // By this name it is the folder that was opened, whatever lies in its place by now.
    let opened = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let mode = fs::metadata(&opened)?.permissions().mode();
    fs::set_permissions(&opened, fs::Permissions::from_mode(mode | 0o700))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(&folder, ".", flags, Mode::empty())?;
    for entry in Dir::read_from(&folder)?.collect::<Result<Vec<_>, _>>()? {
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            inside => open_all(&folder, OsStr::from_bytes(inside))?,
        }
    }
    Ok(())
}

/// To go through a folder asks for no permission to list it.
fn entering() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// "Not a directory" is what the kernel says of a link here too; a person wants to know.
fn link_or(error: Errno, folder: &OwnedFd, part: Component<'_>) -> io::Error {
    let is_link = || rustix::fs::readlinkat(folder, part.as_os_str(), Vec::new()).is_ok();
    if error == Errno::NOTDIR && is_link() { Errno::LOOP.into() } else { error.into() }
}

//! Small file systems, where this user may mount them: in memory, and XFS in a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::system::System;

/// A file system of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
    /// The file that it lies in.
    _image: Option<tempfile::NamedTempFile>,
}

impl Disk {
    /// In memory, of that size. None, and a line that says so, where this user may not mount; in CI that is a failure.
    pub(crate) fn in_memory(size: &str) -> Option<Self> {
        Self::mounted(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], None)
    }

    /// XFS, in a file with holes; files may share blocks in it if `reflink`. None as above.
    pub(crate) fn xfs(reflink: bool) -> Option<Self> {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(640 << 20).unwrap();
        let file = image.path().display().to_string();
        let features = format!("reflink={}", u8::from(reflink));
        let made = Command::new("mkfs.xfs").args(["-q", "-f", "-m", &features, &file]).output();
        if !made.is_ok_and(|ran| ran.status.success()) {
            return left_out("`mkfs.xfs` makes no file system here: install xfsprogs");
        }
        // What a file that grows gets beforehand would count as in use.
        Self::mounted(&["-t", "xfs", "-o", "loop,allocsize=64k", &file], Some(image))
    }

    fn mounted(options: &[&str], image: Option<tempfile::NamedTempFile>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let ran = Command::new("mount").args(options).arg(folder.path()).output();
        if !ran.is_ok_and(|ran| ran.status.success()) {
            return left_out("a file system cannot be mounted here; run as root");
        }
        Some(Self { folder, _image: image })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A system that lies on it.
    pub(crate) fn system(&self, sql: &str, plan: &str) -> System {
        System::in_folder(tempfile::tempdir_in(self.path()).unwrap(), sql, plan)
    }

    /// Bytes in use, once all that was written is written.
    pub(crate) fn used(&self) -> u64 {
        assert!(Command::new("sync").arg("-f").arg(self.path()).status().unwrap().success());
        self.df("used")
    }

    /// Leaves no more than so many bytes free.
    pub(crate) fn fill(&self, free: u64) {
        let much = self.df("avail").saturating_sub(free);
        let mut fill = Command::new("fallocate");
        assert!(fill.args(["-l", &much.to_string()]).arg(self.filler()).status().unwrap().success());
    }

    /// What fills it.
    pub(crate) fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    fn df(&self, column: &str) -> u64 {
        let said = Command::new("df").args([&format!("--output={column}"), "-B1"]).arg(self.path()).output().unwrap();
        String::from_utf8_lossy(&said.stdout).lines().nth(1).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[expect(clippy::print_stdout, reason = "a test that was not run has to say so")]
fn left_out(why: &str) -> Option<Disk> {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("not run: {why}");
    None
}

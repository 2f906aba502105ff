//! What lies in a folder, byte by byte.
//!
//! Owns [`Tree`], with which a test says "nothing was written" and gets a readable difference when something was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file, folder and link under a path, by relative path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Node>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder,
    Link(PathBuf),
    File { bytes: Vec<u8>, mode: u32 },
}

impl Tree {
    /// What lies under `path` now. SQLite's `-shm` files and empty `-wal` files are left out: reading makes them.
    pub fn of(path: &Path) -> Self {
        let mut nodes = BTreeMap::new();
        if path.is_dir() {
            collect(path, path, &mut nodes);
        }
        Self(nodes)
    }

    /// The paths in it.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Only the paths that `keep` accepts.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(path, _)| keep(path)).map(|(p, n)| (p.clone(), n.clone())).collect())
    }

    /// What `later` has that this has not, one line per path; empty when they are equal.
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for path in self.0.keys().chain(later.0.keys().filter(|p| !self.0.contains_key(*p))) {
            match (self.0.get(path), later.0.get(path)) {
                (Some(_), None) => lines.push(format!("- {path}")),
                (None, Some(_)) => lines.push(format!("+ {path}")),
                (Some(a), Some(b)) if a != b => lines.push(format!("~ {path}: {}", change(a, b))),
                _ => {}
            }
        }
        lines
    }

    /// Panics with the difference unless `later` is the same.
    #[track_caller]
    pub fn assert_same(&self, later: &Self, when: &str) {
        let lines = self.differences(later);
        assert!(lines.is_empty(), "{when}, files changed:\n  {}", lines.join("\n  "));
    }
}

fn change(a: &Node, b: &Node) -> String {
    let (Node::File { bytes: a, mode: x }, Node::File { bytes: b, mode: y }) = (a, b) else {
        return "another sort of thing, or another link".to_owned();
    };
    if a == b {
        return format!("mode {x:o} became {y:o}");
    }
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or_else(|| a.len().min(b.len()));
    match (std::str::from_utf8(a), std::str::from_utf8(b)) {
        (Ok(a), Ok(b)) if a.len().max(b.len()) <= 120 => format!("{a:?} became {b:?}"),
        _ => format!("{} bytes became {} bytes, the first difference at byte {at}", a.len(), b.len()),
    }
}

fn collect(root: &Path, folder: &Path, nodes: &mut BTreeMap<String, Node>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()));
    for entry in entries.map(|e| e.unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()))) {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let meta = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("cannot look at {name}: {e}"));
        if meta.is_dir() {
            collect(root, &path, nodes);
            nodes.insert(name, Node::Folder);
        } else if meta.is_symlink() {
            nodes.insert(name, Node::Link(fs::read_link(&path).unwrap_or_default()));
        } else if !(name.ends_with("-shm") || (name.ends_with("-wal") && meta.len() == 0)) {
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("cannot read {name}: {e}"));
            nodes.insert(name, Node::File { bytes, mode: mode(&meta) });
        }
    }
}

#[cfg(unix)]
fn mode(meta: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777
}

#[cfg(not(unix))]
fn mode(meta: &fs::Metadata) -> u32 {
    u32::from(meta.permissions().readonly())
}

/// Copies everything under `from` into `to`, which is made if it is not there. Links are copied as links.
pub fn copy_folder(from: &Path, to: &Path) {
    let failed = |e: std::io::Error| panic!("cannot copy {} to {}: {e}", from.display(), to.display());
    fs::create_dir_all(to).unwrap_or_else(failed);
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("cannot list {}: {e}", from.display())) {
        let entry = entry.unwrap_or_else(|e| panic!("cannot list {}: {e}", from.display()));
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap_or_else(|e| panic!("cannot look at {}: {e}", source.display()));
        if kind.is_dir() {
            copy_folder(&source, &target);
        } else if kind.is_symlink() {
            link(&fs::read_link(&source).unwrap_or_default(), &target);
        } else {
            fs::copy(&source, &target).map(|_| ()).unwrap_or_else(failed);
        }
    }
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap_or_else(|e| panic!("cannot link {}: {e}", at.display()));
}

#[cfg(not(unix))]
fn link(to: &Path, at: &Path) {
    panic!("links are copied on Unix only: {} to {}", at.display(), to.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_of_change_is_seen_and_what_reading_makes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        for name in ["same", "text", "gone", "mode"] {
            fs::write(at(name), "before").unwrap();
        }
        link(Path::new("same"), &at("link"));
        let copy = tempfile::tempdir().unwrap();
        copy_folder(dir.path(), copy.path());
        let before = Tree::of(dir.path());
        before.assert_same(&Tree::of(copy.path()), "after a copy");

        fs::write(at("text"), "after").unwrap();
        fs::remove_file(at("gone")).unwrap();
        fs::set_permissions(at("mode"), fs::metadata(at("folder")).unwrap().permissions()).unwrap();
        fs::remove_file(at("link")).unwrap();
        link(Path::new("text"), &at("link"));
        fs::write(at("folder/new"), "").unwrap();
        for made_by_reading in ["a.db-shm", "a.db-wal"] {
            fs::write(at(made_by_reading), "").unwrap();
        }
        let lines = before.differences(&Tree::of(dir.path()));
        let starts = ["- gone", "~ link: ", "~ mode: mode ", "~ text: \"before\" became \"after\"", "+ folder/new"];
        assert_eq!(lines.len(), starts.len(), "{lines:?}");
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
    }
}

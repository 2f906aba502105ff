//! The commit that a folder is at, read from files: no program is run, nothing is locked.
//!
//! Knows the layout of a Git folder (gitrepository-layout(5)): `HEAD`, loose and packed references, worktrees.

use std::fs;
use std::path::{Path, PathBuf};

/// What is said where there is no repository, or none that we can read.
pub(crate) const UNKNOWN: &str = "unknown";

/// The commit id of the working copy whose top is `root`, or [`UNKNOWN`].
pub(crate) fn commit_of(root: &Path) -> String {
    git_folder(root).and_then(|git| head(&git)).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// `.git`, or the folder that a file of this name points to (a worktree or a submodule).
fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(git).ok()?;
    Some(root.join(text.strip_prefix("gitdir:")?.trim()))
}

fn head(git: &Path) -> Option<String> {
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref:") else { return commit_id(&head) };
    // A worktree keeps its references in the repository that it belongs to.
    let common = fs::read_to_string(git.join("commondir")).map_or(git.to_owned(), |dir| git.join(dir.trim()));
    let name = name.trim();
    if !cutover_core::plan::is_inside(Path::new(name)) {
        return None;
    }
    [git, common.as_path()]
        .iter()
        .find_map(|dir| commit_id(&fs::read_to_string(dir.join(name)).ok()?))
        .or_else(|| packed(&common, name))
}

fn packed(git: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(git.join("packed-refs")).ok()?;
    let line = text.lines().find(|line| line.split_once(' ').is_some_and(|(_, n)| n == name))?;
    commit_id(line.split_once(' ')?.0)
}

/// SHA-1 or SHA-256 in hex.
fn commit_id(text: &str) -> Option<String> {
    let id = text.trim();
    (matches!(id.len(), 40 | 64) && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_found_loose_packed_detached_and_in_a_worktree() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |path: &str, text: &str| {
            let full = root.join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        };
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        assert_eq!(commit_of(root), UNKNOWN);
        write(".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(commit_of(root), UNKNOWN);
        write(".git/packed-refs", &format!("# pack-refs with: peeled\n{b} refs/heads/main2\n{a} refs/heads/main\n"));
        assert_eq!(commit_of(root), a);
        write(".git/refs/heads/main", &format!("{b}\n"));
        assert_eq!(commit_of(root), b);
        write("tree/.git", "gitdir: ../.git/worktrees/tree\n");
        write(".git/worktrees/tree/HEAD", "ref: refs/heads/main2\n");
        write(".git/worktrees/tree/commondir", "../..\n");
        assert_eq!(commit_of(&root.join("tree")), b);
        write(".git/HEAD", &a);
        assert_eq!(commit_of(root), a);
    }
}

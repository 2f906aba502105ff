//! Where a plan's targets lie: inside the root or where the operator put them, and no two on one file.
//!
//! The compiler compares paths as they are written. Links, hard links and `--bind` are only seen here: a target gets the
//! path of the file itself, once.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cutover_core::plan::{is_inside, resolve_env};
use cutover_core::{ConfigSource, Registry, Target, TargetSpec, Targets};

use super::Place;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;

/// Makes the targets of `specs` (nothing of them is opened yet).
pub(super) fn make_targets(
    specs: &BTreeMap<String, TargetSpec>,
    root: &Path,
    place: &Place,
    registry: &Registry,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Targets> {
    if let Some(unknown) = place.binds.keys().find(|name| !specs.contains_key(*name)) {
        return Err(RunnerError::usage(format!("`--bind {unknown}=…`: the plan has no target `{unknown}`"))
            .with_help(format!("its targets: {}", specs.keys().cloned().collect::<Vec<_>>().join(", "))));
    }
    let mut targets = Targets::new();
    let mut claims = Vec::new();
    for spec in specs.values() {
        let path = match place.binds.get(&spec.name) {
            Some(path) => std::path::absolute(path)
                .and_then(|path| real_path(&path))
                .map_err(|e| RunnerError::io(format!("target `{}`", spec.name), e))?,
            None => inside_root(spec, root)?,
        };
        let (target, claimed) = make_target(spec, path, registry, env)?;
        claims.extend(claimed.into_iter().map(|path| Claim::of(&spec.name, &path)));
        targets.insert(spec.name.clone(), target);
    }
    refuse_overlaps(&claims, place)?;
    Ok(targets)
}

/// A target, and the paths that belong to it.
fn make_target(
    spec: &TargetSpec,
    path: PathBuf,
    registry: &Registry,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Arc<dyn Target>, Vec<PathBuf>)> {
    let descriptor = registry
        .target(&spec.kind)
        .ok_or_else(|| RunnerError::internal(format!("target kind `{}` is not linked in", spec.kind)))?;
    let invalid =
        |e: &dyn std::fmt::Display| RunnerError::new(Exit::InvalidPlan, format!("target `{}`: {e}", spec.name));
    let config = resolve_env(&spec.config, env).map_err(|e| invalid(&e))?;
    let written = parts(&spec.path);
    let claimed = (descriptor.claims)(ConfigSource::Json(&config), spec).map_err(|e| invalid(&e))?;
    let claimed = claimed.iter().map(|claim| match parts(claim).strip_prefix(&written[..]) {
        Some([]) | None => path.clone(),
        Some(rest) => path.join(rest.iter().collect::<PathBuf>()),
    });
    let claimed = claimed.collect();
    let target = (descriptor.build)(ConfigSource::Json(&config), spec, path).map_err(|e| invalid(&e))?;
    Ok((target, claimed))
}

fn parts(path: &str) -> Vec<PathBuf> {
    let named = Path::new(path).components().filter(|c| !matches!(c, Component::CurDir));
    named.map(|c| PathBuf::from(c.as_os_str())).collect()
}

/// The path of a target under the root, without symbolic links: a store keeps its own files (a log, a lock) beside the
/// file itself and not beside a link to it. It must not lead out of the root.
fn inside_root(spec: &TargetSpec, root: &Path) -> Result<PathBuf> {
    let outside = |how: &str| {
        RunnerError::new(Exit::NoTarget, format!("target `{}`: `{}` {how}", spec.name, spec.path))
            .with_help(format!("the operator alone may place a target elsewhere: `--bind {}=PATH`", spec.name))
    };
    let relative = Path::new(&spec.path);
    if !is_inside(relative) {
        return Err(outside("leaves the root"));
    }
    let path: PathBuf = root.join(relative).components().collect();
    match real_path(&path) {
        // Without links from here on: one that is put there later is not followed.
        Ok(real) if real.starts_with(root) => Ok(real),
        Ok(_) => Err(outside("leads out of the root through a symbolic link")),
        Err(e) => Err(outside(&format!("cannot be resolved: {e}"))),
    }
}

/// `path` without symbolic links, also where the end of it is not there yet.
pub(crate) fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match path.canonicalize() {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
        let mut missing = Vec::new();
        let mut at = path.clone();
        let found = loop {
            match fs::symlink_metadata(&at) {
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    missing.extend(at.file_name().map(ToOwned::to_owned));
                    if !at.pop() {
                        return Err(e);
                    }
                }
                found => break found?,
            }
        };
        let rest = missing.iter().rev();
        if !found.is_symlink() {
            let mut real = at.canonicalize()?;
            real.extend(rest);
            return Ok(real);
        }
        // A link to what is not there: where it would be.
        let to = fs::read_link(&at)?;
        path = at.parent().unwrap_or(Path::new("/")).join(to);
        path.extend(rest);
    }
    Err(Error::other("too many symbolic links"))
}

/// The same, or the path as it is given: who opens it says why it cannot be resolved.
pub(crate) fn real_or_given(path: &Path) -> PathBuf {
    real_path(path).unwrap_or_else(|_| path.to_owned())
}

/// A path that belongs to a target.
struct Claim<'s> {
    target: &'s str,
    real: PathBuf,
    /// Device and inode of a file that is there.
    file: Option<(u64, u64)>,
}

impl<'s> Claim<'s> {
    fn of(target: &'s str, path: &Path) -> Self {
        let file = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|m| (m.dev(), m.ino()));
        Self { target, real: real_or_given(path), file }
    }
}

fn refuse_overlaps(claims: &[Claim<'_>], place: &Place) -> Result<()> {
    for (at, first) in claims.iter().enumerate() {
        for second in claims[at + 1..].iter().filter(|second| second.target != first.target) {
            let shown = second.real.display();
            let message = if first.real == second.real || (first.file.is_some() && first.file == second.file) {
                let what = if first.real.is_dir() { "folder" } else { "file" };
                format!("targets `{}` and `{}` are one {what}: `{shown}`", first.target, second.target)
            } else if second.real.starts_with(&first.real) {
                format!("target `{}` lies inside target `{}`: `{shown}`", second.target, first.target)
            } else if first.real.starts_with(&second.real) {
                format!("target `{}` lies inside target `{}`: `{}`", first.target, second.target, first.real.display())
            } else {
                continue;
            };
            let bound = [first, second].iter().any(|c| place.binds.contains_key(c.target));
            return Err(match bound {
                true => RunnerError::usage(message).with_help("give each `--bind` a file of its own"),
                false => RunnerError::new(Exit::NoTarget, message).with_help(
                    "two targets may not share files: replace the link, or make them one target of the plan",
                ),
            });
        }
    }
    Ok(())
}

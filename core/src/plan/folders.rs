//! Pass 3, folders: what a step keeps in a folder of its own is not another step's to set aside.

use std::path::{Component, Path, PathBuf};

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::meaning::StepView;

/// Refuses steps whose own folders are one, or lie in each other.
pub(crate) fn check(steps: &[StepView<'_>], d: &mut Diagnostics) {
    let of = |(at, view): (usize, &StepView<'_>)| {
        let folders = view.built.map(|built| built.step.folders()).unwrap_or_default();
        folders.into_iter().map(move |folder| (parts(&folder), at)).collect::<Vec<_>>()
    };
    let mut all: Vec<(PathBuf, usize)> = steps.iter().enumerate().flat_map(of).collect();
    // In sorted order a folder comes right before all that is inside it.
    all.sort();
    let mut open: Vec<&(PathBuf, usize)> = Vec::new();
    for folder in &all {
        while open.last().is_some_and(|top| !folder.0.starts_with(&top.0)) {
            open.pop();
        }
        if let Some(top) = open.iter().rev().find(|top| top.1 != folder.1) {
            let (first, second) = (&steps[top.1.min(folder.1)], &steps[top.1.max(folder.1)]);
            let message = if top.0 == folder.0 {
                format!("steps `{}` and `{}` both keep what they make in `{}`", first.id, second.id, top.0.display())
            } else {
                let (outer, inner) = (&steps[top.1], &steps[folder.1]);
                format!(
                    "the folder `{}` of step `{}` lies in the folder `{}` of step `{}`",
                    folder.0.display(),
                    inner.id,
                    top.0.display(),
                    outer.id
                )
            };
            let help = "give each a folder of its own: the second would set aside what a rollback of the first needs";
            d.push(Diagnostic::at(codes::SHARED_FOLDER, second.kind_span(), message).help(help));
        }
        open.push(folder);
    }
}

fn parts(folder: &str) -> PathBuf {
    Path::new(folder).components().filter(|c| !matches!(c, Component::CurDir)).collect()
}

//! Backups that are named by the moment when they were begun.
//!
//! Owns which files of a folder have such a name, and which one is next.

use std::path::{Path, PathBuf};

use cutover_core::StepContext;

/// What stands for the moment.
pub(super) const STAMP: &str = "{stamp}";
/// How it is written.
const FORMAT: &str = "%Y%m%d_%H%M%S";

/// A name with a moment in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamped<'a> {
    /// The folder and all of the name before it.
    before: &'a str,
    after: &'a str,
}

impl<'a> Stamped<'a> {
    /// None where no moment is in the file's name, or more than one.
    pub(super) fn of(into: &'a str) -> Option<Self> {
        let (before, after) = into.split_once(STAMP)?;
        (!after.contains(STAMP) && !after.contains('/')).then_some(Self { before, after })
    }

    /// The name of this moment; of a later one where that is taken.
    pub(super) fn next(&self, cx: &StepContext) -> String {
        let mut now = cx.now();
        loop {
            let name = format!("{}{}{}", self.before, now.strftime(FORMAT), self.after);
            if cx.root().join(&name).symlink_metadata().is_err() {
                return name;
            }
            now += std::time::Duration::from_secs(1);
        }
    }

    /// The files that are there with such names, each with its moment as a number, the oldest first; relative to the root.
    pub(super) fn all(&self, cx: &StepContext) -> Vec<(u64, PathBuf)> {
        let begin = Path::new(self.before);
        let (folder, begin) = match self.before.ends_with('/') {
            true => (begin, ""),
            false => {
                (begin.parent().unwrap_or(Path::new("")), begin.file_name().and_then(|n| n.to_str()).unwrap_or(""))
            }
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(cx.root().join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let moment = name.to_str().and_then(|name| name.strip_prefix(begin)?.strip_suffix(self.after));
            found.extend(moment.and_then(number).map(|number| (number, folder.join(&name))));
        }
        found.sort();
        found
    }
}

/// 20251201_030000 as 20251201030000.
fn number(moment: &str) -> Option<u64> {
    let (day, time) = moment.split_once('_')?;
    let digits = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(day, 8) && digits(time, 6)).then(|| format!("{day}{time}").parse().ok())?
}

//! Progress bars on standard error: one for each thing that is long under way.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars that are shown now.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    shown: BTreeMap<String, ProgressBar>,
}

impl Bars {
    /// `what` has come so far. Bytes are shown as such, with their rate.
    pub(crate) fn progress(&mut self, what: &str, done: u64, total: Option<u64>, unit: &str) {
        let bar = self.shown.entry(what.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8));
            let template = match (total, unit) {
                (Some(_), "bytes") => {
                    "    {prefix} [{bar:30}] {binary_bytes}/{binary_total_bytes} ({binary_bytes_per_sec}, {eta} left)"
                }
                (Some(_), _) => "    {prefix} [{bar:30}] {pos}/{len} {msg} ({per_sec}, {eta} left)",
                (None, "bytes") => "    {prefix} {spinner} {binary_bytes} ({binary_bytes_per_sec})",
                (None, _) => "    {prefix} {spinner} {pos} {msg} ({per_sec})",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(what.to_owned());
            bar.set_message(unit.to_owned());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        bar.set_position(done);
    }

    /// `what` is over.
    pub(crate) fn clear(&mut self, what: &str) {
        if let Some(bar) = self.shown.remove(what) {
            bar.finish_and_clear();
        }
    }

    /// All is over.
    pub(crate) fn clear_all(&mut self) {
        std::mem::take(&mut self.shown).into_values().for_each(|bar| bar.finish_and_clear());
    }

    /// Makes place for a line.
    pub(crate) fn suspend(&self) {
        self.shown.values().for_each(|bar| bar.suspend(|| {}));
    }
}

//! Events for people: a line per step under its phase, a progress bar while a step is long.

use std::collections::BTreeMap;
use std::io::Write;

use cutover_core::{Event, EventKind, Outcome, StepFigures, Verdict};

use super::Reporter;
use super::bars::Bars;
use crate::style::{Style, count, duration, plain};

/// Writes what happens for a person.
pub struct Human<W> {
    out: W,
    style: Style,
    bars: Bars,
    kinds: BTreeMap<String, String>,
    width: usize,
    show_progress: bool,
    verbose: bool,
}

impl<W: Write> Human<W> {
    /// A reporter to `out`. Progress bars go to standard error, only when it is a terminal.
    pub fn new(out: W, style: Style, show_progress: bool, verbose: bool) -> Self {
        Self { out, style, bars: Bars::default(), kinds: BTreeMap::new(), width: 24, show_progress, verbose }
    }

    fn line(&mut self, text: &str) {
        self.bars.suspend();
        let _ = writeln!(self.out, "{text}");
    }

    fn step_line(&mut self, mark: &str, step: &str, rest: &str) {
        let kind = self.kinds.get(step).cloned().unwrap_or_default();
        let text = format!("  {mark} {step:width$}  {kind:16}  {rest}", width = self.width);
        self.line(text.trim_end());
    }

    fn done(&mut self, step: &str, figures: &StepFigures) {
        let mut parts = vec![duration(figures.seconds)];
        if figures.already {
            parts.push("was there already".to_owned());
        }
        if let Some(rows) = figures.rows {
            parts.push(count(usize::try_from(rows).unwrap_or(usize::MAX), "row"));
        }
        if let Some(bytes) = figures.bytes {
            parts.push(crate::style::bytes(bytes));
        }
        let mark = self.style.good("✓");
        self.step_line(&mark, step, &parts.join(", "));
        let shown = if self.verbose { usize::MAX } else { 12 };
        for note in figures.notes.iter().take(shown) {
            let note = self.style.dim(&format!("      {}", plain(note)));
            self.line(&note);
        }
        if figures.notes.len() > shown {
            self.line(&format!("      … and {} more lines (-v shows them)", figures.notes.len() - shown));
        }
    }

    fn progress(&mut self, step: &str, done: u64, total: Option<u64>, unit: &str) {
        if !self.show_progress {
            return;
        }
        self.bars.progress(step, done, total, unit);
    }

    fn clear(&mut self, step: &str) {
        self.bars.clear(step);
    }
}

impl<W: Write + Send> Reporter for Human<W> {
    fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { command, plan, steps, resumed, .. } => {
                self.width = steps.iter().map(|(_, id, _)| id.chars().count()).max().unwrap_or(10).clamp(10, 44);
                self.kinds = steps.iter().map(|(_, id, kind)| (id.clone(), kind.clone())).collect();
                let title = self.style.bold(&format!("{command} {plan}"));
                let resumed = if *resumed { " (continuing an interrupted run)" } else { "" };
                self.line(&format!("{title}{resumed}"));
            }
            EventKind::PhaseStarted { phase } => {
                let title = self.style.bold(&format!("phase {phase}"));
                self.line(&title);
            }
            EventKind::StepSkipped { step, why } => {
                let mark = self.style.dim("-");
                self.step_line(&mark, step, &format!("skipped: {why}"));
            }
            // What a gate saw is told by what it says of waiting, and in a report.
            EventKind::StepStarted { .. } | EventKind::StepSampled { .. } | EventKind::StepTriggered { .. } => {}
            EventKind::StepProgress { step, done, total, unit } => self.progress(step, *done, *total, unit),
            EventKind::StepNote { step, text } => {
                let text = self.style.dim(&format!("      {step}: {}", plain(text)));
                self.line(&text);
            }
            EventKind::StepDone { step, figures } => {
                self.clear(step);
                self.done(step, figures);
            }
            EventKind::StepWaiting { step, why } => {
                self.clear(step);
                let mark = self.style.warn("…");
                self.step_line(&mark, step, &format!("waiting: {why}"));
            }
            EventKind::StepStopped { step, at } => {
                self.clear(step);
                let mark = self.style.warn("‖");
                self.step_line(&mark, step, &format!("stopped at {at}"));
            }
            EventKind::StepFailed { step, error, help } => {
                self.clear(step);
                let mark = self.style.bad("✗");
                self.step_line(&mark, step, &format!("failed: {}", plain(error.trim_end()).replace('\n', "\n      ")));
                if let Some(help) = help {
                    self.line(&format!("      help: {}", plain(help)));
                }
            }
            EventKind::UnwindStarted { to, steps } => {
                let title = self.style.bold(&format!("rolling back to {to}"));
                self.line(&format!("{title} ({})", count(steps.len(), "step")));
            }
            EventKind::StepRolledBack { step, seconds } => {
                self.clear(step);
                let mark = self.style.warn("↶");
                self.step_line(&mark, step, &duration(*seconds));
            }
            EventKind::StepStuck { step, error } => {
                self.clear(step);
                let mark = self.style.bad("✗");
                self.step_line(&mark, step, &format!("could not be rolled back: {}", plain(error)));
            }
            EventKind::StepVerified { step, verdict } => match verdict {
                Verdict::Holds => {
                    let mark = self.style.good("✓");
                    self.step_line(&mark, step, "holds");
                }
                Verdict::Superseded(by) => {
                    let mark = self.style.dim("-");
                    self.step_line(&mark, step, &format!("superseded by {by}"));
                }
                Verdict::Broken(lines) => {
                    let mark = self.style.bad("✗");
                    self.step_line(&mark, step, "broken");
                    for text in lines {
                        self.line(&format!("      {}", plain(text)));
                    }
                }
            },
            // `verify` prints it itself, after its count.
            EventKind::TargetsVerified { .. } => {}
            EventKind::NotReached { notifier, on, error } => {
                let text = format!("warning: {notifier} was not told of {}: {}", on.name(), plain(error));
                let text = self.style.warn(&text);
                self.line(&text);
            }
            EventKind::RunFinished { outcome, next } => {
                let text = match outcome {
                    Outcome::Done => self.style.good("done"),
                    Outcome::NothingToDo => "nothing to do".to_owned(),
                    Outcome::FailedRolledBack => self.style.bad("failed, and rolled back as the plan says"),
                    Outcome::FailedPaused => self.style.bad("failed; nothing was undone"),
                    Outcome::FailedBlocked => {
                        self.style.bad("failed, and rolled back only as far as a step that cannot be undone")
                    }
                    Outcome::Unwound => self.style.warn("the interrupted rollback is finished; nothing was applied"),
                    Outcome::Stuck => self.style.bad("stuck: a rollback failed"),
                    Outcome::Waiting => self.style.warn("waiting"),
                    Outcome::Interrupted => self.style.warn("interrupted"),
                };
                self.line(&text);
                if let Some(next) = next {
                    self.line(&format!("next: {next}"));
                }
                let _ = self.out.flush();
            }
        }
    }
}

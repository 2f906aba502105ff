//! `command.run`: a program of the operator's, with its own verification and its own way back.
//!
//! Owns the step kind. Starting and ending processes is `process`'s business; how far a command has come is recorded
//! by `progress`.

mod config;
mod copies;
mod progress;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use cutover_core::disk::{inside, io_error, private_dir};
use cutover_core::process::{self, Program, Ran, not_found};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Effects, MigrationStep, Receipt, Reversal, Standing,
    StepContext, StepError, StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step, shell_word,
};
use serde::{Deserialize, Serialize};

pub use config::CommandConfig;
use copies::Copies;
use progress::{State, read_progress, write_progress};

const VERSION: u32 = 1;

/// Lines of output that an error shows.
const SHOWN: usize = 15;

/// Runs a command.
#[derive(Debug)]
pub struct CommandRun {
    config: CommandConfig,
    timeout: Duration,
}

/// What apply did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Done {
    version: u32,
    /// Which try this is about.
    attempt: String,
    /// The log's name in the step's scratch folder; none in an intent.
    log: Option<String>,
    /// The end of the output, masked; empty in an intent.
    tail: String,
}

impl StepKind for CommandRun {
    const KIND: &'static str = "command.run";
    const SUMMARY: &'static str = "run a command, without a shell, with its own verify and rollback commands";
    const EXAMPLE: &'static str = r#"id = "tests"
use = "command.run"
with = { apply = ["true"], changes = false, timeout = "60s" }
"#;
    const TUNING: &'static [&'static str] = &["timeout"];
    const FAULTS: Faults = Faults {
        apply: &[
            fault::COMMAND_COPIED,
            fault::COMMAND_INTENDED,
            fault::COMMAND_STARTED,
            fault::COMMAND_ENDED,
            fault::COMMAND_COMPARED,
            fault::COMMAND_RECORDED,
        ],
        rollback: &[fault::COMMAND_UNDO, fault::COMMAND_UNDO_ENDED, fault::COMMAND_UNDO_RECORDED],
    };
    type Config = CommandConfig;

    fn build(config: CommandConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let timeout = config.check(cx)?;
        Ok(Self { config, timeout })
    }
}

register_step!(CommandRun);

#[async_trait]
impl MigrationStep for CommandRun {
    fn describe(&self) -> Vec<Change> {
        let shown = |argv: &[String]| argv.iter().map(|a| shell_word(a)).collect::<Vec<_>>().join(" ");
        let mut details = Vec::new();
        if self.config.cwd != "." {
            details.push(format!("in {}", self.config.cwd));
        }
        details.extend(self.config.verify.as_ref().map(|argv| format!("verified by {}", shown(argv))));
        details.extend(self.config.rollback.as_ref().map(|argv| format!("undone by {}", shown(argv))));
        if !self.config.changes {
            details.push("changes nothing".to_owned());
        }
        let change = Change::new(Action::Run, format!("command {}", shown(&self.config.apply)));
        vec![if details.is_empty() { change } else { change.with_detail(details.join("; ")) }]
    }

    fn uses(&self) -> Vec<Use> {
        let written = self.written();
        let read = self.config.reads.iter().filter(|name| !written.contains(name)).map(Use::read);
        let mut uses: Vec<_> = read.chain(written.iter().map(|name| Use::write(*name))).collect();
        uses.sort();
        uses.dedup();
        uses
    }

    fn reversal(&self) -> Reversal {
        match (&self.config.rollback, &self.config.restore, self.config.changes) {
            (Some(_), ..) | (None, None, false) => Reversal::Inverse,
            (None, Some(target), _) => Reversal::Restore(target.clone()),
            (None, None, true) => Reversal::Irreversible,
        }
    }

    fn effects(&self) -> Effects {
        if self.config.changes && !self.config.contained { Effects::External } else { Effects::Contained }
    }

    fn rehearsable(&self) -> bool {
        self.effects() == Effects::Contained || self.config.rehearse.is_some()
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        inside(cx.root(), &self.config.cwd, true)?;
        let commands = [Some(&self.config.apply), self.config.verify.as_ref(), self.config.rollback.as_ref()];
        let missing = commands.into_iter().flatten().filter_map(|argv| not_found(argv.first()?, &self.config.env));
        match missing.into_iter().next() {
            Some(why) => Ok(Standing::Conflict(format!("{why}; install it, or name it by its path"))),
            None => Ok(Standing::Unknown),
        }
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let before = read_progress(cx).await?;
        if let Some(intent) = cx.info().intent.as_ref().filter(|r| !r.body.is_null())
            && let Some(before) =
                before.filter(|p| Some(&p.attempt) == intent.read::<Done>().ok().map(|d| d.attempt).as_ref())
            && (before.state == State::Applied || (before.state == State::Started && self.proves(cx).await?))
        {
            write_progress(cx, before.attempt, State::Applied).await?;
            Copies::remove(cx).await?;
            return Ok(Applied::AlreadyApplied(intent.clone()));
        }
        let attempt = format!("{}@{}", cx.info().run, cx.now());
        let mut done = Done { version: VERSION, attempt: attempt.clone(), log: None, tail: String::new() };
        let copies = Copies::take(cx, &self.written()).await?;
        cx.intend(&Receipt::of(&done)?).await?;
        fault::point(fault::COMMAND_INTENDED);
        write_progress(cx, attempt.clone(), State::Started).await?;
        fault::point(fault::COMMAND_STARTED);
        let log = self.free_log(cx).await?;
        let argv = self.substitute(cx).unwrap_or(&self.config.apply);
        // It may put another file in a target's place: what is open would be the one before.
        for name in self.written() {
            cx.any_target(name)?.close(cx).await?;
        }
        let ran = self.run(cx, argv, Some(log.clone()), true).await?;
        fault::point(fault::COMMAND_ENDED);
        let compared = copies.compare(cx).await;
        if let Some(wrote) = compared.as_ref().ok().filter(|wrote| !wrote.is_empty()) {
            // Durable before anything says how the command ended: its restore will ask for it in any case.
            cx.intend(&Receipt { wrote: wrote.clone(), ..Receipt::of(&done)? }).await?;
        }
        if !ran.succeeded() {
            let shown = log.strip_prefix(cx.root()).unwrap_or(&log).display().to_string();
            return Err(failed(argv, &ran, cx).with_help(format!("its whole output is in `{shown}`")));
        }
        write_progress(cx, attempt, State::Applied).await?;
        fault::point(fault::COMMAND_RECORDED);
        done.log = log.file_name().map(|n| n.to_string_lossy().into_owned());
        done.tail = ran.tail;
        Ok(Applied::Changed(Receipt { wrote: compared?, ..Receipt::of(&done)? }))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let Some(argv) = self.config.verify.as_ref().filter(|_| self.substitute(cx).is_none()) else {
            let ran = read_progress(cx).await?.is_some_and(|p| p.state == State::Applied)
                || cx.receipt_of(&cx.info().id).await?.is_some();
            return Ok(if ran {
                Verdict::Holds
            } else {
                Verdict::Broken(vec![format!("`{}` was not run to its end", cx.mask(&self.config.apply.join(" ")))])
            });
        };
        let ran = self.run(cx, argv, None, false).await?;
        if ran.succeeded() {
            return Ok(Verdict::Holds);
        }
        let mut lines = vec![format!("`{}` {}", cx.mask(&argv.join(" ")), ran.how())];
        lines.extend(ran.last_lines(SHOWN).into_iter().map(str::to_owned));
        Ok(Verdict::Broken(lines))
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let progress = read_progress(cx).await?;
        let ours = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Done>).transpose()?;
        // Without a record (state was lost) the receipt alone says that it ran.
        let attempt = match (&progress, ours) {
            (Some(p), _) if p.state == State::RolledBack => return Ok(()),
            (Some(p), _) => p.attempt.clone(),
            (None, Some(done)) => done.attempt,
            (None, None) => return Ok(()),
        };
        if let Some(argv) = self.config.rollback.as_ref().filter(|_| self.substitute(cx).is_none()) {
            fault::point(fault::COMMAND_UNDO);
            let ran = self.run(cx, argv, None, true).await?;
            fault::point(fault::COMMAND_UNDO_ENDED);
            if !ran.succeeded() {
                return Err(
                    failed(argv, &ran, cx).with_help("make it succeed when only a part is to be undone, or nothing")
                );
            }
        }
        write_progress(cx, attempt, State::RolledBack).await?;
        fault::point(fault::COMMAND_UNDO_RECORDED);
        Ok(())
    }
}

impl CommandRun {
    /// What a rehearsal runs in place of `apply`.
    fn substitute(&self, cx: &StepContext) -> Option<&Vec<String>> {
        self.config.rehearse.as_ref().filter(|_| cx.info().rehearsal)
    }

    /// The targets that it may write into.
    fn written(&self) -> Vec<&String> {
        let mut names: Vec<_> = self.config.writes.iter().chain(&self.config.restore).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Whether `verify` proves that an interrupted try had done its work.
    async fn proves(&self, cx: &StepContext) -> Result<bool, StepError> {
        match &self.config.verify {
            Some(argv) => Ok(self.run(cx, argv, None, false).await?.succeeded()),
            None => Ok(false),
        }
    }

    /// Runs one of its commands; one that changes something is marked as running.
    async fn run(
        &self,
        cx: &StepContext,
        argv: &[String],
        log: Option<PathBuf>,
        changes: bool,
    ) -> Result<Ran, StepError> {
        let (inner, argv) = (cx.clone(), argv.to_vec());
        let running = changes.then(|| cx.running_file());
        let (cwd, env, timeout) = (self.config.cwd.clone(), self.config.env.clone(), self.timeout);
        cx.blocking(move || {
            let cwd = inside(inner.root(), &cwd, true)?;
            process::run(&Program { argv: &argv, cwd, env: &env, timeout, log, output: None, running }, &|text| {
                inner.mask(text)
            })
        })
        .await
    }

    async fn free_log(&self, cx: &StepContext) -> Result<PathBuf, StepError> {
        let folder = cx.scratch_dir();
        cx.blocking(move || {
            private_dir(&folder)?;
            // One more than any, also where earlier ones were deleted: what came last is told by its number.
            let mut last = 0;
            for entry in fs::read_dir(&folder).map_err(|e| io_error("cannot read", &folder, e))?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let number = name.strip_prefix("output-").and_then(|rest| rest.strip_suffix(".log"));
                last = last.max(number.and_then(|n| n.parse::<u32>().ok()).unwrap_or(0));
            }
            Ok(folder.join(format!("output-{}.log", last.saturating_add(1))))
        })
        .await
    }
}

fn failed(argv: &[String], ran: &Ran, cx: &StepContext) -> StepError {
    let mut message = format!("`{}` {}", cx.mask(&argv.join(" ")), ran.how());
    for line in ran.last_lines(SHOWN) {
        message.push_str("\n  ");
        message.push_str(line);
    }
    StepError::failed(message)
}

#[cfg(test)]
mod tests;

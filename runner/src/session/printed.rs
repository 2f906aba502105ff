//! Commands as they are printed for a person, who pastes them into a shell.

use std::path::Path;

use cutover_core::journal::{PlanState, RunCommand, RunState, StepState};
use cutover_core::shell_word;

use super::Session;
use crate::executor::{RunOptions, wanted_steps};

impl Session {
    /// A path as people see it: relative to the root where it lies inside.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// How the operator would call `command` on this plan.
    pub fn command_line(&self, command: &str) -> String {
        let (plan, place) = match &self.place.said {
            Some(said) => (&said.plan, &**said),
            None => (&self.plan_file, &self.place),
        };
        let mut words = vec![plan.display().to_string()];
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        if let Some(root) = &place.root {
            option("root", root.display().to_string());
        }
        if let Some(state) = &place.state {
            option("state", state.display().to_string());
        }
        for (name, path) in &place.binds {
            option("bind", format!("{name}={}", path.display()));
        }
        for (name, value) in &place.vars {
            option("var", format!("{name}={value}"));
        }
        format!("cutover {command} {}", shell_words(&words))
    }

    /// The command that goes on with a run that did not come to its end: its own, as far as that is known and leaves
    /// something to do.
    pub(crate) fn going_on(&self, run: &RunState, state: &PlanState) -> String {
        let known = |to: &String| self.plan.phases.iter().any(|p| p.name == *to) || self.plan.step(to).is_some();
        let (command, to) = match run.command {
            RunCommand::Rollback => ("rollback", run.to.clone().filter(|to| to == "start" || known(to))),
            RunCommand::Apply => ("apply", run.to.clone().filter(|to| known(to) && !is_reached(self, to, state))),
            RunCommand::Administer => ("apply", None),
        };
        let options = RunOptions { to, ..RunOptions::default() };
        if command == "rollback" { self.command_again(command, &options) } else { asked(self.forward(run), &options) }
    }

    /// `apply` after that run: what it was bound to still binds while it is not done.
    pub(crate) fn forward(&self, run: &RunState) -> String {
        let bound = || run.bound_to.iter().filter(|_| run.outcome.as_deref() != Some("done"));
        let saved = bound().find_map(|b| b.saved.as_ref()).filter(|file| file.exists() && self.place.said.is_none());
        let mut line = match saved {
            Some(file) => {
                let mut words = vec![file.display().to_string()];
                words.extend(self.place.state.iter().flat_map(|s| ["--state".to_owned(), s.display().to_string()]));
                format!("cutover apply {}", shell_words(words))
            }
            None => self.command_line("apply"),
        };
        if bound().any(|b| b.saved.is_none()) {
            line.push_str(REQUIRED);
        }
        line
    }

    /// The same for a command that goes on with a run: with what that run was asked for.
    pub fn command_again(&self, command: &str, options: &RunOptions) -> String {
        let mut line = self.command_line(command);
        if options.bound.iter().any(|b| b.saved.is_none()) {
            line.push_str(REQUIRED);
        }
        asked(line, options)
    }
}

/// Whether all that `apply --to` would run is there: it would find nothing to do, and end nothing.
fn is_reached(session: &Session, to: &str, state: &PlanState) -> bool {
    let there = |id: &String| matches!(state.state_of(id), StepState::Applied | StepState::Skipped);
    wanted_steps(session, Some(to)).is_ok_and(|wanted| wanted.iter().all(there))
}

const REQUIRED: &str = " --require-rehearsal";

/// The command with what was asked of the run.
fn asked(mut line: String, options: &RunOptions) -> String {
    if let Some(to) = options.to.as_ref().filter(|_| !options.to_unsaid) {
        line.push_str(&format!(" --to {}", shell_word(to)));
    }
    if options.accept_loss {
        line.push_str(" --accept-loss");
    }
    line
}

/// Words as a shell reads them again.
pub(crate) fn shell_words<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| shell_word(word.as_ref())).collect::<Vec<_>>().join(" ")
}

//! What goes wrong while one command runs, as the command line that makes it so.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What goes wrong while a command runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault {
    /// A program that runs ours, with its options.
    pub(super) under: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

impl Fault {
    /// The program kills itself when it passes `point` after `passages` passages.
    pub(super) fn kill(point: &str, passages: usize) -> Self {
        Self::env("FAILPOINTS", &format!("{point}={passages}*off->return"))
    }

    /// How a command ends that was killed by `kill_after`.
    pub(super) const KILLED_BY_OTHERS: Option<i32> = Some(137);

    /// Another program kills it after that time.
    pub(super) fn kill_after(time: Duration) -> Self {
        let time = format!("{:.4}", time.as_secs_f64());
        let under = ["timeout", "--foreground", "--signal=KILL", &time].map(str::to_owned).to_vec();
        Self { under, ..Self::default() }
    }

    /// A variable of the environment makes it go wrong.
    pub(super) fn env(name: &str, value: &str) -> Self {
        Self { env: vec![(name.to_owned(), value.to_owned())], ..Self::default() }
    }

    /// `folder` of the root is on another device than the rest, as far as a rename can tell.
    pub(super) fn on_its_device(self, folder: &Path) -> Self {
        let mount = "mount --bind \"$0\" \"$0\" && exec \"$@\"";
        let folder = folder.display().to_string();
        let under = ["unshare", "-rm", "sh", "-c", mount, &folder].map(str::to_owned).to_vec();
        Self { under, ..self }
    }

    /// What stands before the command in a shell.
    pub(super) fn prefix(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{name}='{value}' "));
        env.chain(self.under.iter().map(|part| format!("{part} "))).collect()
    }

    /// The command with this going wrong.
    pub(super) fn command(&self, command: Command) -> Command {
        let mut whole = match self.under.split_first() {
            None => command,
            Some((program, options)) => {
                let mut under = Command::new(program);
                under.args(options).arg(command.get_program()).args(command.get_args());
                for (name, value) in command.get_envs() {
                    match value {
                        Some(value) => under.env(name, value),
                        None => under.env_remove(name),
                    };
                }
                under
            }
        };
        whole.envs(self.env.iter().map(|(name, value)| (name, value)));
        whole
    }
}

//! The probe `command`: the number that a program prints.
//!
//! No shell reads the command. The program runs in a process group of its own, which is ended as a whole when its time is
//! up.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cutover_core::{BuildContext, BuildError, StepContext, StepError, disk};
use rustix::process::{Pid, Signal, kill_process_group};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Probe, ProbeKind};
use crate::register_probe;

/// How often the program is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Output beyond this is not looked at.
const MOST: u64 = 64 * 1024;

/// The number that a program prints.
#[derive(Debug)]
pub(crate) struct CommandOutput(CommandProbeConfig);

/// The keys of `command`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandProbeConfig {
    /// Program and arguments. Its standard output is one number; a status other than 0 is no answer.
    run: Vec<String>,
    /// Working folder, relative to the root.
    #[serde(default = "here")]
    cwd: String,
}

fn here() -> String {
    ".".to_owned()
}

register_probe!(CommandOutput);

impl ProbeKind for CommandOutput {
    const KIND: &'static str = "command";
    const SUMMARY: &'static str = "the number that a program prints; no shell reads the command";
    type Config = CommandProbeConfig;

    fn build(config: CommandProbeConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        if config.run.first().is_none_or(String::is_empty) {
            return Err(BuildError::at("run", "an empty command").with_help("a command is a list: [\"prog\", \"arg\"]"));
        }
        if !cutover_core::plan::is_inside(config.cwd.as_ref()) {
            return Err(BuildError::at("cwd", format!("`{}` is not inside the root", config.cwd))
                .with_help("name a folder relative to the root, without `..`"));
        }
        Ok(Self(config))
    }
}

#[async_trait]
impl Probe for CommandOutput {
    fn shown(&self) -> String {
        format!("`{}`", self.0.run.join(" "))
    }

    async fn read(&self, cx: &StepContext, limit: Duration) -> Result<f64, StepError> {
        let (inner, argv, cwd) = (cx.clone(), self.0.run.clone(), self.0.cwd.clone());
        cx.blocking(move || {
            let output = run(&argv, disk::inside(inner.root(), &cwd, true)?, limit)?;
            number(&output).map_err(|e| StepError::failed(inner.mask(&e)))
        })
        .await
    }
}

/// The one number of a text.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let shown: String = text.chars().take(80).collect();
    text.parse().map_err(|_| format!("`{shown}` is no number"))
}

/// What the program printed.
fn run(argv: &[String], cwd: PathBuf, limit: Duration) -> Result<String, StepError> {
    let Some((name, arguments)) = argv.split_first() else {
        return Err(StepError::internal("a command without a program"));
    };
    let mut child = Command::new(name)
        .args(arguments)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|e| StepError::failed(format!("`{name}` cannot be started")).caused_by(e))?;
    let output = child.stdout.take();
    let (send, printed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = output.map_or(Ok(0), |output| output.take(MOST).read_to_string(&mut text)).map(|_| text);
        // Whoever no longer waits does not want it.
        let _ = send.send(read);
    });
    let until = Instant::now() + limit;
    let ended = attend(&mut child, &printed, until);
    match ended {
        None => {
            // What it started is in its group, too; that nobody is left is fine.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            Err(StepError::failed(format!("it ran longer than {} s and was ended", limit.as_secs_f64())))
        }
        Some((status, _)) if !status.success() => Err(StepError::failed(format!("it ended with {status}"))),
        Some((_, text)) => text.map_err(|e| StepError::failed("its output is no text").caused_by(e)),
    }
}

/// How the program ended and what it had printed; none when it has not ended by then.
fn attend(
    child: &mut Child,
    printed: &mpsc::Receiver<io::Result<String>>,
    until: Instant,
) -> Option<(ExitStatus, io::Result<String>)> {
    let text = printed.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some((status, text)),
            Ok(None) if Instant::now() < until => std::thread::sleep(POLL),
            _ => return None,
        }
    }
}

//! A program run without a shell, in a process group of its own, with a time limit and its output kept.
//!
//! Owns starting, draining, ending; what becomes of the output is `sink`'s. Knows nothing of steps; blocking.

mod running;
mod sink;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use running::Running;
use rustix::process::{Pid, Signal, kill_process_group};
use sink::Sink;

use crate::{StepError, disk};

/// How long a process group has to end after SIGTERM, and how long we wait for output after its leader ended.
const GRACE: Duration = Duration::from_secs(2);

/// How often the child is looked at while it says nothing.
const POLL: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// Program and arguments; never empty.
    pub argv: &'a [String],
    /// Working folder.
    pub cwd: PathBuf,
    /// Added to the inherited environment.
    pub env: &'a BTreeMap<String, String>,
    /// After this long the whole process group is ended.
    pub timeout: Duration,
    /// Receives the whole masked output; a new private file.
    pub log: Option<PathBuf>,
    /// Receives what it writes to its standard output, byte for byte; a new private file. The log and the tail have its
    /// errors alone then.
    pub output: Option<PathBuf>,
    /// Marks it as running, also when this process is gone.
    pub running: Option<PathBuf>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By us, after the time limit.
    TimedOut(Duration),
}

/// What a program did.
#[derive(Debug, Clone)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// The last 64 KiB of its masked output, both streams in the order in which they were written.
    pub tail: String,
}

impl Ran {
    /// Whether it ended with status 0.
    pub fn succeeded(&self) -> bool {
        self.ended == Ended::Code(0)
    }

    /// "ended with status 1".
    pub fn how(&self) -> String {
        match self.ended {
            Ended::Code(code) => format!("ended with status {code}"),
            Ended::Signal(signal) => format!("was ended by signal {signal}"),
            Ended::TimedOut(limit) => format!("ran longer than {} s and was ended", limit.as_secs_f64()),
        }
    }

    /// The last `n` lines of output that say something.
    pub fn last_lines(&self, n: usize) -> Vec<&str> {
        let lines: Vec<&str> = self.tail.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(n)..].to_vec()
    }
}

/// Why a program named without a folder cannot be started, as far as that can be told by looking.
pub fn not_found(name: &str, env: &BTreeMap<String, String>) -> Option<String> {
    if name.contains('/') {
        return None;
    }
    let path = env.get("PATH").map(Into::into).or_else(|| std::env::var_os("PATH"))?;
    let found = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    (!found).then(|| format!("the program `{name}` is not on the PATH"))
}

/// Runs a program to its end and returns how it ended. Failing to start is an error; a status other than 0 is not.
pub fn run(program: &Program<'_>, mask: &dyn Fn(&str) -> String) -> Result<Ran, StepError> {
    let Some((name, arguments)) = program.argv.split_first() else {
        return Err(StepError::internal("a command without a program"));
    };
    let mut sink = Sink::open(program.log.as_deref(), mask)?;
    // One pipe for both streams keeps what they say in order.
    let (reader, writer) = io::pipe().map_err(|e| StepError::failed("cannot make a pipe").caused_by(e))?;
    let errors = writer.try_clone().map_err(|e| StepError::failed("cannot make a pipe").caused_by(e))?;
    let output = match &program.output {
        Some(path) => {
            drop(writer);
            Stdio::from(disk::create(path).map_err(|e| disk::io_error("cannot make", path, e))?)
        }
        None => Stdio::from(writer),
    };
    let running = program.running.as_deref().map(Running::mark).transpose()?;
    let input = running.as_ref().map_or_else(|| Ok(Stdio::null()), Running::input)?;
    let mut child = Command::new(name)
        .args(arguments)
        .current_dir(&program.cwd)
        .envs(program.env)
        .stdin(input)
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(|e| cannot_start(name, e))?;
    if let Some(running) = &running {
        running.is(child.id())?;
    }
    tracing::debug!(program = name.as_str(), pid = child.id(), "program started");
    let (send, receive) = mpsc::channel();
    thread::spawn(move || drain(reader, &send));
    let ended = attend(&mut child, &receive, program.timeout, &mut sink);
    if ended.is_err() {
        end_group(&child, Signal::KILL);
        let _ = child.wait();
    }
    if let Some(running) = running {
        running.clear()?;
    }
    let ran = Ran { ended: ended?, tail: sink.finish()? };
    tracing::debug!(program = name.as_str(), pid = child.id(), how = ran.how(), "program ended");
    Ok(ran)
}

fn cannot_start(name: &str, cause: io::Error) -> StepError {
    let error = match cause.kind() {
        io::ErrorKind::NotFound => StepError::failed(format!("the program `{name}` is not there"))
            .with_help("install it, or name it by a path relative to `cwd` that begins with `./`"),
        io::ErrorKind::PermissionDenied => StepError::failed(format!("`{name}` may not be executed"))
            .with_help("make it executable, or run it through its interpreter: [\"sh\", \"FILE\"]"),
        _ => StepError::failed(format!("`{name}` cannot be started")),
    };
    error.caused_by(cause)
}

fn drain(mut stream: impl Read, send: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 8192];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                if send.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Takes the child's output until it has ended and its streams are closed.
fn attend(
    child: &mut Child,
    output: &mpsc::Receiver<Vec<u8>>,
    limit: Duration,
    sink: &mut Sink<'_>,
) -> Result<Ended, StepError> {
    let started = Instant::now();
    let mut deadline = started.checked_add(limit);
    let mut signals = [Signal::TERM, Signal::KILL].into_iter();
    let (mut status, mut timed_out, mut closed): (Option<ExitStatus>, bool, bool) = (None, false, false);
    loop {
        if closed {
            thread::sleep(POLL);
        } else {
            match output.recv_timeout(POLL) {
                Ok(bytes) => sink.take(&bytes)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => closed = true,
            }
        }
        if status.is_none() {
            status = child.try_wait().map_err(|e| StepError::failed("cannot wait for a command").caused_by(e))?;
            if status.is_some() && !timed_out {
                // What it left running in its group has this long to let go of the streams.
                deadline = Instant::now().checked_add(GRACE);
            }
        }
        if let (Some(status), true) = (status, closed) {
            if timed_out {
                // Who ignored SIGTERM and let go of the streams is still in the group.
                end_group(child, Signal::KILL);
            }
            return Ok(match (timed_out, status.code(), status.signal()) {
                (true, ..) => Ended::TimedOut(limit),
                (_, Some(code), _) => Ended::Code(code),
                (_, None, signal) => Ended::Signal(signal.unwrap_or_default()),
            });
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            timed_out |= status.is_none();
            match signals.next() {
                Some(signal) => {
                    end_group(child, signal);
                    deadline = Instant::now().checked_add(GRACE);
                }
                // Whoever still holds the streams left the group on purpose.
                None => closed = true,
            }
        }
    }
}

/// Signals the child's whole process group; that it is gone already is fine.
fn end_group(child: &Child, signal: Signal) {
    let _ = kill_process_group(Pid::from_child(child), signal);
}

#[cfg(test)]
mod tests;

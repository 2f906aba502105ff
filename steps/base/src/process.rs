//! A program run without a shell, in a process group of its own, with a time limit and its output kept.
//!
//! Owns starting, draining, ending. Knows nothing of steps; blocking.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use cutover_core::StepError;
use cutover_core::disk::{PRIVATE_FILE, io_error};
use rustix::process::{Pid, Signal, kill_process_group};

/// Bytes of output that are kept in memory, from its end.
pub(crate) const TAIL: usize = 64 * 1024;

/// Output is masked in pieces of at least this many bytes, cut at line ends.
const PIECE: usize = 256 * 1024;

/// How long a process group has to end after SIGTERM, and how long we wait for output after its leader ended.
const GRACE: Duration = Duration::from_secs(2);

/// How often the child is looked at while it says nothing.
const POLL: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Program<'a> {
    /// Program and arguments; never empty.
    pub(crate) argv: &'a [String],
    /// Working folder.
    pub(crate) cwd: PathBuf,
    /// Added to the inherited environment.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// After this long the whole process group is ended.
    pub(crate) timeout: Duration,
    /// Receives the whole masked output; a new private file.
    pub(crate) log: Option<PathBuf>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this status.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By us, after the time limit.
    TimedOut(Duration),
}

/// What a program did.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    /// How it ended.
    pub(crate) ended: Ended,
    /// The last [`TAIL`] bytes of its masked output, both streams in the order in which they were written.
    pub(crate) tail: String,
}

impl Ran {
    /// Whether it ended with status 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.ended == Ended::Code(0)
    }

    /// "ended with status 1".
    pub(crate) fn how(&self) -> String {
        match self.ended {
            Ended::Code(code) => format!("ended with status {code}"),
            Ended::Signal(signal) => format!("was ended by signal {signal}"),
            Ended::TimedOut(limit) => format!("ran longer than {} s and was ended", limit.as_secs_f64()),
        }
    }

    /// The last `n` lines of output that say something.
    pub(crate) fn last_lines(&self, n: usize) -> Vec<&str> {
        let lines: Vec<&str> = self.tail.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(n)..].to_vec()
    }
}

/// Why a program named without a folder cannot be started, as far as that can be told by looking.
pub(crate) fn not_found(name: &str, env: &BTreeMap<String, String>) -> Option<String> {
    if name.contains('/') {
        return None;
    }
    let path = env.get("PATH").map(Into::into).or_else(|| std::env::var_os("PATH"))?;
    let found = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    (!found).then(|| format!("the program `{name}` is not on the PATH"))
}

/// Runs a program to its end and returns how it ended. Failing to start is an error; a status other than 0 is not.
pub(crate) fn run(program: &Program<'_>, mask: &dyn Fn(&str) -> String) -> Result<Ran, StepError> {
    let Some((name, arguments)) = program.argv.split_first() else {
        return Err(StepError::internal("a command without a program"));
    };
    let mut sink = Sink::open(program.log.as_deref(), mask)?;
    // One pipe for both streams keeps what they say in order.
    let (reader, writer) = io::pipe().map_err(|e| StepError::failed("cannot make a pipe").caused_by(e))?;
    let errors = writer.try_clone().map_err(|e| StepError::failed("cannot make a pipe").caused_by(e))?;
    let mut child = Command::new(name)
        .args(arguments)
        .current_dir(&program.cwd)
        .envs(program.env)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(|e| cannot_start(name, e))?;
    let (send, receive) = mpsc::channel();
    thread::spawn(move || drain(reader, &send));
    let ended = attend(&mut child, &receive, program.timeout, &mut sink);
    if ended.is_err() {
        end_group(&child, Signal::KILL);
        let _ = child.wait();
    }
    let ended = ended?;
    Ok(Ran { ended, tail: sink.finish()? })
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

/// Masks output, keeps its end and writes all of it to the log.
struct Sink<'a> {
    mask: &'a dyn Fn(&str) -> String,
    log: Option<(PathBuf, File)>,
    pending: Vec<u8>,
    tail: String,
}

impl<'a> Sink<'a> {
    fn open(log: Option<&Path>, mask: &'a dyn Fn(&str) -> String) -> Result<Self, StepError> {
        let open = |path: &Path| {
            let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path);
            file.map(|file| (path.to_owned(), file)).map_err(|e| io_error("cannot write", path, e))
        };
        Ok(Self { mask, log: log.map(open).transpose()?, pending: Vec::new(), tail: String::new() })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), StepError> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE
            && let Some(end) = self.pending.iter().rposition(|b| *b == b'\n')
        {
            let rest = self.pending.split_off(end + 1);
            self.flush()?;
            self.pending = rest;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StepError> {
        let text = (self.mask)(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
        if let Some((path, file)) = &mut self.log {
            file.write_all(text.as_bytes()).map_err(|e| io_error("cannot write", path, e))?;
        }
        self.tail.push_str(&text);
        let mut cut = self.tail.len().saturating_sub(TAIL);
        while !self.tail.is_char_boundary(cut) {
            cut += 1;
        }
        self.tail.drain(..cut);
        Ok(())
    }

    fn finish(mut self) -> Result<String, StepError> {
        self.flush()?;
        if let Some((path, file)) = &self.log {
            file.sync_all().map_err(|e| io_error("cannot write", path, e))?;
        }
        Ok(self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, timeout: Duration, log: Option<PathBuf>) -> Result<Ran, StepError> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let program = Program { argv: &argv, cwd: ".".into(), env: &BTreeMap::new(), timeout, log };
        run(&program, &|text| text.replace("hunter2", "***"))
    }

    #[test]
    fn output_is_masked_in_the_log_and_its_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let script =
            "printf hun; sleep 0.1; echo ter2; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 3";
        let ran = sh(script, Duration::from_secs(60), Some(log.clone())).unwrap();
        assert_eq!(ran.ended, Ended::Code(3));
        assert!(ran.tail.len() <= TAIL && ran.tail.ends_with("line 19999\n"), "{}", ran.tail.len());
        let whole = std::fs::read_to_string(log).unwrap();
        assert!(whole.starts_with("***\nline 0\n") && whole.ends_with("line 19999\n"));
        assert_eq!(ran.last_lines(2), ["line 19998", "line 19999"]);
    }

    #[test]
    fn a_command_over_its_time_is_ended_with_all_its_children() {
        let dir = tempfile::tempdir().unwrap();
        // The child ignores the polite signal, and holds no stream that would give it away.
        let stubborn = "(trap '' TERM; exec sleep 300 > /dev/null 2>&1) &";
        let script = format!("{stubborn} echo $! > {}/pid; echo waiting; wait", dir.path().display());
        let started = Instant::now();
        let ran = sh(&script, Duration::from_millis(400), None).unwrap();
        assert_eq!(ran.ended, Ended::TimedOut(Duration::from_millis(400)));
        assert_eq!(ran.tail, "waiting\n");
        assert!(started.elapsed() < Duration::from_secs(30));
        let pid: i32 = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
        // An orphan that was killed may stay a zombie until init looks.
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while started.elapsed() < Duration::from_secs(30) && !(state().is_empty() || state().contains(") Z")) {
            thread::sleep(POLL);
        }
        assert!(state().is_empty() || state().contains(") Z"), "{}", state());
    }

    #[test]
    fn a_child_left_behind_does_not_hold_the_step() {
        let started = Instant::now();
        let ran = sh("sleep 300 & echo done", Duration::from_secs(60), None).unwrap();
        assert_eq!((ran.ended, ran.tail.as_str()), (Ended::Code(0), "done\n"));
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}

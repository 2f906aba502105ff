//! The command line: what may be said, and how an ending becomes an exit code.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::commands;
use crate::error::{Result, RunnerError};
use crate::executor::RunOptions;
use crate::exit::Exit;
use crate::host::Stop;
use crate::report::{Emitter, Human, JsonLines};
use crate::session::Place;
use crate::style::Style;

const AFTER_HELP: &str = "Exit codes: 0 done or nothing to do · 2 usage · 3 changes pending (plan --exit-code) · \
    65 invalid plan · 66 target missing or unreadable · 70 internal · 75 locked · 100 failed and rolled back · \
    101 stuck · 102 drift · 103 waiting · 104 failed and paused · 130 interrupted";

/// Migrate a whole system as one plan of verified, reversible steps.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The folder that holds the system being migrated (default: the plan's folder)
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The state folder (default: <root>/.cutover)
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Place a target elsewhere
    #[arg(long, global = true, value_name = "TARGET=PATH", value_parser = pair)]
    bind: Vec<(String, String)>,
    /// Override a plan variable (a TOML value, or else a string)
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = pair)]
    var: Vec<(String, String)>,
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Steps at once
    #[arg(long, global = true, value_name = "N", default_value_t = 4)]
    jobs: usize,
    /// Do not ask
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// Say more
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// Colour the output
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    color: When,
}

/// Output formats. Which of them a command knows is in its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document, or JSON lines of events.
    Json,
    /// Markdown (plan, steps).
    Markdown,
    /// SARIF 2.1.0 (check).
    Sarif,
    /// GitHub workflow annotations (check).
    Github,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the step kinds and target kinds, or show one with its fields and an example
    Steps {
        /// A kind: sqlite.columns
        kind: Option<String>,
        /// Print a JSON Schema of whole plan files
        #[arg(long)]
        schema: bool,
    },
    /// Compile a plan and report every mistake in it (text, json, sarif, github)
    Check {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// Show what apply would change. Writes nothing (text, json, markdown)
    Plan {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// End with 3 when changes are pending
        #[arg(long)]
        exit_code: bool,
    },
    /// Run the plan forward; the same command again resumes an interrupted run
    Apply {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// Up to and including this step or phase
        #[arg(long, value_name = "STEP|PHASE")]
        to: Option<String>,
        #[command(flatten)]
        locking: Locking,
    },
    /// Prove again that every applied step holds. Writes nothing
    Verify {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// Undo the last phase, or everything after --to
    Rollback {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// Keep this step or phase and what came before it; `start` undoes everything
        #[arg(long, value_name = "STEP|PHASE|start")]
        to: Option<String>,
        /// A restore may drop rows that others wrote since the snapshot; they are set aside first
        #[arg(long)]
        accept_loss: bool,
        #[command(flatten)]
        locking: Locking,
    },
    /// Show where every step stands (text, json)
    Status {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// List what the journal recorded (text, json)
    History {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// Say in plain words what is committed, what is not, and the next command
    Explain {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
    },
    /// Accept a deliberate edit of an applied step
    Accept {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// The step
        step: String,
        /// Why; kept in the journal
        #[arg(long)]
        note: String,
        #[command(flatten)]
        locking: Locking,
    },
    /// Settle a step that a person has put right; the claim is proven by inspection first
    Resolve {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// The step
        step: String,
        /// The claim
        #[arg(long = "as", value_enum)]
        claim: Claim,
        /// Why; kept in the journal
        #[arg(long)]
        note: String,
        #[command(flatten)]
        locking: Locking,
    },
    /// Adopt a system that already has the plan's first steps, by inspection
    Baseline {
        /// The plan file, or a folder with plan.toml
        plan: PathBuf,
        /// Up to and including this step
        #[arg(long, value_name = "STEP")]
        to: String,
        #[command(flatten)]
        locking: Locking,
    },
    /// Build a plan's version-1 system with real content, migrate it, and roll it back
    Demo {
        /// The plan's name: cortex-2.0
        name: String,
        /// Where (default: a temporary folder)
        dir: Option<PathBuf>,
        /// Which shape of the system
        #[arg(long)]
        shape: Option<String>,
        /// Only build the system
        #[arg(long)]
        build_only: bool,
    },
    /// Write a new step crate or plan
    New {
        #[command(subcommand)]
        what: New,
    },
    /// Print a completion script
    Completions {
        /// For which shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum New {
    /// A crate with one step, its conformance test, a plan and its own runner
    StepCrate {
        /// The crate's name
        name: String,
        /// A folder that is empty or not there yet
        dir: PathBuf,
        /// A checkout of Cutover that the crate depends on by path
        #[arg(long, value_name = "DIR")]
        cutover: Option<PathBuf>,
    },
    /// A small commented plan that runs
    Plan {
        /// The plan's name
        name: String,
        /// A folder that is empty or not there yet
        dir: PathBuf,
    },
}

/// A person's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Claim {
    /// The step's effects are there.
    Applied,
    /// They are gone.
    RolledBack,
}

/// Options of commands that write.
#[derive(Debug, Clone, Args)]
pub(crate) struct Locking {
    /// How long to wait for another runner: 30s, 5m
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    lock_timeout: Duration,
    /// Take the locks of a runner that is alive but frozen
    #[arg(long)]
    take_over: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| "expected a number with a unit: 30s, 5m".to_owned())?;
    match &text[split..] {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3600)),
        other => Err(format!("unknown unit `{other}`: use ms, s, m or h")),
    }
}

/// What commands print to, and how.
pub(crate) struct Out {
    pub(crate) format: Format,
    pub(crate) style: Style,
    pub(crate) verbose: bool,
}

impl Out {
    /// Prints a text to standard output. A reader that went away is no error.
    pub(crate) fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }

    /// Prints one JSON document.
    pub(crate) fn json(&self, value: &serde_json::Value) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.print(&format!("{text}\n"));
    }

    /// A reporter for a run.
    pub(crate) fn emitter(&self) -> Emitter {
        let stdout = std::io::stdout();
        match self.format {
            Format::Json => Emitter::new(Box::new(JsonLines(stdout))),
            _ => {
                let progress = std::io::stderr().is_terminal();
                Emitter::new(Box::new(Human::new(stdout, self.style, progress, self.verbose)))
            }
        }
    }

    /// Refuses a format that a command does not know.
    pub(crate) fn only(&self, known: &[Format]) -> Result<()> {
        if known.contains(&self.format) {
            return Ok(());
        }
        let names: Vec<_> =
            known.iter().filter_map(|f| f.to_possible_value()).map(|v| v.get_name().to_owned()).collect();
        Err(RunnerError::usage("this command does not know that `--format`")
            .with_help(format!("it knows: {}", names.join(", "))))
    }
}

/// Runs this process's command line.
pub(crate) fn run() -> ExitCode {
    crate::fault::setup();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let color = match cli.global.color {
        When::Always => true,
        When::Never => false,
        When::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let style = Style { color };
    let out = Out { format: cli.global.format, style, verbose: cli.global.verbose };
    match dispatch(cli, &out) {
        Ok(exit) => exit.into(),
        Err(error) => {
            report_error(&error, &out);
            error.exit.into()
        }
    }
}

fn report_error(error: &RunnerError, out: &Out) {
    let mut stderr = std::io::stderr().lock();
    if let Some(diagnostics) = &error.diagnostics {
        let color = out.style.color && std::io::stderr().is_terminal();
        let _ = writeln!(stderr, "{}", crate::diagnostic::render(diagnostics, color));
    }
    let _ = writeln!(stderr, "{}: {}", out.style.bad("error"), error.message);
    if let Some(help) = &error.help {
        let _ = writeln!(stderr, "help: {help}");
    }
}

fn dispatch(cli: Cli, out: &Out) -> Result<Exit> {
    let global = cli.global;
    let command_line = std::env::args().collect::<Vec<_>>().join(" ");
    let place = |plan: PathBuf| Place {
        plan,
        root: global.root.clone(),
        state: global.state.clone(),
        binds: global.bind.iter().map(|(n, p)| (n.clone(), PathBuf::from(p))).collect(),
        vars: global.var.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    let options = |locking: &Locking| RunOptions {
        jobs: global.jobs,
        lock_timeout: locking.lock_timeout,
        take_over: locking.take_over,
        command: command_line.clone(),
        ..RunOptions::default()
    };
    match cli.command {
        Command::Steps { kind, schema } => commands::steps::run(kind.as_deref(), schema, out),
        Command::Check { plan } => commands::check::run(&place(plan), out),
        Command::Completions { shell } => commands::completions::run(shell, out),
        Command::New { what } => commands::new::run(&what, out),
        Command::Plan { plan, exit_code } => block_on(commands::plan::run(place(plan), exit_code, out)),
        Command::Apply { plan, to, locking } => {
            let options = RunOptions { to, ..options(&locking) };
            block_on_stoppable(|stop| commands::apply::run(place(plan), options, stop, out))
        }
        Command::Verify { plan } => block_on(commands::verify::run(place(plan), out)),
        Command::Rollback { plan, to, accept_loss, locking } => {
            let options = RunOptions { to, accept_loss, ..options(&locking) };
            block_on_stoppable(|stop| commands::rollback::run(place(plan), options, global.yes, stop, out))
        }
        Command::Status { plan } => block_on(commands::status::run(place(plan), out)),
        Command::History { plan } => commands::history::run(place(plan), out),
        Command::Explain { plan } => block_on(commands::explain::run(place(plan), out)),
        Command::Accept { plan, step, note, locking } => {
            block_on(commands::accept::run(place(plan), &step, &note, options(&locking), out))
        }
        Command::Resolve { plan, step, claim, note, locking } => {
            block_on(commands::resolve::run(place(plan), &step, claim, &note, options(&locking), out))
        }
        Command::Baseline { plan, to, locking } => {
            block_on(commands::baseline::run(place(plan), &to, options(&locking), out))
        }
        Command::Demo { name, dir, shape, build_only } => {
            block_on_stoppable(|stop| commands::demo::run(name, dir, shape, build_only, global.jobs, stop, out))
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| RunnerError::io("the async runtime", e))
}

fn block_on(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    runtime()?.block_on(work)
}

/// The same, with Ctrl-C and SIGTERM turned into stop requests: apply is never dropped midway.
fn block_on_stoppable<F: Future<Output = Result<Exit>>>(work: impl FnOnce(Stop) -> F) -> Result<Exit> {
    let stop = Stop::default();
    let heard = stop.clone();
    runtime()?.block_on(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|e| RunnerError::io("the signal handler", e))?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                heard.request();
            }
        });
        work(stop).await
    })
}

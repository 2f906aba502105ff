//! The command line: from words to a command, and from its ending to an exit code. What may be said is in `command`
//! and `args`, what is printed in `out`; what a command does is in `commands`.

mod args;
mod command;
mod out;
mod runtime;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::commands;
use crate::error::{Result, RunnerError};
use crate::executor::RunOptions;
use crate::exit::Exit;
use crate::rehearse;
use crate::saved::SavedPlan;
use crate::session::{Place, shell_words};
use crate::style::{Style, plain};
use crate::telemetry::{Asked, Telemetry};

use crate::commands::resolve::Said;
pub(crate) use args::{Cli, Format};
use args::{Global, Locking, Observing, When};
use command::Command;
pub(crate) use command::{Claim, New};
pub(crate) use out::Out;
use runtime::{block_on, block_on_stoppable};

/// Runs this process's command line.
pub(crate) fn run() -> ExitCode {
    cutover_core::fault::setup();
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
    let mut out =
        Out { format: cli.global.format, style, verbose: cli.global.verbose, telemetry: Telemetry::default() };
    let Observing { metrics_listen, otlp } = cli.command.observing();
    let Global { log, log_level, log_file, .. } = &cli.global;
    let asked = Asked {
        metrics: metrics_listen,
        traces: otlp,
        log: *log,
        log_level: log_level.clone().or_else(|| std::env::var("CUTOVER_LOG").ok().filter(|level| !level.is_empty())),
        log_file: log_file.clone(),
    };
    let ended = Telemetry::begin(&asked).and_then(|telemetry| {
        if let Some(address) = telemetry.address() {
            let _ = writeln!(std::io::stderr(), "metrics: {address}");
        }
        out.telemetry = telemetry;
        dispatch(cli, &out)
    });
    let exit = ended.unwrap_or_else(|error| {
        report_error(&error, &out);
        error.exit
    });
    if let Some(warning) = std::mem::take(&mut out.telemetry).end() {
        let _ = writeln!(std::io::stderr(), "{}: {}", out.style.warn("warning"), plain(&warning));
    }
    exit.into()
}

fn report_error(error: &RunnerError, out: &Out) {
    let mut stderr = std::io::stderr().lock();
    if let Some(diagnostics) = &error.diagnostics {
        let color = out.style.color && std::io::stderr().is_terminal();
        let _ = writeln!(stderr, "{}", crate::diagnostic::render(diagnostics, color));
    }
    let _ = writeln!(stderr, "{}: {}", out.style.bad("error"), plain(&error.message));
    if let Some(help) = &error.help {
        let _ = writeln!(stderr, "help: {}", plain(help));
    }
}

fn dispatch(cli: Cli, out: &Out) -> Result<Exit> {
    let global = cli.global;
    let command_line = shell_words(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()));
    let place = |plan: PathBuf| {
        SavedPlan::resolve(Place {
            plan,
            root: global.root.clone(),
            state: global.state.clone(),
            binds: global.bind.iter().map(|(n, p)| (n.clone(), PathBuf::from(p))).collect(),
            vars: global.var.iter().cloned().collect::<BTreeMap<_, _>>(),
            ..Place::default()
        })
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
        Command::Check { plan, deny_warnings } => commands::check::run(&place(plan)?, deny_warnings, out),
        Command::Completions { shell } => commands::completions::run(shell, out),
        Command::New { what } => commands::new::run(&what, out),
        Command::Plan { plan, exit_code, out: file, exact, deny_warnings } => {
            let asked = commands::plan::Asked { exit_code, file, exact, deny_warnings };
            block_on(commands::plan::run(place(plan)?, &asked, out))
        }
        Command::Apply { plan, to, require_rehearsal, locking, .. } => {
            let options = RunOptions { to, ..options(&locking) };
            let place = place(plan)?;
            block_on_stoppable(|stop| commands::apply::run(place, options, require_rehearsal, stop, out))
        }
        Command::Approve { plan, steps, by, note, reject, locking, .. } => {
            let said = commands::approve::Said { steps, by, note, reject };
            commands::approve::run(place(plan)?, &said, &options(&locking), out)
        }
        Command::Watch { plan, once, locking, .. } => {
            let (place, options) = (place(plan)?, options(&locking));
            block_on_stoppable(|stop| commands::watch::run(place, options, once, stop, out))
        }
        Command::Rehearse { plan, to, keep, scratch, .. } => {
            let asked = rehearse::Asked { to, keep, scratch, jobs: global.jobs };
            let place = place(plan)?;
            block_on_stoppable(|stop| commands::rehearse::run(place, asked, stop, out))
        }
        Command::Verify { plan } => block_on(commands::verify::run(place(plan)?, out)),
        Command::Rollback { plan, to, accept_loss, locking, .. } => {
            let options = RunOptions { to, accept_loss, ..options(&locking) };
            let place = place(plan)?;
            block_on_stoppable(|stop| commands::rollback::run(place, options, global.yes, stop, out))
        }
        Command::Prune { plan, keep, locking } => {
            block_on(commands::prune::run(place(plan)?, keep, options(&locking), global.yes, out))
        }
        Command::Status { plan } => block_on(commands::status::run(place(plan)?, out)),
        Command::History { plan } => commands::history::run(place(plan)?, out),
        Command::Report { plan, kind, lessons } => block_on(commands::report::run(place(plan)?, kind, lessons, out)),
        Command::Explain { plan } => block_on(commands::explain::run(place(plan)?, out)),
        Command::Accept { plan, step: Some(step), note, locking, .. } => {
            block_on(commands::accept::run(place(plan)?, &step, &note, options(&locking), out))
        }
        Command::Accept { plan, step: None, note, locking, .. } => {
            block_on(commands::accept::structure(place(plan)?, &note, options(&locking), out))
        }
        Command::Resolve { plan, step, claim, note, unproven, locking } => {
            let said = Said { claim, note, unproven };
            block_on(commands::resolve::run(place(plan)?, &step, &said, options(&locking), out))
        }
        Command::Baseline { plan, to, locking } => {
            block_on(commands::baseline::run(place(plan)?, &to, options(&locking), out))
        }
        Command::Import { dir, out: to, database, from, name, locking } => {
            let place = place(PathBuf::new())?;
            let asked = commands::import::Asked { dir, out: to, database, from, name, place };
            block_on(commands::import::run(asked, options(&locking), out))
        }
        Command::DemoProgram { role, name, database } => commands::demo::programs::run(&role, &name, &database, out),
        Command::DemoMemory { words } => match cutover_demo::memory::program::run(&words) {
            Ok(()) => Ok(Exit::Done),
            Err(why) => Err(RunnerError::internal(why)),
        },
        Command::Demo { name, dir, shape, build_only, to } => {
            let asked = commands::demo::Asked { shape, build_only, to };
            block_on_stoppable(|stop| commands::demo::run(name, dir, asked, global.jobs, stop, out))
        }
    }
}

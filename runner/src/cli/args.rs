//! The options of the command line, their help, and how a value is read. The commands are in `command`; what an option
//! changes is not known here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};

use super::command::Command;
use crate::telemetry::LogFormat;

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
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The folder that holds the system being migrated (default: the plan's folder)
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// The state folder (default: <root>/.cutover)
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Place a target elsewhere
    #[arg(long, global = true, value_name = "TARGET=PATH", value_parser = pair)]
    pub(super) bind: Vec<(String, String)>,
    /// Override a plan variable (a TOML value, or else a string)
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) var: Vec<(String, String)>,
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Steps at once
    #[arg(long, global = true, value_name = "N", default_value_t = 4)]
    pub(super) jobs: usize,
    /// Do not ask
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// Say more
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// Colour the output
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    pub(super) color: When,
    /// Write logs, one line each
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub(super) log: Option<LogFormat>,
    /// Which of them: error, warn, info (default), debug, trace, also by crate (also CUTOVER_LOG)
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
    /// Add them to this file (default: standard error)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) log_file: Option<PathBuf>,
}

/// Output formats. Which of them a command knows is in its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document, or JSON lines of events.
    Json,
    /// Markdown (plan, steps, report).
    #[value(alias = "md")]
    Markdown,
    /// One self-contained HTML file (report).
    Html,
    /// SARIF 2.1.0 (check).
    Sarif,
    /// GitHub workflow annotations (check).
    Github,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    Auto,
    Always,
    Never,
}

/// Options of commands that write.
#[derive(Debug, Clone, Args)]
pub(crate) struct Locking {
    /// How long to wait for another runner: 30s, 5m
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(super) lock_timeout: Duration,
    /// Take the locks of a runner that is alive but frozen
    #[arg(long)]
    pub(super) take_over: bool,
}

/// Options of commands that may be watched from outside.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Observing {
    /// Serve Prometheus metrics at http://ADDR/metrics while the command lasts: 127.0.0.1:9464
    #[arg(long, value_name = "ADDR")]
    pub(super) metrics_listen: Option<String>,
    /// Send a trace of each run to an OpenTelemetry collector (OTLP over HTTP): http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<String>,
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

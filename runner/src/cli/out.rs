//! What commands print to, and how. The only writer to standard output; knows no command.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;

use super::Format;
use crate::error::{Result, RunnerError};
use crate::report::{Emitter, Human, JsonLines, Reporter};
use crate::style::Style;
use crate::telemetry::Telemetry;

/// What commands print to, and how.
pub(crate) struct Out {
    pub(crate) format: Format,
    pub(crate) style: Style,
    pub(crate) verbose: bool,
    /// Who else hears what happens.
    pub(crate) telemetry: Telemetry,
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
        self.emitter_of(match self.format {
            Format::Json => Box::new(JsonLines(stdout)),
            _ => Box::new(Human::new(stdout, self.style, self.show_progress(), self.verbose)),
        })
    }

    /// An emitter to `reporter`, and to whoever else listens.
    pub(crate) fn emitter_of(&self, reporter: Box<dyn Reporter>) -> Emitter {
        let mut all = vec![reporter];
        all.extend(self.telemetry.listeners());
        Emitter::to(all)
    }

    /// Whether somebody watches who wants to see how far long work has come.
    pub(crate) fn show_progress(&self) -> bool {
        self.format == Format::Text && std::io::stderr().is_terminal()
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

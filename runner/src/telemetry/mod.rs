//! How a run is watched from outside. Each way is a listener of the events that reporters see, and knows nothing else; none
//! can fail a run or hold it up.

mod logs;
mod metrics;
mod traces;

use std::path::PathBuf;

use crate::error::Result;
use crate::report::Reporter;
use metrics::Metrics;
use traces::Traces;

/// What the operator asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The address on which metrics are served.
    pub(crate) metrics: Option<String>,
    /// The collector to which traces are sent.
    pub(crate) traces: Option<String>,
    /// How logs are written.
    pub(crate) log: Option<LogFormat>,
    /// Which lines of them.
    pub(crate) log_level: Option<String>,
    /// Where they are written; standard error without one.
    pub(crate) log_file: Option<PathBuf>,
}

impl Asked {
    /// Whether logs are asked for.
    fn logs(&self) -> bool {
        self.log.is_some() || self.log_level.is_some() || self.log_file.is_some()
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people each.
    #[default]
    Text,
    /// A JSON document each.
    Json,
}

/// What watches this command. It begins before anything is written, and ends with the command.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    metrics: Option<Metrics>,
    traces: Option<Traces>,
    logs: bool,
}

impl Telemetry {
    /// Begins all that was asked for, or says what cannot be had. Nothing was written then.
    pub(crate) fn begin(asked: &Asked) -> Result<Self> {
        let logs = logs::begin(asked)?;
        let metrics = asked.metrics.as_deref().map(Metrics::listen).transpose()?;
        let traces = asked.traces.as_deref().map(Traces::send_to).transpose()?;
        Ok(Self { metrics, traces, logs })
    }

    /// Who is to hear each event.
    pub(crate) fn listeners(&self) -> Vec<Box<dyn Reporter>> {
        let mut all: Vec<Box<dyn Reporter>> = Vec::new();
        all.extend(self.metrics.iter().map(Metrics::listener));
        all.extend(self.traces.iter().map(Traces::listener));
        if self.logs {
            all.push(Box::new(logs::Events));
        }
        all
    }

    /// Where metrics are served, for people.
    pub(crate) fn address(&self) -> Option<String> {
        self.metrics.as_ref().map(Metrics::address)
    }

    /// The command has ended. What to warn of.
    pub(crate) fn end(self) -> Option<String> {
        self.traces.and_then(Traces::end)
    }
}

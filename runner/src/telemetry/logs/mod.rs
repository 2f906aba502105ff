//! Logs: what happened and what went on beneath, as lines of text or JSON.
//!
//! Events become records of `tracing`, as what the crates say themselves already is; one subscriber writes both, with every
//! secret of the plans that are open masked.

mod events;
mod sink;

use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{Asked, LogFormat};
use crate::error::{Result, RunnerError};
pub(super) use events::Events;
use sink::Sink;

/// Which lines are written, where nobody says it otherwise.
const USUAL: &str = "info";

/// Begins to write logs, if somebody asked for them.
pub(super) fn begin(asked: &Asked) -> Result<bool> {
    if !asked.logs() {
        return Ok(false);
    }
    let wanted = asked.log_level.as_deref().unwrap_or(USUAL);
    // A word that is no level would be taken for the name of a crate.
    let known = |part: &str| match part.split_once('=') {
        Some((_, level)) => level.trim().parse::<LevelFilter>().is_ok(),
        None => part.trim().parse::<LevelFilter>().is_ok(),
    };
    let filter: Option<Targets> = if wanted.split(',').all(known) { wanted.parse().ok() } else { None };
    let filter = filter.ok_or_else(|| {
        RunnerError::usage(format!("`{wanted}` is no level of logs; nothing was changed"))
            .with_help("name error, warn, info, debug or trace, also by crate: `--log-level cutover_core=trace,info`")
    })?;
    let sink = Sink::open(asked.log_file.as_deref())?;
    let all = tracing_subscriber::registry().with(filter);
    let begun = match asked.log.unwrap_or_default() {
        LogFormat::Text => set_global_default(all.with(fmt::layer().with_ansi(false).with_writer(sink))),
        LogFormat::Json => set_global_default(
            all.with(fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(sink)),
        ),
    };
    // Who embeds this may log by a subscriber of their own: that one hears it all then.
    Ok(begun.is_ok())
}

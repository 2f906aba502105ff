//! Notifiers: how people elsewhere are told of a run. One kind is one file; what is told, and when, is the runner's.

mod file;
mod smtp;
#[cfg(test)]
mod tests;
mod webhook;

use std::time::Duration;

use cutover_core::{BuildError, duration};

pub use file::{FileConfig, NotifyFile};
pub use smtp::{NotifySmtp, SmtpConfig, Tls};
pub use webhook::{NotifyWebhook, WebhookConfig};

/// The longest that a notifier may take: the end of the run waits for it.
const LONGEST: Duration = Duration::from_secs(25);

fn ten_seconds() -> String {
    "10s".to_owned()
}

/// The `timeout` of a notifier.
fn timeout(text: &str) -> Result<Duration, BuildError> {
    let found = duration::parse(text).ok_or_else(|| {
        BuildError::at("timeout", format!("`{text}` is no duration")).with_help("write it like \"10s\"")
    })?;
    if found > LONGEST {
        return Err(BuildError::at("timeout", format!("`{text}` is too long: the end of the run waits for it"))
            .with_help(format!("at most {} s", LONGEST.as_secs())));
    }
    Ok(found)
}

//! The time between two samples: as a plan writes it, and spent so that a request to stop is heard.

use std::time::{Duration, Instant};

use cutover_core::{BuildError, StepContext, StepError, duration};

/// Between two looks at the operator's wishes.
const LOOK: Duration = Duration::from_millis(100);

/// How a pause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It is over.
    Over,
    /// A stop was requested.
    Stopped,
}

/// The duration of `field`.
pub(crate) fn parse(field: &str, text: &str) -> Result<Duration, BuildError> {
    duration::parse(text).ok_or_else(|| {
        BuildError::at(field, format!("`{text}` is no duration"))
            .with_help("write a whole number and a unit: \"500ms\", \"60s\", \"5m\", \"2h\" or \"7d\"")
    })
}

/// Waits that long, unless a stop is requested.
pub(crate) async fn pause(cx: &StepContext, time: Duration) -> Result<Pause, StepError> {
    let until = Instant::now() + time;
    loop {
        if cx.stop_requested() {
            return Ok(Pause::Stopped);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Pause::Over);
        }
        cx.blocking(move || {
            std::thread::sleep(left.min(LOOK));
            Ok(())
        })
        .await?;
    }
}

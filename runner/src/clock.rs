//! The clock of the runner.

use jiff::Timestamp;

/// Now, to the millisecond (what journals and ledgers store).
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

//! Dates of a range as the whole numbers that a column holds.

use jiff::civil::Date;
use jiff::tz::TimeZone;

/// What a column counts since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    /// All of them by the name that a mapping has.
    pub(crate) const ALL: [(&'static str, Unit); 4] =
        [("s", Unit::Seconds), ("ms", Unit::Milliseconds), ("us", Unit::Microseconds), ("ns", Unit::Nanoseconds)];

    fn in_second(self) -> i64 {
        match self {
            Unit::Seconds => 1,
            Unit::Milliseconds => 1_000,
            Unit::Microseconds => 1_000_000,
            Unit::Nanoseconds => 1_000_000_000,
        }
    }
}

/// The first moment of a day (`2000-01-01`, UTC) in that unit, or a whole number as it is. None: neither, or beyond 64 bits.
pub(crate) fn bound(text: &str, unit: Option<Unit>) -> Option<i64> {
    let Some(unit) = unit else { return text.parse().ok() };
    let date: Date = text.parse().ok()?;
    let moment = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    moment.as_second().checked_mul(unit.in_second())
}

//! How long a way back may take.
//!
//! Owns the allowance and the refusal: who moves a mapping is told before anything has moved, not when the way back is
//! needed.

use std::time::Duration;

use cutover_core::{BuildError, StepError, duration};

use crate::mapping::Mapping;

/// No estimate is less: opening the database and the move itself take as long on a busy disk.
const LEAST: Duration = Duration::from_millis(100);

/// What is allowed where the plan says nothing.
pub(crate) fn usual() -> String {
    "5m".to_owned()
}

/// The allowance that a `with` says.
pub(crate) fn allowance(text: &str) -> Result<Duration, BuildError> {
    duration::parse(text).ok_or_else(|| {
        BuildError::at("rto", format!("`{text}` is no duration"))
            .with_help("write a whole number and a unit: \"90s\", \"5m\" or \"2h\"")
    })
}

/// What is proposed is more than what was measured: the next time it takes longer or less.
const MARGIN: (u32, u32) = (3, 2);

/// Refuses where the way back would take longer than is allowed.
pub(crate) fn within(mapping: &Mapping, estimate: Duration, allowed: Duration) -> Result<(), StepError> {
    let estimate = estimate.max(LEAST);
    if estimate <= allowed {
        return Ok(());
    }
    Err(StepError::failed(format!(
        "mapping `{}` stays where it is: the way back would take about {} (RTO), and {} are allowed",
        mapping.name,
        words(estimate),
        words(allowed)
    ))
    .with_help(format!(
        "allow it with `rto = \"{}\"`, or let fewer rows or a faster disk come first",
        enough(estimate * MARGIN.0 / MARGIN.1)
    )))
}

/// An estimate, as a person reads it.
pub(crate) fn said(estimate: Duration) -> String {
    words(estimate.max(LEAST))
}

fn words(time: Duration) -> String {
    if time.as_secs() < 120 { format!("{:.1} s", time.as_secs_f64()) } else { format!("{} min", minutes(time)) }
}

fn enough(time: Duration) -> String {
    if time.as_secs() < 60 { format!("{}s", time.as_secs() + 1) } else { format!("{}m", minutes(time)) }
}

/// Begun minutes.
fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_that_takes_too_long_is_refused_with_what_would_allow_it() {
        let text = "name = 'm'\n[[table]]\nname = 'a'\nold = 'o'\nnew = 'n'\nkey = [{ old = 'id', new = 'id' }]\n\
            [table.forth]\nx = 'old.x'\n[table.back]\nx = 'new.x'\n";
        let mapping = Mapping::of(text);
        let allowed = allowance(&usual()).unwrap();
        assert!(within(&mapping, Duration::from_secs(300), allowed).is_ok());
        let error = within(&mapping, Duration::from_secs(700), allowed).unwrap_err();
        assert!(error.to_string().contains("about 12 min (RTO), and 5 min are allowed"), "{error}");
        assert!(error.help().unwrap().contains("rto = \"18m\""), "{error:?}");
        assert!(allowance("soon").is_err());
        let error = within(&mapping, Duration::ZERO, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("about 0.1 s (RTO)"), "{error}");
    }
}

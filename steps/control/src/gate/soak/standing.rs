//! Where a window stands: which slot is due, what it waits for, what all of it comes to. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_core::journal::{TriggerAction, Triggered, Window};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::figures::{Figures, shown};

/// Where a window stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    /// A sample is due.
    Due {
        /// For this slot.
        slot: u64,
    },
    /// Nothing is due.
    Waits {
        /// Until then.
        again: Timestamp,
        /// Its end, while that is to come.
        end: Timestamp,
        /// Samples that it takes to pass.
        needed: u64,
        /// Slots in all.
        slots: u64,
    },
    /// A trigger fired that ends it.
    Fired(Triggered),
    /// It is over, and enough samples were taken.
    Over,
}

impl Standing {
    /// The trigger that ended the window, if one did.
    pub(super) fn fired(window: &Window) -> Option<Triggered> {
        window.triggered.iter().map(|(_, fired)| fired).find(|fired| fired.action != TriggerAction::Warn).cloned()
    }

    /// Where `window` stands at `now`.
    pub(super) fn of(window: &Window, now: Timestamp, length: Duration, every: Duration, coverage: f64) -> Self {
        let next = window.last_slot().map_or(0, |last| last + 1);
        let begins = |slot: u64| every.saturating_mul(u32::try_from(slot).unwrap_or(u32::MAX));
        let elapsed = elapsed(window, now, begins(next.saturating_sub(1)), begins(next));
        let slots = length.as_nanos().div_ceil(every.as_nanos().max(1)).max(1);
        let slots = u64::try_from(slots).unwrap_or(u64::MAX);
        let needed = (coverage / 100.0 * slots as f64).ceil().max(1.0) as u64;
        let enough = window.rounds.len() as u64 >= needed;
        if elapsed >= length && enough {
            return Self::Over;
        }
        let slot = u64::try_from(elapsed.as_nanos() / every.as_nanos().max(1)).unwrap_or(u64::MAX);
        // Behind the end there is a slot more for each that was missed.
        if slot >= next && (slot < slots || elapsed >= length) {
            return Self::Due { slot };
        }
        let at = |time: Duration| {
            let left = SignedDuration::try_from(time.saturating_sub(elapsed)).unwrap_or(SignedDuration::MAX);
            now.checked_add(left).unwrap_or(Timestamp::MAX)
        };
        let due = begins(next);
        let again = at(if elapsed < length && enough { due.min(length) } else { due });
        Self::Waits { again, end: at(length), needed, slots }
    }

    /// For people.
    pub(super) fn shown(&self, window: &Window) -> String {
        let taken = window.rounds.len();
        let last = match window.rounds.last() {
            None => "none yet".to_owned(),
            Some(round) if round.broke.is_empty() => "the last within bounds".to_owned(),
            Some(round) => {
                let why: Vec<String> = round.broke.iter().map(|(name, why)| format!("{name}: {why}")).collect();
                format!("the last broken by {}", why.join("; "))
            }
        };
        match self {
            Self::Waits { again, end, needed, slots } => {
                let missed = window.last_slot().map_or(0, |last| last + 1).saturating_sub(taken as u64);
                let missed = if missed == 0 { String::new() } else { format!(", {missed} missed") };
                format!(
                    "soaks until {end:.0}; {taken} of {slots} samples ({needed} needed){missed}, {last}; next at {again:.0}"
                )
            }
            _ => format!("{taken} samples, {last}"),
        }
    }
}

/// How much of the window is over. A clock that was set back since the last sample says nothing: the next slot has come
/// then, and from there on time is told by the sample that is taken in it.
fn elapsed(window: &Window, now: Timestamp, last: Duration, next: Duration) -> Duration {
    let since = |then: Timestamp| now.duration_since(then).max(SignedDuration::ZERO).unsigned_abs();
    match window.rounds.last() {
        Some(round) if now < round.at => next,
        Some(round) if round.at < window.opened => last.saturating_add(since(round.at)),
        _ => since(window.opened),
    }
}

/// A duration in short.
pub(super) fn time(time: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let millis = time.as_millis();
    match UNITS.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None => format!("{millis} ms"),
    }
}

/// What a whole window came to, by what was watched.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Summary {
    opened: Timestamp,
    ended: Option<Timestamp>,
    samples: usize,
    missed: u64,
    probes: BTreeMap<String, Watched>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Watched {
    figures: Option<Figures>,
    broke: usize,
}

impl Summary {
    /// "failed executions: p50 0 %, p95 1 % of 168 samples, 2 of them broke it".
    pub(super) fn line(&self, what: &str, unit: &str) -> Option<String> {
        let found = self.probes.get(what)?;
        let figures = found.figures.as_ref()?;
        let (p50, p95) = (shown(figures.p50, unit), shown(figures.p95, unit));
        let broke = if found.broke == 0 { String::new() } else { format!(", {} of them broke it", found.broke) };
        Some(format!("{what}: p50 {p50}, p95 {p95} of {} samples{broke}", figures.samples))
    }
}

pub(super) fn summary(window: &Window) -> Summary {
    let watched = |(i, name): (usize, &String)| {
        let readings: Vec<f64> = window.rounds.iter().filter_map(|round| round.reading(i)).collect();
        let broke = window.rounds.iter().filter(|round| round.broke.contains_key(name)).count();
        (name.clone(), Watched { figures: Figures::of(&readings), broke })
    };
    let samples = window.rounds.len();
    Summary {
        opened: window.opened,
        ended: window.rounds.last().map(|round| round.at),
        samples,
        missed: window.last_slot().map_or(0, |last| last + 1).saturating_sub(samples as u64),
        probes: window.spec.probes.iter().map(|probed| &probed.name).enumerate().map(watched).collect(),
    }
}

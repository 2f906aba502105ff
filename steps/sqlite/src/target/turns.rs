//! How long the database is left to others between two transactions of a step.
//!
//! Owns that arithmetic. A writer that finds the database locked does not queue for it: it looks again after 1, 2, 5, 10,
//! 15, 20, 25, 25, 25, 50, 50 and then always 100 ms (`sqliteDefaultBusyCallback` in SQLite's main.c, which every
//! `busy_timeout` installs). So a gap lets in for certain who came while the database was held when it is as long as the
//! pause that such a writer may be in at its end. In that gap it may find the database locked once more, by another of those
//! who waited: the next gap is long enough for who came before the last one.

use std::time::{Duration, Instant};

/// When it looks again, in milliseconds since it first found the database locked.
const LOOKS: [u64; 12] = [1, 3, 8, 18, 33, 53, 78, 103, 128, 178, 228, 328];

/// For a timer that is late.
const SPARE: Duration = Duration::from_millis(2);

/// Gaps between transactions that follow each other.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// How long the last transaction and its gap took.
    before: Duration,
}

impl Turns {
    /// The gap after a transaction that held the database for so long.
    pub(crate) fn after(&mut self, held: Duration) -> Duration {
        let gap = turn(self.before + held);
        self.before = held + gap;
        gap
    }

    /// Others had the database for longer than any gap.
    pub(crate) fn rested(&mut self) {
        self.before = Duration::ZERO;
    }
}

/// The same where nothing tells whether the next transaction follows at once.
#[derive(Debug, Default)]
pub(crate) struct Series {
    turns: Turns,
    ends: Option<Instant>,
}

/// Who came before such a time has had its turn.
const APART: Duration = Duration::from_millis(30);

impl Series {
    /// The gap after a transaction that ended now, having held the database for so long.
    pub(crate) fn after(&mut self, held: Duration) -> Duration {
        let now = Instant::now();
        if self.ends.is_none_or(|ends| now.saturating_duration_since(ends) > held + APART) {
            self.turns.rested();
        }
        let gap = self.turns.after(held);
        self.ends = Some(now + gap);
        gap
    }
}

/// The gap that lets in who came within the last so long.
fn turn(held: Duration) -> Duration {
    let mut before = 0;
    for look in LOOKS {
        if Duration::from_millis(look) >= held {
            return Duration::from_millis(look - before) + SPARE;
        }
        before = look;
    }
    Duration::from_millis(100) + SPARE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_misses_a_gap_looks_again_in_the_next() {
        for held in (0..400).map(|n| Duration::from_micros(n * 100)) {
            let mut turns = Turns::default();
            let gaps = [turns.after(held), turns.after(held)];
            let second = held + gaps[0] + held;
            for came in (0..100).map(|n| held * n / 100) {
                let looks = LOOKS.iter().map(|look| came + Duration::from_millis(*look));
                let mut inside = looks.filter(|look| (second..=second + gaps[1]).contains(look));
                assert!(inside.next().is_some(), "{held:?} {came:?} {gaps:?}");
            }
            turns.rested();
            assert_eq!(turns.after(held), gaps[0]);
        }
    }

    #[test]
    fn transactions_that_do_not_follow_each_other_are_no_series() {
        let held = Duration::from_millis(20);
        let mut series = Series::default();
        let first = series.after(held);
        assert!(series.after(held) > first);
        series.ends = Instant::now().checked_sub(held + APART * 2);
        assert_eq!(series.after(held), first);
    }

    #[test]
    fn whoever_came_meanwhile_looks_again_in_the_gap() {
        for held in (0..1000).map(|n| Duration::from_micros(n * 450)) {
            let gap = turn(held);
            for came in (0..100).map(|n| held * n / 100) {
                let waits = held - came;
                let later = |look: &u64| Duration::from_millis(*look) >= waits;
                let looks = LOOKS.iter().copied().find(later).unwrap_or_else(|| {
                    let over = u64::try_from(waits.as_millis()).unwrap() - 328;
                    328 + over.div_ceil(100) * 100
                });
                assert!(Duration::from_millis(looks) <= waits + gap, "{held:?} {came:?}");
            }
        }
    }
}

//! How long the database is left to others between two transactions of a step.
//!
//! Owns that arithmetic. A writer that finds the database locked does not queue for it: it looks again after 1, 2, 5, 10,
//! 15, 20, 25, 25, 25, 50, 50 and then always 100 ms (`sqliteDefaultBusyCallback` in SQLite's main.c, which every
//! `busy_timeout` installs). So a gap lets in for certain who came while the database was held when it is as long as the
//! pause that such a writer may be in at its end.

use std::time::Duration;

/// When it looks again, in milliseconds since it first found the database locked.
const LOOKS: [u64; 12] = [1, 3, 8, 18, 33, 53, 78, 103, 128, 178, 228, 328];

/// For a timer that is late.
const SPARE: Duration = Duration::from_millis(2);

/// The gap after a transaction that held the database for so long.
pub(crate) fn turn(held: Duration) -> Duration {
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

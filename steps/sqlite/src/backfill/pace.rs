//! How large a batch may be, how long it may take, and how long others have the database to themselves after it.
//!
//! Owns the arithmetic of batches (additive increase, multiplicative decrease) and of giving way. Looks at no clock but
//! for the limit of a batch.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use cutover_core::StepError;
use rusqlite::Connection;

use super::throttle::Throttle;
use crate::target::{Held, Turns};

/// The smallest batch that shrinking leads to.
const SMALLEST: u64 = 16;

/// The first batch: how long a row takes is not known yet.
const FIRST: u64 = 256;

/// For so long after the last sign of another writer, others have their turn after each batch.
const POLITE: Duration = Duration::from_secs(5);

/// How long they have it at first, when nobody knows yet whether there are any.
const LOOKING: Duration = Duration::from_millis(100);

/// A writer that found the database locked looks again after 100 ms at most (SQLite's own way of waiting): a pause
/// that lets any of them in.
const LISTEN: Duration = Duration::from_millis(105);

/// How long batches may follow each other before that pause.
const DEAF: Duration = Duration::from_secs(2);

/// Who else there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// No other process has the database open.
    Absent,
    /// They have it open, or nothing tells.
    Silent,
    /// They wrote since the last look.
    Writing,
}

/// What the next batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Rows at most.
    pub(crate) size: u64,
    /// Time after which it is given up.
    pub(crate) limit: Duration,
    /// Whether nobody else is there.
    pub(crate) alone: bool,
    /// Whether it is the first of this run.
    pub(crate) cold: bool,
}

/// The sizes of batches, and the pauses between them.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Rows of a batch at most.
    most: u64,
    hold: Duration,
    size: u64,
    /// Whether a batch never yet took long: then the next is twice as large.
    starting: bool,
    /// Whether the first batch is still to come: it reads the schema and fills caches besides, and says little of the next.
    cold: bool,
    /// For how long others are given way still.
    polite: Duration,
    others: Others,
    /// Time that batches took since others could get in for certain.
    deaf: Duration,
    turns: Turns,
}

impl Pace {
    pub(crate) fn new(most: u64, hold: Duration, others: Others) -> Self {
        let polite = if others == Others::Absent { Duration::ZERO } else { LOOKING };
        Self {
            most,
            hold,
            size: FIRST.min(most),
            starting: true,
            cold: true,
            polite,
            others,
            deaf: Duration::ZERO,
            turns: Turns::default(),
        }
    }

    /// The next batch.
    pub(crate) fn batch(&self, throttle: &Throttle, limit: Duration) -> Batch {
        let alone = self.others == Others::Absent && self.polite.is_zero();
        Batch { size: self.size(throttle), limit, alone, cold: self.cold }
    }

    /// Rows of the next batch.
    fn size(&self, throttle: &Throttle) -> u64 {
        let most = self.most.min(throttle.batch.unwrap_or(u64::MAX));
        // With a rate, ten batches a second.
        let most = throttle.rate.map_or(most, |rate| most.min((rate / 10).max(1)));
        self.size.min(most).max(1)
    }

    /// A batch of `rows` held the database for so long, and `others` are there. How long to wait before the next.
    ///
    /// What the disk takes at each commit does not shrink with the batch: where it takes more than half of the time that
    /// there is, the rows have the other half all the same. A slow disk would lead to the smallest batches else, each of
    /// which waits for it as long.
    pub(crate) fn after(&mut self, rows: u64, held: Held, others: Others, throttle: &Throttle) -> Duration {
        let hold = throttle.hold.map_or(self.hold, |hold| hold.min(self.hold));
        let size = self.size(throttle);
        let (work, held) = (held.whole.saturating_sub(held.commit), held.whole);
        let left = hold.saturating_sub(held.saturating_sub(work)).max(hold / 2);
        if std::mem::take(&mut self.cold) {
            // The next tells.
        } else if work > left {
            self.starting = false;
            self.size = (rows.min(self.size) / 2).max(SMALLEST.min(self.most));
        } else if rows >= self.size {
            self.starting &= work < left / 3;
            self.size = if self.starting { self.size * 2 } else { self.size + self.size / 16 + 1 }.min(self.most);
        }
        let before = std::mem::replace(&mut self.others, others);
        match others {
            Others::Writing => self.polite = POLITE,
            // Somebody came.
            Others::Silent if before == Others::Absent => self.polite = self.polite.max(LOOKING),
            Others::Silent | Others::Absent => {}
        }
        let rated = throttle.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(rows as f64 / rate.max(1) as f64).saturating_sub(held)
        });
        self.deaf += held;
        if !self.polite.is_zero() {
            self.deaf = Duration::ZERO;
            // A batch that is not full has come up with those who write: it ends sooner than they write again, or never.
            if rows < size {
                self.turns.rested();
            }
            let pause = self.turns.after(held).max(rated);
            self.polite = self.polite.saturating_sub(held + pause);
            pause
        } else if self.deaf > DEAF {
            self.deaf = Duration::ZERO;
            self.turns.rested();
            LISTEN.max(rated)
        } else {
            self.turns.rested();
            rated
        }
    }
}

/// Runs `work`, interrupted when it takes longer than `limit`.
pub(crate) fn timed<T>(
    conn: &Connection,
    limit: Duration,
    work: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let started = Instant::now();
    let interrupt = conn.get_interrupt_handle();
    let result = std::thread::scope(|scope| {
        let (done, watched) = mpsc::channel::<()>();
        scope.spawn(move || {
            if watched.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
        let result = work();
        drop(done);
        result
    });
    if started.elapsed() <= limit {
        return result;
    }
    Err(StepError::failed(format!("a batch took longer than {} s and was undone: review", limit.as_secs())).with_help(
        "an index behind `key` lets each batch start where the last one ended; else lower `batch` or raise `seconds`. \
         The same command goes on after the last complete batch",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_millis(25);

    /// The sizes and pauses of `count` batches where a row takes so many microseconds.
    fn run(pace: &mut Pace, count: usize, micros: u64, others: Others, throttle: &Throttle) -> Vec<(u64, Duration)> {
        (0..count)
            .map(|_| {
                let size = pace.size(throttle);
                let held = Held { whole: Duration::from_micros(size * micros), commit: Duration::ZERO };
                (size, pace.after(size, held, others, throttle))
            })
            .collect()
    }

    #[test]
    fn batches_grow_until_they_take_as_long_as_they_may_and_stay_about_there() {
        let mut pace = Pace::new(100_000, HOLD, Others::Silent);
        let sizes: Vec<u64> =
            run(&mut pace, 200, 5, Others::Silent, &Throttle::default()).iter().map(|b| b.0).collect();
        assert_eq!(sizes[..5], [256, 256, 512, 1024, 2048]);
        assert!(sizes.iter().all(|s| *s <= 5400), "{sizes:?}");
        assert!(sizes[20..].iter().all(|s| *s >= 2000), "{sizes:?}");
    }

    #[test]
    fn batches_are_no_larger_than_the_step_allows_and_no_smaller_than_helps() {
        let mut pace = Pace::new(900, HOLD, Others::Silent);
        assert!(run(&mut pace, 50, 1, Others::Silent, &Throttle::default()).iter().all(|b| b.0 <= 900));
        let slow = run(&mut pace, 50, 1_000_000, Others::Silent, &Throttle::default());
        assert_eq!(slow.last().map(|b| b.0), Some(SMALLEST));
        assert_eq!(
            run(&mut Pace::new(3, HOLD, Others::Silent), 2, 1_000_000, Others::Silent, &Throttle::default())[1].0,
            3
        );
    }

    #[test]
    fn a_first_batch_that_reads_the_schema_besides_keeps_no_later_one_small() {
        let mut pace = Pace::new(100_000, HOLD, Others::Silent);
        let slow = Held { whole: HOLD * 2, commit: Duration::ZERO };
        pace.after(256, slow, Others::Silent, &Throttle::default());
        let sizes: Vec<u64> = run(&mut pace, 4, 5, Others::Silent, &Throttle::default()).iter().map(|b| b.0).collect();
        assert_eq!(sizes, [256, 512, 1024, 2048]);
    }

    #[test]
    fn a_disk_that_takes_long_at_each_commit_makes_no_small_batches() {
        let mut pace = Pace::new(100_000, HOLD, Others::Silent);
        let commit = Duration::from_millis(40);
        let sizes: Vec<u64> = (0..100)
            .map(|_| {
                let size = pace.size(&Throttle::default());
                let whole = commit + Duration::from_micros(size * 5);
                pace.after(size, Held { whole, commit }, Others::Silent, &Throttle::default());
                size
            })
            .collect();
        assert!(sizes[60..].iter().all(|size| (1000..=2700).contains(size)), "{sizes:?}");
    }

    #[test]
    fn others_have_their_turn_while_they_write_and_a_pause_now_and_then_when_they_do_not() {
        let mut pace = Pace::new(100_000, HOLD, Others::Silent);
        let busy = run(&mut pace, 40, 5, Others::Writing, &Throttle::default());
        let mut turns = Turns::default();
        assert!(busy.iter().all(|(size, pause)| *pause == turns.after(Duration::from_micros(size * 5))), "{busy:?}");
        let alone = run(&mut pace, 700, 5, Others::Silent, &Throttle::default());
        let pauses: Vec<_> = alone[300..].iter().filter(|b| !b.1.is_zero()).collect();
        assert!((1..=5).contains(&pauses.len()) && pauses.iter().all(|b| b.1 == LISTEN), "{pauses:?}");
    }

    #[test]
    fn nobody_is_given_way_where_nobody_is() {
        let mut pace = Pace::new(100_000, HOLD, Others::Absent);
        assert!(pace.batch(&Throttle::default(), HOLD).alone);
        assert!(run(&mut pace, 20, 5, Others::Absent, &Throttle::default()).iter().all(|b| b.1.is_zero()));
        assert!(!run(&mut pace, 1, 5, Others::Silent, &Throttle::default())[0].1.is_zero(), "somebody came");
        let met = run(&mut pace, 2, 5, Others::Writing, &Throttle::default());
        assert!(met.iter().all(|b| !b.1.is_zero()) && !pace.batch(&Throttle::default(), HOLD).alone);
        // They may be of this process, which nothing tells.
        assert!(!run(&mut pace, 1, 5, Others::Absent, &Throttle::default())[0].1.is_zero());
    }

    #[test]
    fn a_rate_is_kept_by_small_batches_and_pauses() {
        let throttle = Throttle { rate: Some(1000), ..Throttle::default() };
        let mut pace = Pace::new(100_000, HOLD, Others::Silent);
        let batches = run(&mut pace, 50, 5, Others::Silent, &throttle);
        assert!(batches.iter().all(|b| b.0 <= 100), "{batches:?}");
        assert_eq!(batches[40], (100, Duration::from_micros(100_000 - 500)));
    }
}

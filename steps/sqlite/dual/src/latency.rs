//! How long things took, by where they were answered: histograms whose buckets double.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many buckets there are: bucket `i` has what took less than `2^i` microseconds and no less than half of that; the
/// last has all that took longer (a quarter of a second or more).
pub const BUCKETS: usize = 20;

/// What a bucket's times are below, in microseconds; none for the last.
pub fn upper_bound(bucket: usize) -> Option<u64> {
    (bucket + 1 < BUCKETS).then(|| 1 << bucket)
}

#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    longest: AtomicU64,
}

impl Histogram {
    pub(crate) fn count(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(BUCKETS).min(BUCKETS - 1);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        // Nearly always it was not the longest, and to look costs less than to write.
        if micros > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(micros, Ordering::Relaxed);
        }
    }

    pub(crate) fn seen(&self) -> Latencies {
        Latencies {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed)),
            longest: self.longest.load(Ordering::Relaxed),
        }
    }
}

/// Where a read or a write was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    New,
    Old,
    Fallback,
    Failed,
}

/// A histogram for each [`Answer`].
#[derive(Debug, Default)]
pub(crate) struct Histograms {
    new: Histogram,
    old: Histogram,
    fallback: Histogram,
    failed: Histogram,
}

impl Histograms {
    /// Counts what began then and was answered now.
    pub(crate) fn count(&self, answer: Answer, began: Instant) {
        let histogram = match answer {
            Answer::New => &self.new,
            Answer::Old => &self.old,
            Answer::Fallback => &self.fallback,
            Answer::Failed => &self.failed,
        };
        histogram.count(began.elapsed());
    }

    pub(crate) fn seen(&self) -> Times {
        Times { new: self.new.seen(), old: self.old.seen(), fallback: self.fallback.seen(), failed: self.failed.seen() }
    }
}

/// How long reads or writes took, by where they were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// By the new schema.
    pub new: Latencies,
    /// By the old one because the stage says so.
    pub old: Latencies,
    /// By the old one after the new one: the time of both.
    pub fallback: Latencies,
    /// Nowhere: the application was told of an error.
    pub failed: Latencies,
}

impl Times {
    /// The same by their names in the database.
    pub fn named(&self) -> [(&'static str, &Latencies); 4] {
        [("new", &self.new), ("old", &self.old), ("fallback", &self.fallback), ("failed", &self.failed)]
    }
}

/// How often something took how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latencies {
    /// How many fell into each bucket; see [`upper_bound`].
    pub buckets: [u64; BUCKETS],
    /// The longest, in microseconds.
    pub longest: u64,
}

impl Latencies {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// A time in microseconds that so many of a hundred were below: the bound of their bucket, or the longest of all.
    pub fn percentile(&self, of_hundred: u64) -> u64 {
        let wanted = (u128::from(self.count()) * u128::from(of_hundred)).div_ceil(100);
        let mut seen = 0_u64;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if u128::from(seen) >= wanted {
                return upper_bound(bucket).unwrap_or(self.longest).min(self.longest);
            }
        }
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_whose_bound_is_the_next_power_of_two() {
        let histogram = Histogram::default();
        for micros in [0, 1, 3, 4, 700, 10_000_000] {
            histogram.count(Duration::from_micros(micros));
        }
        let seen = histogram.seen();
        let filled: Vec<_> = (0..BUCKETS).filter(|i| seen.buckets[*i] > 0).map(upper_bound).collect();
        assert_eq!(filled, [Some(1), Some(2), Some(4), Some(8), Some(1024), None]);
        assert_eq!((seen.count(), seen.longest), (6, 10_000_000));
        assert_eq!((seen.percentile(50), seen.percentile(80), seen.percentile(100)), (4, 1024, 10_000_000));
    }
}

//! How many rows a batch of a contract, or of its way back, takes.
//!
//! Owns that number. What a row costs depends on its mapping and its size: where both ways are short expressions a
//! thousand rows take less time than a hundred whose mapping looks into other tables. Writers wait for a batch, so the
//! first ones are small.

use std::time::Duration;

use crate::parity::ROWS;

/// So long a batch may keep writers out.
const HOLD: Duration = Duration::from_millis(20);

/// The first batch: what a row costs is not known yet.
const FIRST: u64 = 100;

/// Smaller batches would do little but look at the schema.
const SMALLEST: u64 = 10;

/// The number of rows of the next batch.
#[derive(Debug)]
pub(super) struct Portion(u64);

impl Default for Portion {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Portion {
    pub(super) fn rows(&self) -> u64 {
        self.0
    }

    /// A batch of so many rows took so long.
    pub(super) fn after(&mut self, worked: Duration) {
        if worked > HOLD {
            self.0 = (self.0 / 2).max(SMALLEST);
        } else if worked < HOLD / 3 {
            self.0 = (self.0 * 2).min(ROWS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of batches where a row takes so many microseconds and a batch 2 ms besides.
    fn sizes(micros: u64) -> Vec<u64> {
        let mut portion = Portion::default();
        (0..12)
            .map(|_| {
                let rows = portion.rows();
                portion.after(Duration::from_micros(2_000 + rows * micros));
                rows
            })
            .collect()
    }

    #[test]
    fn batches_grow_while_rows_are_quick_and_shrink_where_they_are_not() {
        assert_eq!(sizes(1)[..5], [100, 200, 400, 800, 1000]);
        assert!(sizes(60).iter().all(|rows| *rows <= 200), "{:?}", sizes(60));
        let mut portion = Portion(ROWS);
        portion.after(HOLD * 4);
        assert_eq!(portion.rows(), 500);
    }
}

//! What all programs have counted, as it stands in the database: for those who look on.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result};

use crate::counters::COUNTERS_TABLE;
use crate::latency::{BUCKETS, Latencies, upper_bound};

/// The sums of all programs that have counted a mapping's reads and writes. What one has not written yet is not in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// By the counters' names, as [`crate::Counts::named`] has them, those that are not 0.
    pub counted: BTreeMap<String, u64>,
    /// How long what took: `reads.new` and the like; `reads` and `writes` of all kinds together, where a version before
    /// this one counted.
    pub times: BTreeMap<String, Latencies>,
}

impl Sums {
    /// Those of `mapping`; none where there is no table.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn of(conn: &Connection, mapping: &str) -> Result<Self> {
        let mut sums = Self::default();
        if !conn.table_exists(Some("main"), COUNTERS_TABLE)? {
            return Ok(sums);
        }
        let mut select =
            conn.prepare("SELECT counter, value FROM main._cutover_counters WHERE name = ?1 AND value > 0")?;
        let mut rows = select.query([mapping])?;
        while let Some(row) = rows.next()? {
            let (counter, value): (String, i64) = (row.get(0)?, row.get(1)?);
            sums.take(counter, value.unsigned_abs());
        }
        Ok(sums)
    }

    fn take(&mut self, counter: String, value: u64) {
        if let Some(what) = counter.strip_suffix(".longest-us") {
            self.times.entry(what.to_owned()).or_default().longest = value;
        } else if let Some((what, bound)) = counter.split_once(".below-us.") {
            // A bound that this version does not know is as good as none.
            let known = (0..BUCKETS).find(|bucket| upper_bound(*bucket).is_some_and(|at| bound == at.to_string()));
            let bucket = &mut self.times.entry(what.to_owned()).or_default().buckets[known.unwrap_or(BUCKETS - 1)];
            *bucket = bucket.saturating_add(value);
        } else {
            self.counted.insert(counter, value);
        }
    }
}

//! How much one batch of a contract, or of its way back, takes.
//!
//! Owns that bound. Writers wait for a batch, and what a row costs depends on its mapping, its size and its neighbours:
//! rows are taken a few at a time, until the batch's time is over.

use std::time::{Duration, Instant};

use cutover_core::StepError;
use rusqlite::Connection;

use crate::parity::{Range, Sides};

/// After so long no more rows are taken.
const HOLD: Duration = Duration::from_millis(12);

/// So many are taken at a time.
pub(super) const FEW: u64 = 100;

/// The time of a batch.
#[derive(Debug)]
pub(super) struct Portion(Instant);

impl Portion {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.elapsed() >= HOLD
    }

    /// Hands the ranges from `at` on to `each`, one at least. Returns the one that comes next; none: there is none.
    pub(super) fn through(
        &self,
        conn: &Connection,
        sides: &Sides,
        at: Option<Range>,
        mut each: impl FnMut(&Range) -> Result<(), StepError>,
    ) -> Result<Option<Range>, StepError> {
        let mut at = at.map_or_else(|| Range::first(conn, sides, FEW), Ok)?;
        loop {
            each(&at)?;
            match at.next(conn, sides, FEW)? {
                Some(next) if !self.is_over() => at = next,
                next => return Ok(next),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapping;

    const MAPPING: &str = "name = \"m\"\n[[table]]\nname = \"rows\"\nold = \"old\"\nnew = \"new\"\n\
        key = [{ old = \"id\", new = \"id\" }]\n[table.forth]\nv = \"old.v\"\n[table.back]\nv = \"new.v\"\n";

    const TABLES: &str = "
        CREATE TABLE old (id INTEGER PRIMARY KEY, v TEXT);
        CREATE TABLE new (id INTEGER PRIMARY KEY, v TEXT);
        CREATE TABLE _cutover_quarantine (pair TEXT, side TEXT, key TEXT, reason TEXT, row TEXT, at TEXT, PRIMARY KEY (pair, side, key));
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1050)
        INSERT INTO old SELECT i, 'v' || i FROM n;
        INSERT INTO new SELECT * FROM old;";

    /// How many ranges each batch has, whose time is `portion`'s, and how many rows all of them have.
    fn batches(portion: &Portion) -> (Vec<usize>, i64) {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(TABLES).unwrap();
        let sides = Sides::of(&conn, &Mapping::of(MAPPING).pairs[0]).unwrap();
        let (mut batches, mut rows, mut at) = (Vec::new(), 0, None);
        loop {
            let mut ranges = 0;
            let each = |range: &Range| {
                let part = range.part(&sides);
                let sql = format!("SELECT count(*) FROM old WHERE 1{}", part.old);
                rows +=
                    conn.query_row(&sql, rusqlite::params_from_iter(&part.values), |row| row.get::<_, i64>(0)).unwrap();
                ranges += 1;
                Ok(())
            };
            at = portion.through(&conn, &sides, at, each).unwrap();
            batches.push(ranges);
            if at.is_none() {
                return (batches, rows);
            }
        }
    }

    #[test]
    fn a_batch_goes_on_until_its_time_is_over_and_none_leaves_a_row_out() {
        let long_ago = Instant::now().checked_sub(HOLD).unwrap();
        assert_eq!(batches(&Portion(long_ago)), (vec![1; 11], 1050));
        let not_yet = Instant::now() + Duration::from_secs(3600);
        assert_eq!(batches(&Portion(not_yet)), (vec![11], 1050));
    }
}

//! A copy of a database's structure in memory, on which the steps to come are tried in their order.
//!
//! Owns the copy and how far it can be believed. It holds no row of the original: what a script does to rows is not seen.

use cutover_core::StepError;
use rusqlite::Connection;

use crate::sql::sqlite_error;
use crate::target::objects::{self, Objects};

/// The structure of a database as it will be when the next step's turn comes.
#[derive(Debug)]
pub(crate) struct Sketch {
    pub(crate) conn: Connection,
    /// Whether nothing came before that it could not follow.
    sure: bool,
    /// Objects that were looked at so far.
    looked: usize,
}

/// How many objects are looked at for one plan. A trial costs time for every object of the database, and `plan` is asked
/// often; a rehearsal tries every step all the same.
const MOST: usize = 200_000;

/// Steps of SQLite's machine after which a script is given up: it may wait for rows that are not in the copy.
const LONGEST: i32 = 20_000_000;

impl Sketch {
    /// The structure that `conn` sees, without what is ours.
    pub(crate) fn of(conn: &Connection, ledger: &str) -> Result<Self, StepError> {
        let doing = "while copying the structure";
        let mut copy = Connection::open_in_memory().map_err(|e| sqlite_error(e, doing))?;
        // There are no rows to refer to others, and a reversal runs without them.
        copy.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF")
            .map_err(|e| sqlite_error(e, doing))?;
        let _ = copy.progress_handler(LONGEST, Some(|| true));
        let mut sketch = Self { conn: copy, sure: true, looked: 0 };
        let mut found: Vec<(String, String)> = objects::of(conn, "main", ledger)?.into_iter().collect();
        // Tables first; what stands on others (views on views) in as many rounds as it takes.
        found.sort_by_key(|(name, _)| {
            ["table", "index", "view"].iter().position(|sort| name.starts_with(sort)).unwrap_or(3)
        });
        loop {
            let left: Vec<_> = found.iter().filter(|(name, sql)| !sketch.copied(name, sql)).cloned().collect();
            if left.is_empty() || left.len() == found.len() {
                sketch.sure = left.is_empty();
                return Ok(sketch);
            }
            found = left;
        }
    }

    fn copied(&self, name: &str, sql: &str) -> bool {
        let number = objects::NUMBERS.contains(&name);
        let sql = if number { format!("PRAGMA {name} = {sql}") } else { sql.to_owned() };
        self.conn.execute_batch(&sql).is_ok()
    }

    /// Whether what is missing in it will be missing.
    pub(crate) fn is_sure(&self) -> bool {
        self.sure
    }

    /// Something came that it could not follow.
    pub(crate) fn blur(&mut self) {
        self.sure = false;
    }

    /// Its objects; none when more was looked at than is worth it.
    pub(super) fn objects(&mut self) -> Result<Option<Objects>, StepError> {
        if self.looked > MOST {
            return Ok(None);
        }
        let found = objects::of(&self.conn, "main", "")?;
        self.looked += found.len() + 1;
        Ok(Some(found))
    }

    /// Whether a trial was given up for its cost just now, and not before.
    pub(super) fn gives_up(&mut self) -> bool {
        let now = self.looked > MOST && self.looked != usize::MAX;
        if now {
            self.looked = usize::MAX;
        }
        now
    }
}

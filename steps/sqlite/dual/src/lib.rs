//! For applications whose SQLite database is being moved from an old schema to a new one while they run.
//!
//! `cutover` keeps both schemas in step by triggers and says in one row of the database how far the migration has come.
//! An application that links this crate follows that row, without a new deployment for each stage: [`DualReader`] reads
//! the schema that the stage says and falls back to the old one where the new has nothing yet, [`DualWriter`] writes the
//! one that the stage says. Both count what they do in [`Counters`], which `cutover status` shows.
//!
//! | stage | read | written |
//! |---|---|---|
//! | [`Stage::OldOnly`], [`Stage::DualWrite`] | old | old |
//! | [`Stage::PreferNew`] | new, then old | new; old where the new one fails |
//! | [`Stage::NewOnly`], [`Stage::Contracted`], [`Stage::Retired`] | new | new |
//!
//! # What holds
//!
//! The stage is not remembered: each read and each write asks for it, in its own transaction. So a read is of one state of
//! the database, stage, new rows and old ones: while stages move, tables are filled, made and dropped, and all of it is
//! taken back, no read fails and none finds fewer rows than there are.
//!
//! # What it costs
//!
//! A read looks up the stage besides, which is one row or a few; one that falls back is two reads. A write costs a `BEGIN IMMEDIATE` and
//! one more read. `tests/bench/README.md` of the repository, "A dual schema", has the figures of one machine (`just bench-dual`).
//!
//! That is with plans kept ([`SQLITE_DBCONFIG_ENABLE_QPSG`][qpsg]), which reader and writer see to on the connections that they
//! are given, unless [`DualReader::keep_plans`] and [`DualWriter::keep_plans`] say otherwise. Without it, SQLite 3.54 plans a
//! statement anew each time that `prepare_cached` gives it out, where it compares a column with a parameter (3.53 did not):
//! that doubles what such a read costs, and again where it falls back.
//!
//! [qpsg]: rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG
//!
//! After a change of the schema a write has to be compiled again, with the triggers that keep both schemas in step: 5 to
//! 9 ms. [`DualWriter::write_compiled`] has it done before the transaction, while others can write.
//!
//! # An example
//!
//! ```
//! use std::sync::Arc;
//! use cutover_dual::{Counters, DualReader, DualWriter};
//! use rusqlite::Connection;
//!
//! # fn main() -> rusqlite::Result<()> {
//! # let conn = Connection::open_in_memory()?;
//! # conn.execute_batch("CREATE TABLE artifacts (id INTEGER PRIMARY KEY, content TEXT)")?;
//! let counters = Arc::new(Counters::default());
//! let reader = DualReader::new("consensus", counters.clone());
//! let writer = DualWriter::new("consensus", counters.clone());
//!
//! writer.write(
//!     &conn,
//!     |new| new.execute("INSERT INTO outputs (body) VALUES ('{}')", []),
//!     |old| old.execute("INSERT INTO artifacts (content) VALUES ('{}')", []),
//! )?;
//! let all = |conn: &Connection, sql: &str| -> rusqlite::Result<Vec<String>> {
//!     conn.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
//! };
//! let found = reader.read(
//!     &conn,
//!     |new| all(new, "SELECT body FROM outputs"),
//!     |old| all(old, "SELECT content FROM artifacts"),
//!     |found| !found.is_empty(),
//! )?;
//! assert_eq!(found, ["{}"]);
//! assert_eq!(counters.counts().reads_old, 1);
//! counters.flush(&conn, "consensus")?; // from time to time; a writer does it by itself
//! # Ok(())
//! # }
//! ```

mod ahead;
mod counters;
mod latency;
mod plans;
mod reader;
mod stage;
mod sums;
mod writer;

pub use ahead::Statements;
pub use counters::{COUNTERS_TABLE, Counters, Counts, create_counters};
pub use latency::{BUCKETS, Latencies, Times, upper_bound};
pub use reader::DualReader;
pub use stage::{STAGE_TABLE, Stage};
pub use sums::Sums;
pub use writer::DualWriter;

/// Compiles the example of the document.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/mapping.md")]
struct Mapping;

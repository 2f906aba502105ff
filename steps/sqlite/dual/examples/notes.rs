//! A program that goes on while its database is migrated: each second it writes a note and counts all, by the schema that
//! the stage of the mapping `notes` says.
//!
//! ```console
//! $ cargo run -p cutover-dual --example notes -- notes.db
//! old-only: 1 notes
//! old-only: 2 notes
//! ```
//!
//! Beside it, apply a plan with `sqlite.expand`, `sqlite.backfill` and `sqlite.cutover` whose mapping is this, and see the
//! stage go from `old-only` to `new-only`, and back with a rollback, while no count falls:
//!
//! ```toml
//! name = "notes"
//!
//! [[table]]
//! name = "notes"
//! old = "notes"
//! new = "remarks"          # CREATE TABLE remarks (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL);
//! key = [{ old = "id", new = "id" }]
//! forth = { text = "old.body" }
//! back = { body = "new.text" }
//! ```

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cutover_dual::{Counters, DualReader, DualWriter, Stage};
use rusqlite::Connection;

const OLD: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: notes FILE [SECONDS]")?;
    let seconds = args.next().map(|text| text.parse::<u64>()).transpose()?;
    let conn = Connection::open(&path)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    if Stage::of(&conn, "notes")? == Stage::OldOnly && !conn.table_exists(None, "notes")? {
        conn.execute_batch(OLD)?;
    }
    let counters = Arc::new(Counters::default());
    let (reader, writer) = (DualReader::new("notes", counters.clone()), DualWriter::new("notes", counters));
    let count = |conn: &Connection, sql: &str| conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
    for _ in 0..seconds.unwrap_or(u64::MAX) {
        writer.write(
            &conn,
            |new| new.execute("INSERT INTO remarks (text) VALUES ('hello')", []),
            |old| old.execute("INSERT INTO notes (body) VALUES ('hello')", []),
        )?;
        let notes: i64 = reader.read(
            &conn,
            |new| count(new, "SELECT count(*) FROM remarks"),
            |old| count(old, "SELECT count(*) FROM notes"),
            |found| *found > 0,
        )?;
        writeln!(std::io::stdout(), "{}: {notes} notes", Stage::of(&conn, "notes")?.name())?;
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

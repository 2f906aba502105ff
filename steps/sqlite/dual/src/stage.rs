//! The stage that a migration has come to: one row in the database.

use rusqlite::types::{Type, ValueRef};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, Rows};

/// The table with a row for each mapping: `name` and `stage`.
pub const STAGE_TABLE: &str = "_cutover_stage";

/// How far a migration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// There is no new schema, or nobody may know of it: there is no row.
    OldOnly,
    /// Both schemas are kept in step; the old one is read.
    DualWrite,
    /// The new one is read first, the old one where it has nothing.
    PreferNew,
    /// The old tables refuse writes.
    NewOnly,
    /// The old tables are gone, and can come back.
    Contracted,
    /// They cannot come back any more: nothing but this stage is left of the migration.
    Retired,
}

impl Stage {
    /// In their order.
    pub const ALL: [Self; 6] =
        [Self::OldOnly, Self::DualWrite, Self::PreferNew, Self::NewOnly, Self::Contracted, Self::Retired];

    /// Its name in the row.
    pub fn name(self) -> &'static str {
        match self {
            Self::OldOnly => "old-only",
            Self::DualWrite => "dual-write",
            Self::PreferNew => "prefer-new",
            Self::NewOnly => "new-only",
            Self::Contracted => "contracted",
            Self::Retired => "retired",
        }
    }

    /// The stage of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// The stage of `mapping` as `conn` sees it now; inside a transaction, as that sees it.
    ///
    /// # Errors
    /// Those of SQLite, and [`rusqlite::Error::InvalidColumnType`] where the row names a stage that this version of the
    /// crate does not know.
    pub fn of(conn: &Connection, mapping: &str) -> rusqlite::Result<Self> {
        Follow::new(mapping.to_owned()).at(conn, Ok)
    }

    fn named(name: &str) -> rusqlite::Result<Self> {
        Self::parse(name).ok_or_else(|| rusqlite::Error::InvalidColumnType(1, format!("stage `{name}`"), Type::Text))
    }
}

/// The stages of all mappings, and a row behind them. Without a parameter: SQLite prepares a statement with one anew each
/// time that it comes out of the cache of rusqlite, which costs more than these few rows.
const SELECT: &str = "SELECT name, stage FROM main._cutover_stage UNION ALL SELECT NULL, NULL";

/// The stage of a mapping, followed.
#[derive(Debug)]
pub(crate) struct Follow {
    mapping: String,
    /// There was no table when it was looked for last. Only decides what is tried first.
    absent: AtomicBool,
}

impl Follow {
    pub(crate) fn new(mapping: String) -> Self {
        Self { mapping, absent: AtomicBool::new(false) }
    }

    pub(crate) fn mapping(&self) -> &str {
        &self.mapping
    }

    /// Runs `work` at the stage. All that it reads is of the same state of the database as the stage: a statement that
    /// stands on a row keeps the connection's read transaction open, for less than BEGIN and COMMIT cost.
    pub(crate) fn at<T, E>(&self, conn: &Connection, work: impl FnOnce(Stage) -> Result<T, E>) -> Result<T, E>
    where
        E: From<rusqlite::Error>,
    {
        if !self.absent.load(Ordering::Relaxed) {
            match conn.prepare_cached(SELECT) {
                Ok(mut select) => {
                    let mut rows = select.query([])?;
                    match find(&mut rows, &self.mapping) {
                        Err(e) if is_absent(&e) => {}
                        stage => return work(stage?),
                    }
                }
                Err(e) if is_absent(&e) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // Nobody has begun, or it was all taken back: that, too, must hold until `work` has read.
        let mut version = conn.prepare_cached("PRAGMA main.schema_version")?;
        let mut held = version.query([])?;
        held.next()?;
        let absent = !conn.prepare_cached("PRAGMA main.table_info(_cutover_stage)")?.exists([])?;
        self.absent.store(absent, Ordering::Relaxed);
        let stage = if absent { Stage::OldOnly } else { find(&mut conn.prepare(SELECT)?.query([])?, &self.mapping)? };
        work(stage)
    }
}

/// The stage of `mapping`; `rows` stand on a row then.
fn find(rows: &mut Rows<'_>, mapping: &str) -> rusqlite::Result<Stage> {
    while let Some(row) = rows.next()? {
        match row.get_ref(0)? {
            ValueRef::Null => break,
            name if name.as_bytes()? == mapping.as_bytes() => return Stage::named(row.get_ref(1)?.as_str()?),
            _ => {}
        }
    }
    Ok(Stage::OldOnly)
}

/// The only name in the text that may be missing is the table.
fn is_absent(error: &rusqlite::Error) -> bool {
    error.to_string().contains("no such table")
}

//! The stage that a migration has come to: one row in the database.

use rusqlite::{Connection, OptionalExtension as _};

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
    /// The old tables are gone.
    Contracted,
}

impl Stage {
    /// In their order.
    pub const ALL: [Self; 5] = [Self::OldOnly, Self::DualWrite, Self::PreferNew, Self::NewOnly, Self::Contracted];

    /// Its name in the row.
    pub fn name(self) -> &'static str {
        match self {
            Self::OldOnly => "old-only",
            Self::DualWrite => "dual-write",
            Self::PreferNew => "prefer-new",
            Self::NewOnly => "new-only",
            Self::Contracted => "contracted",
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
        // The only name in the text that may be missing is the table: then nobody has begun.
        let mut select = match conn.prepare_cached("SELECT stage FROM main._cutover_stage WHERE name = ?1") {
            Err(e) if e.to_string().contains("no such table") => return Ok(Self::OldOnly),
            other => other?,
        };
        let found = select.query_row([mapping], |row| {
            let name = row.get_ref(0)?.as_str()?;
            Self::parse(name).ok_or_else(|| {
                rusqlite::Error::InvalidColumnType(0, format!("stage `{name}`"), rusqlite::types::Type::Text)
            })
        });
        match found.optional() {
            Ok(stage) => Ok(stage.unwrap_or(Self::OldOnly)),
            // It was dropped since the statement was made.
            Err(e) if e.to_string().contains("no such table") => Ok(Self::OldOnly),
            Err(e) => Err(e),
        }
    }
}

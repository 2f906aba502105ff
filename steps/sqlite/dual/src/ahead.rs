//! Statements that are compiled before the lock.
//!
//! Where triggers keep two schemas in step a write takes milliseconds to compile, once after each change of the schema.
//! SQLite does that when the statement is run, which inside `BEGIN IMMEDIATE` is while all other writers wait.

use rusqlite::{Connection, Result, StatementStatus};

use crate::stage::Stage;

/// What a write runs by `prepare_cached`, letter for letter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statements<'a> {
    /// Into the new schema.
    pub new: &'a [&'a str],
    /// Into the old one.
    pub old: &'a [&'a str],
}

/// Looks at the schema and at nothing else: it is compiled anew when another connection has changed the schema.
const WATCH: &str = "SELECT 1 FROM main.sqlite_schema LIMIT 0";

impl Statements<'_> {
    /// Those that a write may run at that stage.
    fn at(&self, stage: Stage) -> [&[&str]; 2] {
        match stage {
            Stage::OldOnly | Stage::DualWrite => [&[], self.old],
            Stage::PreferNew => [self.new, self.old],
            Stage::NewOnly | Stage::Contracted | Stage::Retired => [self.new, &[]],
        }
    }

    /// Compiles into the connection's cache what is to be run at that stage and is not in there, or of an earlier schema.
    /// What does not compile is for the write to find out.
    pub(crate) fn compile(&self, conn: &Connection, stage: Stage) -> Result<()> {
        let statements = self.at(stage);
        if statements.iter().all(|of| of.is_empty()) {
            return Ok(());
        }
        if has_moved(conn)? {
            // The cache gives out what it has as it is. Of what is left of it, this one is of the schema as it is now.
            conn.flush_prepared_statement_cache();
            has_moved(conn)?;
        }
        for sql in statements.into_iter().flatten() {
            let _ = conn.prepare_cached(sql);
        }
        Ok(())
    }
}

/// Whether another connection has changed the schema since this was asked by `conn` the last time.
fn has_moved(conn: &Connection) -> Result<bool> {
    let mut watch = conn.prepare_cached(WATCH)?;
    let first = watch.get_status(StatementStatus::Run) == 0;
    watch.query([])?.next()?;
    Ok(watch.reset_status(StatementStatus::RePrepare) > 0 || first)
}

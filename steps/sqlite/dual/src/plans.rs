//! Whether a connection keeps the plans of its statements.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Result};

/// What is asked of the connections of a reader or a writer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plans {
    pub(crate) kept: bool,
}

impl Default for Plans {
    fn default() -> Self {
        Self { kept: true }
    }
}

impl Plans {
    /// Asking is a call that takes no lock of the database's; setting it makes SQLite plan anew, once.
    pub(crate) fn keep(self, conn: &Connection) -> Result<()> {
        let stable = DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
        if self.kept && !conn.db_config(stable)? {
            conn.set_db_config(stable, true)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Counters, DualReader, DualWriter};

    fn read_and_written(keep: bool) -> rusqlite::Result<[bool; 2]> {
        let counters = Arc::new(Counters::default());
        let conn = Connection::open_in_memory()?;
        let reader = DualReader::new("m", counters.clone()).keep_plans(keep);
        reader.read(&conn, |_| Ok::<_, rusqlite::Error>(1), |_| Ok(1), |_| true)?;
        let other = Connection::open_in_memory()?;
        DualWriter::new("m", counters).keep_plans(keep).write(&other, |_| Ok::<_, rusqlite::Error>(1), |_| Ok(1))?;
        let kept = |conn: &Connection| conn.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG);
        Ok([kept(&conn)?, kept(&other)?])
    }

    #[test]
    fn connections_keep_their_plans_unless_told_otherwise() -> rusqlite::Result<()> {
        assert_eq!(read_and_written(true)?, [true, true]);
        assert_eq!(read_and_written(false)?, [false, false]);
        Ok(())
    }
}

//! How full a database file is: pages, and those of them that hold nothing.

use cutover_core::StepError;
use cutover_core::room::size;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::settings::Setting;
use crate::sql::sqlite_error;

/// Figures of a file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) page: u64,
    pub(super) pages: u64,
    pub(super) free: u64,
    /// none, full or incremental.
    pub(super) auto_vacuum: String,
}

impl Figures {
    pub(super) fn read(conn: &Connection) -> Result<Self, StepError> {
        let number = |name: &str| {
            conn.query_row(&format!("PRAGMA main.{name}"), [], |row| row.get::<_, i64>(0))
                .map(|n| u64::try_from(n).unwrap_or_default())
                .map_err(|e| sqlite_error(e, &format!("while reading `{name}`")))
        };
        Ok(Self {
            page: number("page_size")?,
            pages: number("page_count")?,
            free: number("freelist_count")?,
            auto_vacuum: Setting::AutoVacuum.read(conn)?,
        })
    }

    /// Free pages among all, in percent.
    pub(super) fn fragmentation(&self) -> f64 {
        if self.pages == 0 { 0.0 } else { self.free as f64 * 100.0 / self.pages as f64 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.page * self.pages
    }

    /// "4.2 % of 3.1 MiB".
    pub(super) fn shown(&self) -> String {
        format!("{:.1} % of {}", self.fragmentation(), size(self.bytes()))
    }
}

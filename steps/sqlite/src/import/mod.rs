//! Histories of other migration tools: a folder of SQL files told by its names and marks, and what a database has applied
//! of it by the tool's own table.
//!
//! Owns what each tool writes. Reads only; knows no plan and no journal: what becomes of a history is the caller's.

mod clean;
mod history;
mod layout;
mod replay;
mod sections;

use std::fmt;
use std::path::Path;

use cutover_core::{Receipt, StepError};

pub use history::{History, applied};
pub use replay::differences;

/// A tool whose histories are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// dbmate: `-- migrate:up` and `-- migrate:down` in one file.
    Dbmate,
    /// diesel: a folder with `up.sql` and `down.sql` each.
    Diesel,
    /// golang-migrate: `1_name.up.sql` and `1_name.down.sql`.
    GolangMigrate,
    /// goose: `-- +goose Up` and `-- +goose Down` in one file.
    Goose,
    /// refinery: `V1__name.sql`.
    Refinery,
    /// sqlx: `1_name.sql`, or the names of golang-migrate.
    Sqlx,
}

impl Tool {
    /// All of them, by name.
    pub const ALL: [Self; 6] =
        [Self::Dbmate, Self::Diesel, Self::GolangMigrate, Self::Goose, Self::Refinery, Self::Sqlx];

    /// Its name as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dbmate => "dbmate",
            Self::Diesel => "diesel",
            Self::GolangMigrate => "golang-migrate",
            Self::Goose => "goose",
            Self::Refinery => "refinery",
            Self::Sqlx => "sqlx",
        }
    }

    /// The table in which it keeps what it applied.
    pub fn table(self) -> &'static str {
        match self {
            Self::Dbmate | Self::GolangMigrate => "schema_migrations",
            Self::Diesel => "__diesel_schema_migrations",
            Self::Goose => "goose_db_version",
            Self::Refinery => "refinery_schema_history",
            Self::Sqlx => "_sqlx_migrations",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One migration of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its version as a number: what tells it from others, in files and in tables.
    pub version: u128,
    /// What it is called: `0001_users`.
    pub name: String,
    /// The file that it goes forward by, relative to the folder.
    pub file: String,
    /// What goes forward. A migration without a statement has one that does nothing.
    pub up: Script,
    /// What goes back, if there is any statement.
    pub down: Option<Script>,
    /// Why there is none: "has no down script".
    pub one_way: Option<String>,
    /// The mark by which its tool runs it in no transaction. A step has one all the same.
    pub untied: Option<&'static str>,
    /// The file as it is, for checksums.
    source: Vec<u8>,
}

/// SQL that a step can run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Its text; what was taken out is a comment.
    pub text: String,
    /// What was taken out, with its line in that text, and why.
    pub taken_out: Vec<TakenOut>,
}

/// A statement that a step's transaction has no place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOut {
    /// Its line.
    pub line: usize,
    /// The statement.
    pub statement: String,
    /// What that comes to.
    pub why: &'static str,
}

/// A folder of one tool's migrations, in the order in which they are applied.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Whose it is.
    pub tool: Tool,
    /// At least one.
    pub migrations: Vec<Migration>,
}

/// What a `sqlite.script` would have left in its receipt: its rollback then runs the down script.
pub fn receipt() -> Result<Receipt, StepError> {
    crate::script::taken_over()
}

impl Folder {
    /// Reads `dir`. Names and marks tell whose it is, unless `from` does; where they fit two tools, the tables of
    /// `database` do.
    pub fn read(dir: &Path, from: Option<Tool>, database: Option<&Path>) -> Result<Self, StepError> {
        let entries = layout::entries(dir)?;
        let tool = match from {
            Some(tool) => tool,
            None => layout::tool(dir, &entries, database)?,
        };
        layout::refuse_programs(&entries, Some(tool))?;
        let mut migrations = layout::migrations(dir, tool, &entries)?;
        migrations.sort_by(|a, b| (a.version, &a.name).cmp(&(b.version, &b.name)));
        if migrations.is_empty() {
            let message = format!("`{}` holds no migration that {tool} would run", dir.display());
            return Err(StepError::failed(message).with_help(layout::FORMS));
        }
        for pair in migrations.windows(2) {
            if let [a, b] = pair
                && a.version == b.version
            {
                let message = format!("`{}` and `{}` are of one version, {}", a.file, b.file, a.version);
                return Err(StepError::failed(message).with_help("give one of them another version"));
            }
        }
        Ok(Self { tool, migrations })
    }
}

//! What a database has applied, by the tool's own table.

use std::collections::BTreeSet;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;

use cutover_core::StepError;
use rusqlite::Connection;
use sha2::{Digest as _, Sha384};

use super::{Folder, Migration, Tool};
use crate::sql::{quote_ident, sqlite_error};
use crate::target::connect_reader;

/// What a database has applied of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Whether the tool's table is there.
    pub table: bool,
    /// The versions that are applied.
    pub versions: BTreeSet<u128>,
}

/// What one row of the tool's table says.
struct Row {
    version: u128,
    checksum: Option<Checksum>,
}

enum Checksum {
    Sha384(Vec<u8>),
    Sip(String),
}

/// What `database` has applied of `folder`. A history that was broken off, of other files than these, or of files that
/// changed since is refused.
pub fn applied(folder: &Folder, database: &Path) -> Result<History, StepError> {
    let conn = connect_reader(database)?;
    let tool = folder.tool;
    if !has_table(&conn, tool)? {
        return Ok(History::default());
    }
    let rows = match tool {
        Tool::GolangMigrate => golang_migrate(&conn, folder)?,
        Tool::Dbmate | Tool::Diesel => plain(&conn, tool)?,
        Tool::Goose => goose(&conn)?,
        Tool::Refinery => refinery(&conn)?,
        Tool::Sqlx => sqlx(&conn)?,
    };
    let mut versions = BTreeSet::new();
    for row in rows {
        let Some(migration) = folder.migrations.iter().find(|m| m.version == row.version) else {
            let message = format!("{tool} has applied version {}, and the folder has no such migration", row.version);
            return Err(StepError::conflict(message)
                .with_help("import the folder as it was when the database was migrated last; nothing was changed"));
        };
        if row.checksum.is_some_and(|sum| !sum.is_of(migration)) {
            let message =
                format!("`{}` is not as it was when {tool} applied it: its checksum is another one", migration.file);
            return Err(StepError::conflict(message).with_help(
                "put the file back as it was, and change the database by a new migration; nothing was changed",
            ));
        }
        versions.insert(row.version);
    }
    Ok(History { table: true, versions })
}

/// Whether the table of `tool`, in its shape, is in `database`.
pub(super) fn is_there(tool: Tool, database: &Path) -> Result<bool, StepError> {
    has_table(&connect_reader(database)?, tool)
}

fn has_table(conn: &Connection, tool: Tool) -> Result<bool, StepError> {
    // Two tools use one name; what tells them apart is the mark of a migration that was broken off.
    let shape = match tool {
        Tool::GolangMigrate => "SELECT count(*) = 1 FROM pragma_table_info(?1) WHERE name = 'dirty'",
        Tool::Dbmate => "SELECT count(*) = 1 AND max(name) = 'version' FROM pragma_table_info(?1)",
        _ => "SELECT count(*) > 0 FROM pragma_table_info(?1)",
    };
    conn.query_row(shape, [tool.table()], |row| row.get::<_, Option<bool>>(0))
        .map(|found| found == Some(true))
        .map_err(|e| sqlite_error(e, &reading(tool)))
}

fn reading(tool: Tool) -> String {
    format!("while reading `{}` of {tool}", tool.table())
}

fn query<T>(
    conn: &Connection,
    tool: Tool,
    columns: &str,
    mut read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StepError> {
    let sql = format!("SELECT {columns} FROM {} ORDER BY 1", quote_ident(tool.table()));
    let rows = || conn.prepare(&sql)?.query_map([], |row| read(row))?.collect::<rusqlite::Result<Vec<T>>>();
    let mut rows = rows;
    rows().map_err(|e| sqlite_error(e, &reading(tool)))
}

fn number(tool: Tool, text: &str) -> Result<u128, StepError> {
    text.trim().parse().map_err(|_| {
        StepError::conflict(format!("`{}` of {tool} holds the version `{text}`, which is no number", tool.table()))
            .with_help("take the row away if nothing was applied by it; nothing was changed")
    })
}

/// One row: the last version, and whether it was broken off.
fn golang_migrate(conn: &Connection, folder: &Folder) -> Result<Vec<Row>, StepError> {
    let tool = Tool::GolangMigrate;
    let rows = query(conn, tool, "version, dirty", |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)))?;
    let Some((last, dirty)) = rows.last().copied() else { return Ok(Vec::new()) };
    if dirty {
        let message = format!("version {last} is marked dirty: golang-migrate broke off in it");
        return Err(StepError::conflict(message).with_help(
            "put the database right by hand, then `migrate force VERSION` with the last one that is whole, and import again; \
             nothing was changed",
        ));
    }
    let Ok(last) = u128::try_from(last) else { return Ok(Vec::new()) };
    let mut rows: Vec<Row> = folder
        .migrations
        .iter()
        .map(|m| m.version)
        .filter(|v| *v <= last)
        .map(|v| Row { version: v, checksum: None })
        .collect();
    if rows.last().is_none_or(|row| row.version != last) {
        rows.push(Row { version: last, checksum: None });
    }
    Ok(rows)
}

fn plain(conn: &Connection, tool: Tool) -> Result<Vec<Row>, StepError> {
    let versions = query(conn, tool, "CAST(version AS TEXT)", |row| row.get::<_, String>(0))?;
    versions.iter().map(|text| Ok(Row { version: number(tool, text)?, checksum: None })).collect()
}

/// A row for each time that a migration was applied, or (from older ones) undone; the last one of a version counts.
fn goose(conn: &Connection) -> Result<Vec<Row>, StepError> {
    let rows = query(conn, Tool::Goose, "id, version_id, is_applied", |row| {
        Ok((row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
    })?;
    let mut applied = BTreeSet::new();
    for (version, is_applied) in rows {
        // Version 0 is the table's own.
        let Some(version) = u128::try_from(version).ok().filter(|v| *v > 0) else { continue };
        if is_applied {
            applied.insert(version);
        } else {
            applied.remove(&version);
        }
    }
    Ok(applied.into_iter().map(|version| Row { version, checksum: None }).collect())
}

fn refinery(conn: &Connection) -> Result<Vec<Row>, StepError> {
    let rows = query(conn, Tool::Refinery, "version, checksum", |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))
    })?;
    rows.into_iter()
        .map(|(version, sum)| {
            Ok(Row { version: number(Tool::Refinery, &version.to_string())?, checksum: sum.map(Checksum::Sip) })
        })
        .collect()
}

fn sqlx(conn: &Connection) -> Result<Vec<Row>, StepError> {
    let tool = Tool::Sqlx;
    let rows = query(conn, tool, "version, success, checksum", |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    rows.into_iter()
        .map(|(version, success, sum)| {
            if !success {
                let message = format!("version {version} is marked as failed: sqlx broke off in it");
                return Err(StepError::conflict(message).with_help(
                    "put the database right by hand, delete the row of that version, and import again; nothing was changed",
                ));
            }
            Ok(Row { version: number(tool, &version.to_string())?, checksum: Some(Checksum::Sha384(sum)) })
        })
        .collect()
}

impl Checksum {
    fn is_of(&self, migration: &Migration) -> bool {
        match self {
            Self::Sha384(sum) => Sha384::digest(&migration.source).as_slice() == sum,
            Self::Sip(sum) => [true, false].iter().any(|short| sip(migration, *short).is_some_and(|s| s == *sum)),
        }
    }
}

/// refinery's checksum: SipHash 1-3 of name, version and text. Its versions have 32 bits, or 64 where it is built so.
fn sip(migration: &Migration, short: bool) -> Option<String> {
    let (_, name) = migration.name.split_once("__")?;
    // With its keys at zero this is SipHash 1-3; should that ever change, every checksum is another one and is refused.
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    if short {
        i32::try_from(migration.version).ok()?.hash(&mut hasher);
    } else {
        i64::try_from(migration.version).ok()?.hash(&mut hasher);
    }
    std::str::from_utf8(&migration.source).ok()?.hash(&mut hasher);
    Some(hasher.finish().to_string())
}

//! One cell of one row given another value: for kinds of other crates that know what the cell means (a feature flag).
//!
//! Owns the change and its way back; the receipt holds the value before and the one that the table then had.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, MigrationStep, Receipt, Standing, StepContext,
    StepError, Use, Verdict, async_trait, fault::Faults,
};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SqliteTarget;
use crate::done;
use crate::sql::{quote_ident, sql_value, sqlite_error};
use crate::value::Exact;

/// Gives one cell of a row that is there another value.
#[derive(Debug, Clone)]
pub struct SqliteCell {
    target: String,
    cell: Cell,
}

/// Where the cell is and what it is to be.
#[derive(Debug, Clone)]
struct Cell {
    table: String,
    /// The column by which the row is known, and its value there.
    key: (String, SqlValue),
    /// The cell's column, and what it gets.
    value: (String, SqlValue),
}

/// What apply did; none of it where the cell was so already.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Made {
    /// None: NULL.
    before: Option<Exact>,
    /// As the table has it, after its affinity and its triggers.
    after: Option<Exact>,
}

impl SqliteCell {
    /// The failpoints of its change.
    pub const FAULTS: Faults = crate::target::CHANGED;

    /// The column of `value` in the row of `table` that is known by `key`. The step's target must be of kind `sqlite`.
    pub fn setting(
        table: &str,
        key: (&str, &Value),
        value: (&str, &Value),
        cx: &BuildContext<'_>,
    ) -> Result<Self, BuildError> {
        let exact = |field: &str, (column, value): (&str, &Value)| {
            let found = sql_value(value).ok_or_else(|| {
                BuildError::at(field, format!("`{value}` is a number that SQLite cannot hold exactly"))
                    .with_help("write it as a text, if the column may hold text")
            })?;
            Ok((column.to_owned(), found))
        };
        let cell = Cell { table: table.to_owned(), key: exact("flag", key)?, value: exact("value", value)? };
        Ok(Self { target: cx.target_of("sqlite")?, cell })
    }
}

impl Cell {
    /// The value of the cell, and whether it is what it is to be; none without such a table, column or row.
    fn look(&self, conn: &Connection) -> Result<Option<(Option<Exact>, bool)>, StepError> {
        let there = "SELECT count(*) = 2 FROM pragma_table_xinfo(?1) WHERE name = ?2 COLLATE NOCASE OR name = ?3 COLLATE NOCASE";
        let failed = |e| sqlite_error(e, &format!("reading a row of `{}`", self.table));
        let there: bool =
            conn.query_row(there, (&self.table, &self.key.0, &self.value.0), |row| row.get(0)).map_err(failed)?;
        if !there {
            return Ok(None);
        }
        let (table, key, value) = (quote_ident(&self.table), quote_ident(&self.key.0), quote_ident(&self.value.0));
        let sql = format!(
            "SELECT {value}, {value} IS ?1, (SELECT count(*) FROM {table} WHERE {key} IS ?2) FROM {table} WHERE {key} IS ?2"
        );
        let found = conn
            .query_row(&sql, (&self.value.1, &self.key.1), |row| {
                Ok((Exact::of(row.get_ref(0)?), row.get::<_, bool>(1)?, row.get::<_, i64>(2)?))
            })
            .optional()
            .map_err(failed)?;
        match found {
            Some((.., rows)) if rows > 1 => Err(StepError::conflict(format!("{rows} rows of {self}"))
                .with_help("make the row's key unique: only one of them can be meant")),
            found => Ok(found.map(|(value, so, _)| (value, so))),
        }
    }

    fn set(&self, conn: &Connection) -> Result<Receipt, StepError> {
        let absent = || {
            StepError::failed(format!("there is no {self}"))
                .with_help("insert it before (`sqlite.rows`), or name the columns that the table has")
        };
        let (before, so) = self.look(conn)?.ok_or_else(absent)?;
        if so {
            return Ok(Receipt::nothing());
        }
        self.write(conn, &self.value.1, None)?;
        let after = self.look(conn)?.and_then(|(value, _)| value);
        Ok(Receipt::of(&Made { before, after })?.with_rows(1))
    }

    /// Writes the cell; with `only` just where it is that. The number of rows.
    fn write(&self, conn: &Connection, value: &dyn rusqlite::ToSql, only: Option<&Made>) -> Result<usize, StepError> {
        let (table, key, column) = (quote_ident(&self.table), quote_ident(&self.key.0), quote_ident(&self.value.0));
        let sql = format!("UPDATE {table} SET {column} = ?1 WHERE {key} IS ?2");
        let failed = |e| sqlite_error(e, &format!("setting a value in `{}`", self.table));
        match only {
            None => conn.execute(&sql, (value, &self.key.1)).map_err(failed),
            Some(made) => {
                let sql = format!("{sql} AND {column} IS ?3");
                conn.execute(&sql, (value, &self.key.1, &made.after)).map_err(failed)
            }
        }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = crate::value::to_json(&self.key.1);
        write!(f, "`{}` in `{}` where `{}` is {key}", self.value.0, self.table, self.key.0)
    }
}

#[async_trait]
impl MigrationStep for SqliteCell {
    fn describe(&self) -> Vec<Change> {
        let value = crate::value::to_json(&self.cell.value.1);
        vec![Change::new(Action::Alter, self.cell.to_string().replace('`', "")).with_detail(format!("= {value}"))]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn transactional(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let cell = self.cell.clone();
        let look = move |conn: &Connection| match cell.look(conn) {
            Ok(Some((_, true))) => Ok(Standing::Applied),
            // A row that is not there may be made by a step before this one.
            Ok(_) => Ok(Standing::Pending),
            Err(error) => done::conflict_standing(error),
        };
        cx.target::<SqliteTarget>(&self.target)?.read(cx, look).await
    }

    /// It changes no structure.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let cell = self.cell.clone();
        target.change(cx, move |conn| cell.set(conn)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let cell = self.cell.clone();
        let look = move |conn: &Connection| {
            Ok(match cell.look(conn)? {
                Some((_, true)) => Verdict::Holds,
                Some((_, false)) => Verdict::Broken(vec![format!("{cell} has another value")]),
                None => Verdict::Broken(vec![format!("there is no {cell}")]),
            })
        };
        cx.target::<SqliteTarget>(&self.target)?.read(cx, look).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let (cell, notes) = (self.cell.clone(), cx.clone());
        target
            .reverse(cx, move |conn| {
                if receipt.body.is_null() || cell.look(conn)?.is_none() {
                    return Ok(());
                }
                let made: Made = receipt.read()?;
                if cell.write(conn, &made.before, Some(&made))? == 0 {
                    notes.note(&format!("{cell} was changed by somebody else since, and stays as it is"));
                }
                Ok(())
            })
            .await
    }
}

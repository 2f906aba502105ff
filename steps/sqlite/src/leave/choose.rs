//! Which rows leave: those that a rule wants to go, counted before a run, chosen in it, and looked at before the first
//! goes.
//!
//! Owns the questions to the database; `rule` owns their text.

use std::sync::Arc;

use cutover_core::{StepContext, StepError};
use rusqlite::types::Value;

use super::Leave;
use super::family::{Family, Shape};
use super::take::{Chosen, may_go};
use crate::SqliteTarget;
use crate::sql::{bind_vars, quote_ident, sqlite_error};
use crate::written::digest;

/// How many rows are chosen at a time.
pub(super) const ROUND: usize = 200_000;

impl Leave {
    /// How many rows of each table would go, without those that refer to them. It asks no clock: where ages are counted from
    /// when the step begins, it says how many rows there are.
    pub(crate) async fn foresee(&self, cx: &StepContext) -> Result<Vec<String>, StepError> {
        let (rules, vars) = (self.rules.clone(), cx.vars().clone());
        cx.target::<SqliteTarget>(&self.target)?
            .read_moment(cx, move |conn| {
                let mut lines = Vec::new();
                for rule in &rules {
                    // An earlier step may make the table, or the column.
                    let Ok(Some(shape)) = Shape::read(conn, &rule.table) else { continue };
                    let name = quote_ident(&shape.name);
                    let failed = |e| sqlite_error(e, &format!("while counting rows of `{}`", shape.name));
                    let all: i64 = conn
                        .query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0))
                        .map_err(failed)?;
                    if rule.asks_the_clock() {
                        lines.push(format!("{all} rows in {}; those {} when it begins go", shape.name, rule.words()));
                        continue;
                    }
                    let query = format!("SELECT count(*) FROM ({})", rule.query(&shape, 0, usize::MAX >> 1));
                    let Ok(mut statement) = conn.prepare(&query) else { continue };
                    if bind_vars(&mut statement, &vars).is_err() {
                        continue;
                    }
                    let mut rows = statement.raw_query();
                    let go: i64 = rows.next().and_then(|row| row.map_or(Ok(0), |row| row.get(0))).map_err(failed)?;
                    lines.push(format!("{go} of {all} rows of {} go: {}", shape.name, rule.words()));
                }
                Ok(lines)
            })
            .await
    }

    /// Rows that a rule wants to go, as they are now.
    pub(super) async fn choose(
        &self,
        cx: &StepContext,
        families: &Arc<Vec<Family>>,
        number: usize,
        at: i64,
    ) -> Result<Vec<Chosen>, StepError> {
        let (families, rule, vars) = (Arc::clone(families), self.rules.get(number).cloned(), cx.vars().clone());
        cx.target::<SqliteTarget>(&self.target)?
            .read_moment(cx, move |conn| {
                let (Some(rule), Some(family)) = (rule, families.get(number)) else { return Ok(Vec::new()) };
                let shape = &family.head()?.shape;
                let failed = |e| sqlite_error(e, &format!("while choosing rows of `{}`", shape.name));
                let mut statement = conn.prepare(&rule.query(shape, at, ROUND)).map_err(failed)?;
                bind_vars(&mut statement, &vars)?;
                let (columns, keys) = (shape.list.len(), shape.key.len());
                let mut rows = statement.raw_query();
                let mut chosen = Vec::new();
                while let Some(row) = rows.next().map_err(failed)? {
                    let key = (columns..columns + keys).map(|i| row.get(i)).collect::<rusqlite::Result<Vec<Value>>>();
                    chosen.push((key.map_err(failed)?, digest(row, 0..columns).map_err(failed)?));
                }
                Ok(chosen)
            })
            .await
    }

    /// Before the first batch: where rows of others refer to one that is to go, nothing goes.
    pub(super) async fn look_ahead(
        &self,
        cx: &StepContext,
        families: &Arc<Vec<Family>>,
        at: i64,
    ) -> Result<(), StepError> {
        for (number, _) in families.iter().enumerate().filter(|(_, family)| family.may_be_referred()) {
            let chosen = self.choose(cx, families, number, at).await?;
            let families = Arc::clone(families);
            cx.target::<SqliteTarget>(&self.target)?
                .read_moment(cx, move |conn| {
                    families.get(number).map_or(Ok(()), |family| may_go(conn, family, &chosen))
                })
                .await?;
        }
        Ok(())
    }
}

//! Assertions about what queries say: scalars, and how long a query takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cutover_core::{BuildError, StepError};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Statement};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::sql::{bind_vars, sql_value, sqlite_error};
use crate::value::to_json;
use crate::watched::Watched;

/// A query whose first value must be as expected.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Scalar {
    /// What it is called in messages.
    pub(super) name: String,
    /// The query; the plan's variables are bound as `:name`.
    pub(super) sql: String,
    /// The value that it must have.
    #[serde(default)]
    pub(super) equals: Option<Value>,
    /// It must be a number of at least this.
    #[serde(default)]
    pub(super) min: Option<f64>,
    /// It must be a number of at most this.
    #[serde(default)]
    pub(super) max: Option<f64>,
}

/// A query that must be fast.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Latency {
    /// What it is called in messages.
    pub(super) name: String,
    /// The query; the plan's variables are bound as `:name`.
    pub(super) sql: String,
    /// Milliseconds within which 95 of 100 runs must end.
    pub(super) p95_ms: f64,
    /// How many runs are measured, after a warm-up.
    #[serde(default = "default_runs")]
    #[schemars(range(min = 1))]
    pub(super) runs: u32,
}

fn default_runs() -> u32 {
    20
}

const WARM_UP: u32 = 3;

/// How long one run of a query may take.
pub(super) struct Limit<'a> {
    pub(super) watched: &'a Watched,
    pub(super) seconds: u64,
}

impl Limit<'_> {
    fn run<T>(&self, doing: &str, query: impl FnOnce() -> Result<T, StepError>) -> Result<T, StepError> {
        self.watched.limited(self.seconds, doing, query)
    }
}

impl Scalar {
    pub(super) fn check_config(&self, field: &str) -> Result<(), BuildError> {
        if self.equals.is_none() && self.min.is_none() && self.max.is_none() {
            return Err(BuildError::at(field, format!("scalar `{}` expects nothing", self.name))
                .with_help("add `equals`, `min` or `max`"));
        }
        Ok(())
    }

    /// What is expected, in words.
    pub(super) fn expected(&self) -> String {
        let mut words: Vec<String> = self.equals.iter().map(|v| format!("= {v}")).collect();
        words.extend(self.min.map(|min| format!(">= {min}")));
        words.extend(self.max.map(|max| format!("<= {max}")));
        words.join(" and ")
    }

    /// The difference, if there is one.
    pub(super) fn difference(
        &self,
        conn: &Connection,
        vars: &BTreeMap<String, Value>,
        limit: &Limit<'_>,
    ) -> Result<Option<String>, StepError> {
        let doing = format!("scalar `{}`", self.name);
        limit.run(&doing, || self.compare(conn, vars, &doing))
    }

    fn compare(
        &self,
        conn: &Connection,
        vars: &BTreeMap<String, Value>,
        doing: &str,
    ) -> Result<Option<String>, StepError> {
        let mut statement = prepared(conn, &self.sql, vars, doing)?;
        let mut rows = statement.raw_query();
        let found: SqlValue = match rows.next().map_err(|e| sqlite_error(e, doing))? {
            Some(row) => row.get(0).map_err(|e| sqlite_error(e, doing))?,
            None => return Ok(Some(format!("{doing}: expected {}, found no row", self.expected()))),
        };
        let number = match &found {
            SqlValue::Integer(i) => Some(*i as f64),
            SqlValue::Real(r) => Some(*r),
            _ => None,
        };
        let equal = self.equals.as_ref().is_none_or(|expected| match (sql_value(expected), &found) {
            (Some(SqlValue::Integer(a)), SqlValue::Real(b)) => a as f64 == *b,
            (Some(SqlValue::Real(a)), SqlValue::Integer(b)) => a == *b as f64,
            (expected, found) => expected.as_ref() == Some(found),
        });
        let within = self.min.is_none_or(|min| number.is_some_and(|n| n >= min))
            && self.max.is_none_or(|max| number.is_some_and(|n| n <= max));
        Ok((!equal || !within).then(|| format!("{doing}: expected {}, found {}", self.expected(), to_json(&found))))
    }
}

impl Latency {
    pub(super) fn check_config(&self, field: &str) -> Result<(), BuildError> {
        if self.runs == 0 {
            return Err(BuildError::at(format!("{field}.runs"), "`runs` is 0").with_help("give it at least 1"));
        }
        Ok(())
    }

    /// The 95th percentile of the runs, in milliseconds.
    pub(super) fn p95(
        &self,
        conn: &Connection,
        vars: &BTreeMap<String, Value>,
        limit: &Limit<'_>,
    ) -> Result<f64, StepError> {
        let doing = format!("latency `{}`", self.name);
        let mut statement = prepared(conn, &self.sql, vars, &doing)?;
        let mut times: Vec<Duration> = Vec::new();
        for run in 0..self.runs + WARM_UP {
            let took = limit.run(&doing, || {
                let started = Instant::now();
                let mut rows = statement.raw_query();
                while rows.next().map_err(|e| sqlite_error(e, &doing))?.is_some() {}
                Ok(started.elapsed())
            })?;
            if run >= WARM_UP {
                times.push(took);
            }
        }
        times.sort_unstable();
        let rank = (times.len() * 95).div_ceil(100).max(1);
        Ok(times.get(rank - 1).copied().unwrap_or_default().as_secs_f64() * 1000.0)
    }
}

fn prepared<'c>(
    conn: &'c Connection,
    sql: &str,
    vars: &BTreeMap<String, Value>,
    doing: &str,
) -> Result<Statement<'c>, StepError> {
    let mut statement = conn.prepare(sql).map_err(|e| sqlite_error(e, doing))?;
    if !statement.readonly() {
        return Err(StepError::failed(format!("{doing}: the query changes the database"))
            .with_help("a check only reads; use a SELECT"));
    }
    bind_vars(&mut statement, vars)?;
    Ok(statement)
}

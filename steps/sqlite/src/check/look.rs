//! All checks on one connection, every failure taken down.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::Connection;
use serde_json::Value;

use super::config::Baseline;
use super::health::Health;
use super::measure::Limit;
use super::{Check, Found};
use crate::watched::Watched;

/// What all checks found, lines for people, and all failures.
pub(super) struct Looked {
    pub(super) found: Found,
    pub(super) notes: Vec<String>,
    pub(super) failures: Vec<String>,
}

impl Check {
    /// Does every check; `before` is what a baseline recorded.
    pub(super) fn look_at(
        &self,
        conn: &Connection,
        vars: &BTreeMap<String, Value>,
        before: Option<&Health>,
        watched: &Watched,
    ) -> Result<Looked, StepError> {
        let limit = Limit { watched, seconds: self.seconds };
        let (mut found, mut notes, mut failures) = (Found::default(), Vec::new(), self.shape.differences(conn)?);
        for scalar in &self.scalars {
            failures.extend(scalar.difference(conn, vars, &limit).unwrap_or_else(|e| Some(e.chain())));
        }
        if !self.scope.is_empty() {
            let health = self.scope.take(conn, watched)?;
            if self.baseline == Baseline::Take {
                notes.extend(health.summary());
                found.health = Some(health);
            } else {
                failures.extend(health.introduced(before));
                notes.extend(before.iter().flat_map(|b| health.inherited(b)));
            }
        }
        for latency in &self.latency {
            match latency.p95(conn, vars, &limit) {
                Ok(ms) => {
                    if ms > latency.p95_ms {
                        failures.push(format!(
                            "latency `{}`: expected at most {} ms in 95 of 100 runs, found {ms:.1} ms",
                            latency.name, latency.p95_ms
                        ));
                    }
                    notes.push(format!("latency `{}`: {ms:.1} ms in 95 of 100 runs", latency.name));
                    found.p95_ms.insert(latency.name.clone(), (ms * 1000.0).round() / 1000.0);
                }
                Err(e) => failures.push(e.chain()),
            }
        }
        Ok(Looked { found, notes, failures })
    }
}

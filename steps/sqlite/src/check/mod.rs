//! The step kind `sqlite.check`: looks at a database and fails when it is not as the plan expects.
//!
//! Owns which checks there are and that all failures are reported at once. Never writes, not even a ledger row.

use std::collections::BTreeMap;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Finding, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepKind, Target as _, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use serde::{Deserialize, Serialize};

mod config;
mod health;
mod look;
mod measure;
mod shape;

use crate::SqliteTarget;
use crate::declared;
use crate::done;
use crate::watched::watched;
use config::{Baseline, CheckConfig};
use health::{Health, Scope};
use look::Looked;
use measure::{Latency, Scalar};
use shape::Shape;

/// Checks a database.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    target: String,
    shape: Shape,
    scope: Scope,
    baseline: Baseline,
    scalars: Vec<Scalar>,
    latency: Vec<Latency>,
    seconds: u64,
    any_of: Vec<Vec<String>>,
}

/// What was found; `health` only when a baseline was taken.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Found {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    p95_ms: BTreeMap<String, f64>,
}

register_step!(Check);

impl StepKind for Check {
    const KIND: &'static str = "sqlite.check";
    const SUMMARY: &'static str = "check schema, values, integrity and speed, without writing";
    const EXAMPLE: &'static str = "id = \"schema-is-there\"\nuse = \"sqlite.check\"\ntarget = \"tier1\"\n\
        with = { tables = { conversations = [\"conversation_id\"] }, integrity = true }\n";
    const FAULTS: Faults = Faults { apply: &[fault::CHECK_LOOKED], rollback: &[] };
    type Config = CheckConfig;

    fn build(config: CheckConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let schema = match &config.schema {
            Some(path) => declared::from_config(cx, Some(path), &[])
                .map_err(|e| BuildError { field: "schema".to_owned(), ..e })?,
            None => Vec::new(),
        };
        let scope = Scope { integrity: config.integrity, foreign_keys: config.foreign_keys, fts: config.fts.clone() };
        let baseline = config.judged(&scope)?;
        let shape = Shape::new(config.tables, config.indexes, schema)?;
        let check = Self {
            target,
            shape,
            scope,
            baseline,
            scalars: config.scalars,
            latency: config.latency,
            seconds: config.seconds,
            any_of: config.any_of,
        };
        if check.describe().is_empty() {
            return Err(BuildError::at("", "nothing is checked")
                .with_help("add `tables`, `scalars`, `integrity` or another check"));
        }
        Ok(check)
    }
}

impl Check {
    /// Which schema the database has, when the plan knows only some: the conflict, if it is none of these.
    async fn unknown_schema(&self, cx: &StepContext) -> Result<Option<StepError>, StepError> {
        if self.any_of.is_empty() {
            return Ok(None);
        }
        let target = cx.target::<SqliteTarget>(&self.target)?;
        for facts in &self.any_of {
            let mut all = true;
            for fact in facts {
                all = all && target.holds(cx, fact).await?;
            }
            if all {
                return Ok(None);
            }
        }
        let tables = target.read(cx, declared::tables).await?;
        let there =
            if tables.is_empty() { "no tables".to_owned() } else { format!("the tables {}", tables.join(", ")) };
        let known: Vec<String> = self.any_of.iter().map(|facts| facts.join(" + ")).collect();
        Ok(Some(
            StepError::conflict(format!(
                "`{}` has a schema this plan does not know: it has {there}; the plan knows {}",
                target.path().display(),
                known.join(", or ")
            ))
            .with_help(format!(
                "choose the plan made for this schema, or name the right file with `--bind {}=PATH`",
                self.target
            )),
        ))
    }

    /// Does every check. None: a stop cut it short.
    async fn look(&self, cx: &StepContext) -> Result<Option<Looked>, StepError> {
        let before = match &self.baseline {
            Baseline::Since(step) => Some(self.baseline_of(cx, step).await?),
            Baseline::None | Baseline::Take => None,
        };
        let (check, inner) = (self.clone(), cx.clone());
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| watched(&inner, conn, |w| check.look_at(conn, inner.vars(), before.as_ref(), w)))
            .await
    }

    async fn baseline_of(&self, cx: &StepContext, step: &str) -> Result<Health, StepError> {
        let missing = || {
            StepError::failed(format!("step `{step}` has recorded no baseline"))
                .with_help("name an earlier `sqlite.check` step with `take-baseline = true`, and run it first")
        };
        let receipt = cx.receipt_of(step).await?.ok_or_else(missing)?;
        done::body::<Found>(&receipt)?.health.ok_or_else(missing)
    }
}

#[async_trait]
impl MigrationStep for Check {
    fn describe(&self) -> Vec<Change> {
        let mut lines = Vec::new();
        let mut line = |object: String, detail: Option<String>| {
            let change = Change::new(Action::Check, object);
            lines.push(match detail {
                Some(detail) => change.with_detail(detail),
                None => change,
            });
        };
        if !self.any_of.is_empty() {
            let known: Vec<String> = self.any_of.iter().map(|facts| facts.join(" + ")).collect();
            line("schema known to the plan".to_owned(), Some(known.join(", or ")));
        }
        for (table, columns) in &self.shape.tables {
            line(format!("table {table}"), (!columns.is_empty()).then(|| format!("has {}", columns.join(", "))));
        }
        self.shape.indexes.iter().for_each(|index| line(format!("index {index}"), None));
        self.shape.defined().for_each(|object| line(object, Some("as defined".to_owned())));
        self.scalars.iter().for_each(|s| line(format!("scalar {}", s.name), Some(s.expected())));
        let compared = match &self.baseline {
            Baseline::None => None,
            Baseline::Take => Some("recorded as baseline".to_owned()),
            Baseline::Since(step) => Some(format!("nothing new since `{step}`")),
        };
        if self.scope.integrity {
            line("integrity".to_owned(), compared.clone());
        }
        if self.scope.foreign_keys {
            line("foreign keys".to_owned(), compared.clone());
        }
        self.scope.fts.iter().for_each(|table| line(format!("full-text table {table}"), compared.clone()));
        for l in &self.latency {
            line(
                format!("latency {}", l.name),
                Some(format!("95 of 100 runs within {} ms ({} runs)", l.p95_ms, l.runs)),
            );
        }
        lines
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::read(&self.target)]
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        match self.unknown_schema(cx).await? {
            Some(conflict) => done::conflict_standing(conflict),
            None => Ok(Standing::Unknown),
        }
    }

    /// It changes no structure.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        if let Some(conflict) = self.unknown_schema(cx).await? {
            return Err(conflict);
        }
        let Some(Looked { found, notes, failures }) = self.look(cx).await? else {
            return Ok(Applied::Stopped(Checkpoint { at: "the check begins anew".to_owned() }));
        };
        fault::point(fault::CHECK_LOOKED);
        if failures.is_empty() {
            return Ok(Applied::Changed(Receipt { notes, ..Receipt::of(&found)? }));
        }
        let count =
            if failures.len() == 1 { "a check fails".to_owned() } else { format!("{} checks fail", failures.len()) };
        Err(StepError::failed(format!("{count}: {}", failures.join("; ")))
            .with_help("mend what is found, or declare what is expected instead, then run the same command again"))
    }

    /// Everything but `any-of` is checked again: that one is about what the plan starts from.
    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        match self.look(cx).await? {
            Some(looked) => Ok(done::verdict(looked.failures)),
            None => Err(StepError::failed("the check was stopped").with_help("run the same command again")),
        }
    }

    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

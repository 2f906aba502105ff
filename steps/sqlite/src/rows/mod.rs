//! The step kind `sqlite.rows`: inserts the declared rows whose key is not there yet.
//!
//! Owns which rows are ours: the receipt holds the digests of what was inserted, and rollback deletes only what is
//! still the same. What a cell may be is `seed`'s.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

mod made;
mod seed;
mod table;

use crate::SqliteTarget;
use crate::done;
use crate::value::to_json;
use made::Made;
use seed::{Cell, Seed};
use table::Seeds;

/// Inserts rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    target: String,
    seeds: Seeds,
    source: Option<Vec<u8>>,
}

/// Configuration of `sqlite.rows`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowsConfig {
    /// The table.
    table: String,
    /// The columns by which a row is known.
    key: Vec<String>,
    /// The rows: a value for each column, or `{ sql = "SELECT ..." }`, evaluated in the database with the plan's
    /// variables bound. Lists and tables are stored as JSON text.
    #[serde(default)]
    rows: Vec<BTreeMap<String, Value>>,
    /// A JSON file with an array of such rows, relative to the plan, in place of `rows`.
    #[serde(default)]
    file: Option<String>,
}

register_step!(Rows);

impl StepKind for Rows {
    const KIND: &'static str = "sqlite.rows";
    const SUMMARY: &'static str = "insert rows whose key is not there yet";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"register-plugins\"\nuse = \"sqlite.rows\"\ntarget = \"tier1\"\n\
        with = { table = \"plugins\", key = [\"plugin_id\"], rows = [{ plugin_id = \"cleanup\", name = \"Cleanup\" }] }\n";
    const FAULTS: Faults = crate::target::CHANGED;
    type Config = RowsConfig;

    fn build(config: RowsConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        if config.key.is_empty() {
            return Err(
                BuildError::at("key", "no key is declared").with_help("name the columns by which a row is known")
            );
        }
        let mut source = None;
        let (field, rows) = match (&config.file, config.rows.as_slice()) {
            (Some(path), []) => {
                let text = cx.read_text("file", path)?;
                let rows = serde_json::from_str(&text).map_err(|e| {
                    BuildError::at("file", format!("`{path}`: {e}"))
                        .with_help("the file holds an array of JSON objects")
                })?;
                source = Some(text.into_bytes());
                ("file", rows)
            }
            (None, [_, ..]) => ("rows", config.rows),
            (Some(_), _) => {
                return Err(BuildError::at("file", "`rows` and `file` are both given").with_help("keep one of them"));
            }
            (None, []) => return Err(BuildError::at("rows", "no row is declared").with_help("add `rows` or `file`")),
        };
        let mut seeds: Vec<Seed> = Vec::new();
        let mut keys = BTreeSet::new();
        for (i, row) in rows.iter().enumerate() {
            let field = format!("{field}[{i}]");
            let one = Seed::parse(&field, row, &config.key)?;
            let constant = |k: &String| match one.cells.get(k) {
                Some(Cell::Constant(value)) => Some(format!("{value:?}")),
                _ => None,
            };
            let key: Option<Vec<String>> = config.key.iter().map(constant).collect();
            if key.is_some_and(|key| !keys.insert(key)) {
                return Err(BuildError::at(field, "two rows have the same key"));
            }
            seeds.push(one);
        }
        Ok(Self { target, seeds: Seeds { table: config.table, key: config.key, rows: seeds }, source })
    }
}

#[async_trait]
impl MigrationStep for Rows {
    fn describe(&self) -> Vec<Change> {
        let line = |row: &Seed| {
            let cell = |k: &String| match row.cells.get(k) {
                Some(Cell::Constant(value)) => format!("{k} = {}", to_json(value)),
                Some(Cell::Query(query)) => format!("{k} = ({query})"),
                None => k.clone(),
            };
            let key: Vec<String> = self.seeds.key.iter().map(cell).collect();
            let rest: Vec<&str> =
                row.cells.keys().filter(|c| !self.seeds.key.contains(c)).map(String::as_str).collect();
            let change = Change::new(Action::Create, format!("row {} ({})", self.seeds.table, key.join(", ")));
            if rest.is_empty() { change } else { change.with_detail(format!("with {}", rest.join(", "))) }
        };
        self.seeds.rows.iter().map(line).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn transactional(&self) -> Option<&str> {
        Some(&self.target)
    }

    fn checksum_source(&self) -> Option<Vec<u8>> {
        self.source.clone()
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let (seeds, vars) = (self.seeds.clone(), cx.vars().clone());
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let all = seeds.rows.len();
                let there = seeds.present(conn, &vars)?.unwrap_or(0);
                Ok(done::standing(all - there, all, || format!("{there} of {all} rows are there")))
            })
            .await
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
        let (seeds, vars) = (self.seeds.clone(), cx.vars().clone());
        target.change(cx, move |conn| seeds.insert(conn, &vars)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let receipt = target.done(cx).await?.unwrap_or_default();
        let ours = done::body::<Made>(&receipt)?.rows.into_iter().map(|row| row.key).collect();
        let (seeds, vars) = (self.seeds.clone(), cx.vars().clone());
        target.read(cx, move |conn| seeds.differences(conn, &vars, &ours).map(done::verdict)).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let made: Made = done::body(&receipt)?;
        let notes = cx.clone();
        target
            .reverse(cx, move |conn| {
                made.remove(conn)?.iter().for_each(|line| notes.note(line));
                Ok(())
            })
            .await
    }
}

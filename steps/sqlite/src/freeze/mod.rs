//! The step kinds `sqlite.freeze` and `sqlite.thaw`: nobody else writes from the one to the other, and everybody reads.
//!
//! Owns what each is asked to do and what it waits for. What a freeze is made of is the target's (`target/frozen`), as
//! is who renews its lease.

mod thaw;

use std::time::{Duration, Instant};

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, Finding, Layer, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepErrorKind, StepKind, Target as _, Use, Verdict, async_trait, closest, duration,
    fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SqliteTarget;
use crate::done;
use crate::sql::sqlite_error;
use crate::target::frozen;

/// Between two looks at the operator's wishes while it waits for a writer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Keeps others from writing.
#[derive(Debug, Clone)]
pub(crate) struct FreezeStep {
    target: String,
    lease: Duration,
    wait: Duration,
    leave: Vec<String>,
}

/// Configuration of `sqlite.freeze`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreezeConfig {
    /// How long the freeze outlives the run: it is renewed as long as the run works, and ends by itself this long after a
    /// run that died ("5s" or more).
    #[serde(default = "thirty")]
    lease: String,
    /// How long it waits for transactions of others that are under way.
    #[serde(default = "thirty")]
    wait: String,
    /// Virtual tables (full text, R-trees) that nobody writes but by the triggers of a plain table. They can have no
    /// triggers of their own, so a freeze refuses any that is not named here.
    #[serde(default)]
    leave: Vec<String>,
}

fn thirty() -> String {
    "30s".to_owned()
}

/// What apply made: the freeze itself is in the database.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Frozen {
    tables: usize,
}

register_step!(FreezeStep);

impl StepKind for FreezeStep {
    const KIND: &'static str = "sqlite.freeze";
    const SUMMARY: &'static str = "keep everybody else from writing until the thaw; reading goes on";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"freeze-tier1\"\nuse = \"sqlite.freeze\"\ntarget = \"tier1\"\n\
        with = { lease = \"30s\", wait = \"30s\" }\n";
    const TUNING: &'static [&'static str] = &["lease", "wait"];
    /// A run that goes back finds the freeze over (its own, or that of the run before): only a run that fails between
    /// freeze and thaw undoes it.
    const FAULTS: Faults = Faults { rollback: &[], ..crate::target::CHANGED };
    type Config = FreezeConfig;

    fn build(config: FreezeConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let lease = time("lease", &config.lease)?;
        if lease < Duration::from_secs(5) {
            return Err(BuildError::at("lease", format!("`{}` is too short to be renewed in time", config.lease))
                .with_help("write \"5s\" or more"));
        }
        Ok(Self { target: cx.target_of("sqlite")?, lease, wait: time("wait", &config.wait)?, leave: config.leave })
    }
}

fn time(field: &str, text: &str) -> Result<Duration, BuildError> {
    duration::parse(text).ok_or_else(|| {
        BuildError::at(field, format!("`{text}` is no duration"))
            .with_help("write a whole number and a unit: \"500ms\", \"60s\", \"5m\" or \"2h\"")
    })
}

impl FreezeStep {
    /// One try; the receipt says how many tables others cannot write.
    async fn freeze(&self, cx: &StepContext, target: &SqliteTarget, patience: Duration) -> Result<Receipt, StepError> {
        let (ledger, step, lease, leave) =
            (target.ledger_name().to_owned(), cx.info().clone(), self.lease, self.leave.clone());
        let now = cx.now().as_millisecond();
        target
            .change_within(cx, patience, move |conn| {
                if let Some(other) = frozen::read(conn)? {
                    return Err(StepError::conflict(format!("step `{}` has frozen it already", other.step))
                        .with_help("one freeze of a database at a time: thaw it first, or leave this step out"));
                }
                if let Some(text) = not_virtual(conn, &leave)? {
                    return Err(StepError::conflict(text).with_help(ONLY_VIRTUAL));
                }
                let open = frozen::virtual_tables(conn, &ledger, &leave)?;
                let absent = absent(conn, &leave, &open)?;
                if let Some(text) = open_to_others(&open) {
                    let help = absent.iter().find_map(Absent::meant).unwrap_or(LEAVE.to_owned());
                    return Err(StepError::conflict(text).with_help(help));
                }
                if let Some(name) = absent.iter().find(|name| name.near.is_some()) {
                    let text = format!("`leave` names `{}`, which is not there", name.name);
                    return Err(StepError::conflict(text).with_help(name.meant().unwrap_or_default()));
                }
                frozen::install(conn, &ledger, &step, lease, now)?;
                let tables = frozen::covered(conn)?;
                let receipt = Receipt::of(&Frozen { tables })?
                    .with_note(format!("nobody else writes: {tables} tables are frozen, for reading all are open"));
                Ok(absent.iter().fold(receipt, |receipt, name| {
                    receipt.with_note(format!("`leave` names `{}`, which is not there", name.name))
                }))
            })
            .await
    }
}

const LEAVE: &str = "name it in `leave` if only triggers of plain tables write it; else stop the programs that do";

const ONLY_VIRTUAL: &str = "take the name out of `leave`: only virtual tables can be left out of a freeze";

fn open_to_others(tables: &[String]) -> Option<String> {
    if tables.is_empty() {
        return None;
    }
    Some(format!("virtual tables cannot be frozen: {}", listed(tables)))
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What `leave` names that is there and is no virtual table: it would be frozen all the same.
fn not_virtual(conn: &Connection, leave: &[String]) -> Result<Option<String>, StepError> {
    let there = relations(conn)?;
    let others = leave.iter().filter_map(|name| {
        let (name, kind) = there.iter().find(|(there, _)| there.eq_ignore_ascii_case(name))?;
        let what = match kind.as_str() {
            "virtual" => return None,
            "view" => "a view",
            "shadow" => "the inner table of a virtual one",
            _ => "an ordinary table",
        };
        Some(format!("`{name}` is {what}"))
    });
    let found: Vec<String> = others.collect();
    Ok((!found.is_empty()).then(|| format!("`leave` names what is no virtual table: {}", found.join(", "))))
}

/// What `leave` names that is not there: a plan may be for databases of several shapes, so this alone is no mistake.
struct Absent {
    name: String,
    /// A name that is there and that nothing in `leave` says.
    near: Option<String>,
    /// Whether that one is a virtual table.
    is_virtual: bool,
}

impl Absent {
    fn meant(&self) -> Option<String> {
        let near = self.near.as_ref()?;
        Some(match self.is_virtual {
            true => format!("`leave` names `{}`, which is not there: did you mean `{near}`?", self.name),
            false => format!(
                "did you mean `{near}`? That is no virtual table: it is frozen whatever `leave` says. Else take the name out"
            ),
        })
    }
}

fn absent(conn: &Connection, leave: &[String], open: &[String]) -> Result<Vec<Absent>, StepError> {
    let there = relations(conn)?;
    let is_there = |name: &str| there.iter().any(|(there, _)| there.eq_ignore_ascii_case(name));
    let unsaid = |name: &str| !leave.iter().any(|said| said.eq_ignore_ascii_case(name));
    let others = there.iter().filter(|(name, kind)| kind != "shadow" && unsaid(name)).map(|(name, _)| name.as_str());
    let missing = leave.iter().filter(|name| !is_there(name)).map(|name| {
        // The table `notes` does not speak of `notes_fts`, which another shape may have.
        let as_long = others.clone().filter(|other| other.len().abs_diff(name.len()) <= 1);
        let near = closest(name, open.iter().map(String::as_str)).or_else(|| closest(name, as_long));
        let is_virtual = near.is_some_and(|near| open.iter().any(|name| name == near));
        Absent { name: name.clone(), near: near.map(str::to_owned), is_virtual }
    });
    Ok(missing.collect())
}

/// The tables and views of the database, with what each is.
fn relations(conn: &Connection) -> Result<Vec<(String, String)>, StepError> {
    conn.prepare_cached("SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name")
        .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(|e| sqlite_error(e, "while listing the tables"))
}

#[async_trait]
impl MigrationStep for FreezeStep {
    fn describe(&self) -> Vec<Change> {
        vec![
            Change::new(Action::Alter, "every table, for everybody else")
                .with_detail(format!("read-only until the thaw, or {}s after this run", self.lease.as_secs())),
        ]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    /// It makes no structure that later scripts see.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (ledger, leave, step) = (target.ledger_name().to_owned(), self.leave.clone(), cx.info().clone());
        target
            .read(cx, move |conn| {
                if let Some(text) = not_virtual(conn, &leave)? {
                    return Ok(Standing::Conflict(format!("{text}; {ONLY_VIRTUAL}")));
                }
                if let Some(text) = open_to_others(&frozen::virtual_tables(conn, &ledger, &leave)?) {
                    return Ok(Standing::Conflict(format!("{text}; {LEAVE}")));
                }
                let holds = frozen::read(conn)?.is_some_and(|f| f.holds && f.plan == step.plan && f.step == step.id);
                Ok(if holds { Standing::Applied } else { Standing::Pending })
            })
            .await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let there = target.read(cx, frozen::read).await?;
        if there.is_some_and(|f| f.is_of(cx.info()) && f.step == cx.info().id)
            && let Some(receipt) = target.done(cx).await?
        {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let begun = Instant::now();
        let mut told = false;
        loop {
            let left = self.wait.saturating_sub(begun.elapsed());
            let busy = match self.freeze(cx, &target, PATIENCE.min(left)).await {
                Err(error) if error.kind() == StepErrorKind::Busy => error,
                other => return other.map(Applied::Changed),
            };
            if cx.stop_requested() {
                return Ok(Applied::Stopped(Checkpoint { at: "waiting for a writer, nothing is frozen".to_owned() }));
            }
            if begun.elapsed() >= self.wait {
                let path = target.path().display();
                let text =
                    format!("a transaction of another program on `{path}` did not end in time: it is not frozen");
                return Err(StepError::new(StepErrorKind::Busy, text)
                    .with_help("end that transaction, or give it longer (`wait`), then run the same command again")
                    .caused_by(busy));
            }
            if !std::mem::replace(&mut told, true) {
                cx.note("waits for a transaction of another program");
            }
        }
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (ledger, step) = (target.ledger_name().to_owned(), cx.info().clone());
        target
            .read(cx, move |conn| {
                let Some(freeze) = frozen::read(conn)?.filter(|f| f.plan == step.plan && f.step == step.id) else {
                    return Ok(Verdict::Broken(vec!["it is not frozen".to_owned()]));
                };
                let mut lines = Vec::new();
                if !freeze.holds {
                    lines.push("the lease of the freeze is over: others may write".to_owned());
                }
                let open = frozen::uncovered(conn, &ledger)?;
                lines.extend(open.iter().map(|table| format!("table {table} is not frozen")));
                Ok(done::verdict(lines))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        cx.target::<SqliteTarget>(&self.target)?.reverse(cx, frozen::remove).await
    }
}

//! The step kind `sqlite.script`: SQL files, statement by statement, in the step's one transaction.
//!
//! Owns what a script may hold and what the plan says of it. A script cannot be inspected: whether it was applied is
//! what the ledger says, whose row was written in the script's own transaction. While the row is there, that the objects
//! are gone proves a claim to have taken it back only of a script that did nothing else. Verify asks for that row and for the
//! objects that the script created, by name: a later step may alter them.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Later, Layer, Lint, MigrationStep, Receipt, Reversal,
    Standing, StepContext, StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SqliteTarget;
use crate::cutover::Cutover;
use crate::lint::{self, Sketch, Trial};
use crate::sql::{self, Statement, bind_vars, sqlite_error};
use crate::target::bookkeeping::{DEFAULT_LEDGER, STATE_TABLE};

/// Runs an SQL script in one transaction.
#[derive(Debug)]
pub(crate) struct Script {
    target: String,
    up: File,
    down: Option<File>,
    one_way: bool,
    source: Vec<u8>,
}

/// The `with` table of `sqlite.script`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptConfig {
    /// The script to run, relative to the plan file. `:name` in it is the plan's variable `name`, bound as a value.
    /// ATTACH, transaction control, VACUUM and pragmas that change the connection are refused.
    up: String,
    /// The script that undoes it, run with foreign keys off. Without it the step is undone by restoring the target
    /// from the snapshot before it.
    #[serde(default)]
    down: Option<String>,
    /// There is no way back, neither by a script nor by restoring: the step must say `irreversible = "why"`.
    #[serde(default, rename = "one-way")]
    one_way: bool,
}

#[derive(Debug, Clone)]
struct File {
    path: String,
    statements: Vec<Statement>,
}

/// What a script did, in its receipt.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ran {
    statements: usize,
    /// Objects that it created and left: "table tags".
    #[serde(default)]
    objects: Vec<String>,
}

register_step!(Script);

impl StepKind for Script {
    const KIND: &'static str = "sqlite.script";
    const SUMMARY: &'static str = "run an SQL script in one transaction";
    const LAYERS: &'static [Layer] = Layer::ALL;
    const EXAMPLE: &'static str = "id = \"tags\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = { up = \"sql/tags.sql\", down = \"sql/tags.down.sql\" }\n";
    const FAULTS: Faults = crate::target::CHANGED;
    const LINTS: &'static [Lint] = lint::ALL;
    type Config = ScriptConfig;

    fn build(config: ScriptConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let source = cx.read_file("up", &config.up)?.to_vec();
        let up = File::read("up", config.up, cx)?;
        if config.one_way && config.down.is_some() {
            return Err(
                BuildError::at("one-way", "a script with a `down` has a way back").with_help("keep one of the two")
            );
        }
        let down = config.down.map(|path| File::read("down", path, cx)).transpose()?;
        Ok(Self { target, up, down, one_way: config.one_way, source })
    }
}

impl File {
    fn read(field: &str, path: String, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let statements = sql::split(&cx.read_text(field, &path)?);
        if statements.is_empty() {
            return Err(BuildError::at(field, format!("`{path}` holds no statement")).with_help(match field {
                "down" => {
                    "write the statements that undo the script, or leave `down` out: the step is then undone by restoring the \
                     target from a snapshot before it; if nothing can undo it, write `one-way = true` instead, and why it is \
                     accepted in the step's `irreversible`"
                }
                _ => "write the statements that the step runs, or leave the step out",
            }));
        }
        let ledger = cx.target.and_then(|name| cx.targets.get(name)?.ledger.as_deref()).unwrap_or(DEFAULT_LEDGER);
        for statement in &statements {
            let ours = sql::trigger_table(statement)
                .filter(|table| [ledger, STATE_TABLE].iter().any(|name| name.eq_ignore_ascii_case(table)));
            let why = sql::refusal(statement)
                .or_else(|| ours.map(|table| format!("it would run whenever Cutover itself writes `{table}`")));
            if let Some(why) = why {
                let out = "take the statement out of the script";
                return Err(BuildError::at(
                    field,
                    format!("`{path}` line {}: `{}` is refused: {why}", statement.line, statement.excerpt()),
                )
                .with_help(sql::instead(statement).map_or(out.to_owned(), |instead| format!("{out}; {instead}"))));
            }
        }
        Ok(Self { path, statements })
    }

    /// The objects that the script creates, each once.
    fn creates(&self) -> Vec<String> {
        let mut objects: Vec<String> = Vec::new();
        for change in self.statements.iter().map(described).filter(|c| c.action == Action::Create) {
            if !objects.contains(&change.object) {
                objects.push(change.object);
            }
        }
        objects
    }

    /// Those of them that are there.
    fn created(&self, conn: &Connection) -> Result<Vec<String>, StepError> {
        let mut objects = self.creates();
        let mut there = Vec::new();
        for object in objects.drain(..) {
            if is_there(conn, &object)? {
                there.push(object);
            }
        }
        Ok(there)
    }

    /// Runs every statement, discarding what queries return.
    fn run(&self, conn: &Connection, cx: &StepContext) -> Result<(), StepError> {
        self.statements.iter().try_for_each(|statement| {
            let doing = || format!("`{}` line {}, `{}`", self.path, statement.line, statement.excerpt());
            let failed = |e: rusqlite::Error| sqlite_error(e, &doing());
            let mut prepared = conn.prepare(&statement.sql).map_err(failed)?;
            bind_vars(&mut prepared, cx.vars()).map_err(|e| {
                let help = e.help().unwrap_or_default().to_owned();
                StepError::new(e.kind(), format!("{}: {e}", doing())).with_help(help)
            })?;
            let mut rows = prepared.raw_query();
            while rows.next().map_err(failed)?.is_some() {}
            Ok::<(), StepError>(())
        })?;
        self.refuse_temporary(conn)
    }

    /// A temporary object would live on in the connection that later steps share, and hide the real one of its name.
    fn refuse_temporary(&self, conn: &Connection) -> Result<(), StepError> {
        let left: Vec<String> = conn
            .prepare_cached(
                "SELECT type || ' ' || name FROM temp.sqlite_master WHERE name NOT LIKE 'cutover%' ORDER BY 1",
            )
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .map_err(|e| sqlite_error(e, "while looking for temporary objects"))?;
        if left.is_empty() {
            return Ok(());
        }
        Err(StepError::failed(format!("`{}` leaves temporary objects: {}", self.path, left.join(", ")))
            .with_help("drop them at the end of the script: later steps would find them in place of the real ones"))
    }
}

impl Script {
    /// Whether all that the script does is gone with the objects that it creates.
    fn only_creates(&self) -> bool {
        let created = self.up.creates();
        // A trigger of its own may write anywhere.
        let triggers = created.iter().any(|object| object.starts_with("trigger "));
        self.up.statements.iter().map(described).all(|change| match change.action {
            Action::Create | Action::Check => true,
            Action::Alter => change.object.strip_prefix("rows of ").is_some_and(|table| {
                !triggers && created.iter().any(|object| object.eq_ignore_ascii_case(&format!("table {table}")))
            }),
            _ => false,
        })
    }
}

#[async_trait]
impl MigrationStep for Script {
    fn describe(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for change in self.up.statements.iter().map(described) {
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        changes
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn reversal(&self) -> Reversal {
        match self.down {
            Some(_) => Reversal::Inverse,
            None if self.one_way => Reversal::Irreversible,
            None => Reversal::Restore(self.target.clone()),
        }
    }

    fn transactional(&self) -> Option<&str> {
        Some(&self.target)
    }

    fn checksum_source(&self) -> Option<Vec<u8>> {
        Some(self.source.clone())
    }

    fn lint(&self, later: &[Later]) -> Vec<Finding> {
        let here = |used: &Use| used.target == self.target;
        let moves = later.iter().any(|step| step.kind == Cutover::KIND && step.uses.iter().any(here));
        let mut found = lint::of_up(&self.up.path, &self.up.statements, moves);
        match &self.down {
            Some(down) => found.extend(lint::of_down(&down.path, &down.statements, &self.up.statements)),
            // It says why by `irreversible`.
            None if self.one_way => {}
            None => found.push(
                Finding::new(&lint::NO_DOWN, format!("`{}` has no down script", self.up.path)).help(format!(
                    "it is undone by restoring `{}`, which takes back what programs wrote since its snapshot: add `down = \"...\"`",
                    self.target
                )),
            ),
        }
        found
    }

    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (up, down, inner) = (self.up.clone(), self.down.clone(), cx.clone());
        let tried = move |sketch: &mut Sketch| {
            let up = (up.path.as_str(), up.statements.as_slice());
            let down = down.as_ref().map(|down| (down.path.as_str(), down.statements.as_slice()));
            lint::trial(sketch, &Trial { up, down, vars: inner.vars() })
        };
        target.sketched(cx, tried).await
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let recorded = target.recorded(cx).await?.filter(|e| e.success);
        // A row whose receipt nobody can read says that it ran, and not what it left.
        let lost = recorded.as_ref().is_some_and(|e| e.unreadable.is_some() && e.receipt.is_none());
        if lost && self.up.creates().is_empty() {
            return Ok(Standing::Unknown);
        }
        let known = recorded.is_some();
        // What a recorded script left is in its receipt; of any other only what it creates can be looked for, by name.
        let objects = match recorded.filter(|_| !lost) {
            Some(entry) => entry.receipt.and_then(|r| r.read::<Ran>().ok()).unwrap_or_default().objects,
            None => self.up.creates(),
        };
        let all = objects.len();
        let whole = self.only_creates();
        let there = target
            .read(cx, move |conn| objects.iter().try_fold(0, |n, o| Ok(n + usize::from(is_there(conn, o)?))))
            .await?;
        Ok(match (known, there) {
            (true, there) if there == all => Standing::Applied,
            // Somebody dropped them. What else the script did may be there still, and nothing shows it.
            (true, 0) if !whole => Standing::Unknown,
            (true, 0) | (false, _) if there < all || all == 0 => Standing::Pending,
            (false, _) => Standing::Applied,
            (true, there) => Standing::Partial(format!("{there} of {all} objects that it created are there")),
        })
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(entry) = target.recorded(cx).await?.filter(|e| e.success) {
            if entry.digest == cx.info().digest {
                return Ok(Applied::AlreadyApplied(entry.receipt.unwrap_or_default()));
            }
            return Err(StepError::conflict(format!(
                "another version of `{}` was applied on {}",
                self.up.path, entry.applied_at
            ))
            .with_help("put the script back as it was and add a new step for what changed, or roll back first"));
        }
        let (up, inner) = (self.up.clone(), cx.clone());
        let receipt = target
            .change(cx, move |conn| {
                let before = conn.total_changes();
                up.run(conn, &inner)?;
                let ran = Ran { statements: up.statements.len(), objects: up.created(conn)? };
                Ok(Receipt::of(&ran)?.with_rows(conn.total_changes().saturating_sub(before)))
            })
            .await?;
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let broken = |line: String| Ok(Verdict::Broken(vec![line]));
        let ran: Ran = match target.recorded(cx).await? {
            None => return broken(format!("the ledger has no row of `{}`", self.up.path)),
            Some(entry) if !entry.success => {
                return broken(format!("`{}` failed: {}", self.up.path, entry.error_message.unwrap_or_default()));
            }
            Some(entry) if entry.digest != cx.info().digest => {
                return broken(format!("the ledger has another version of `{}`", self.up.path));
            }
            // A row that was adopted (a baseline) has no receipt of ours, and so no objects.
            Some(entry) => entry.receipt.and_then(|r| r.read().ok()).unwrap_or_default(),
        };
        let missing = target
            .read(cx, move |conn| {
                let mut missing = Vec::new();
                for object in ran.objects {
                    if !is_there(conn, &object)? {
                        missing.push(format!("{object}: missing"));
                    }
                }
                Ok(missing)
            })
            .await?;
        Ok(if missing.is_empty() { Verdict::Holds } else { Verdict::Broken(missing) })
    }

    async fn rollback(&self, cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let recorded = target.recorded(cx).await?.filter(|entry| entry.success);
        if recorded.is_some_and(|entry| entry.receipt.is_some_and(|receipt| receipt.body.is_null())) {
            // An empty receipt: it was adopted by inspection, and is not ours to undo.
            cx.note(&format!("what `{}` would make was there before: kept", self.up.path));
            return target.reverse(cx, |_| Ok(())).await;
        }
        match self.down.clone() {
            Some(down) => {
                let inner = cx.clone();
                target.reverse(cx, move |conn| down.run(conn, &inner)).await
            }
            None if target.recorded(cx).await?.is_some_and(|e| e.success) => Err(StepError::failed(format!(
                "`{}` has no down script and is applied still: the target is to be restored from its snapshot",
                self.up.path
            ))
            .with_help("give the step a `down` script, or restore the target from the snapshot taken before it")),
            None => Ok(()),
        }
    }
}

/// Whether the object ("table tags") is in the schema.
fn is_there(conn: &Connection, object: &str) -> Result<bool, StepError> {
    let (kind, name) = object.split_once(' ').unwrap_or(("", object));
    conn.prepare_cached("SELECT 1 FROM sqlite_master WHERE type = ?1 AND name = ?2 COLLATE NOCASE")
        .and_then(|mut s| s.exists([kind, name]))
        .map_err(|e| sqlite_error(e, "while reading the schema"))
}

/// The receipt of a script that another tool ran as it is.
pub(crate) fn taken_over() -> Result<Receipt, StepError> {
    Receipt::of(&Ran::default())
}

/// A statement as a line of the plan.
fn described(statement: &Statement) -> Change {
    let tokens = sql::tokens(&statement.sql);
    let upper: Vec<String> = tokens.iter().take(8).map(|t| t.to_ascii_uppercase()).collect();
    let verb = upper.first().map_or("", String::as_str);
    let named_after = |skip: &[&str]| {
        let mut at = 1;
        while upper.get(at).is_some_and(|w| skip.contains(&w.as_str())) {
            at += 1;
        }
        let mut name = tokens.get(at).copied().unwrap_or("?");
        if tokens.get(at + 1) == Some(&".") {
            name = tokens.get(at + 2).copied().unwrap_or(name);
        }
        name.trim_matches(['"', '`', '[', ']', '\'']).to_owned()
    };
    const NOISE: &[&str] = &[
        "TEMP",
        "TEMPORARY",
        "UNIQUE",
        "VIRTUAL",
        "TABLE",
        "INDEX",
        "TRIGGER",
        "VIEW",
        "IF",
        "NOT",
        "EXISTS",
        "OR",
        "INTO",
        "FROM",
        "REPLACE",
        "IGNORE",
        "ABORT",
        "FAIL",
        "ROLLBACK",
    ];
    let object = |action: Action| {
        let kind = upper.iter().skip(1).find(|w| ["TABLE", "INDEX", "TRIGGER", "VIEW"].contains(&w.as_str()));
        Change::new(
            action,
            format!("{} {}", kind.map_or("object".to_owned(), |k| k.to_ascii_lowercase()), named_after(NOISE)),
        )
    };
    match verb {
        "CREATE" => object(Action::Create),
        "DROP" => object(Action::Remove),
        "ALTER" => object(Action::Alter),
        "INSERT" | "REPLACE" | "UPDATE" | "DELETE" => {
            Change::new(Action::Alter, format!("rows of {}", named_after(NOISE))).with_detail(verb.to_ascii_lowercase())
        }
        "SELECT" | "EXPLAIN" | "VALUES" => Change::new(Action::Check, "a query").with_detail(statement.excerpt()),
        _ => Change::new(Action::Alter, statement.excerpt()),
    }
}

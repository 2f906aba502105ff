//! The step kind `sqlite.contract`: the old tables of a mapping go, and can come back.
//!
//! Owns the end of a migration: nothing is dropped before both schemas show the same and a snapshot of the database is
//! there, and all of it is one transaction. The way back makes the old tables anew, word by word, from the new ones and
//! from what those do not hold (`raw`): what was written since is in them too.

use std::time::Instant;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, Lint, MigrationStep, Receipt, Standing,
    StepContext, StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

mod copy;
mod raw;
mod rebuild;
mod schema;

use crate::SqliteTarget;
use crate::cutover::expect;
use crate::declared;
use crate::done;
use crate::lint;
use crate::mapping::stage::{self, Stage};
use crate::mapping::{Mapping, Pair};
use crate::parity::{Asked, Sides, comparing, parity};
use raw::Raw;
use rebuild::Rebuilt;
use schema::{Taken, run};

/// Rows that a way back makes anew in a second, at least: a quarter of what was measured on two cores for rows of 200 bytes.
const ROWS_A_SECOND: f64 = 100_000.0;

/// Drops the old tables.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    target: String,
    mapping: Mapping,
    asked: Asked,
}

comparing! {
    /// Configuration of `sqlite.contract`.
    ContractConfig {}
}

/// What apply took away.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Gone {
    taken: Taken,
    rows: u64,
}

register_step!(Contract);

impl StepKind for Contract {
    const KIND: &'static str = "sqlite.contract";
    const SUMMARY: &'static str = "drop the old tables of a mapping, so that a rollback can make them anew";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"drop-old-tables\"\nuse = \"sqlite.contract\"\ntarget = \"app\"\n\
        with = { mapping = \"mapping.toml\" }\n";
    const FAULTS: Faults = crate::target::CHANGED;
    const LINTS: &'static [Lint] = &[lint::FAILS];
    type Config = ContractConfig;

    fn build(config: ContractConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let (mapping, asked) = config.asked(cx, true)?;
        Ok(Self { target, mapping, asked })
    }
}

impl Contract {
    fn forth(&self, conn: &Connection, cx: &StepContext, copy: &str) -> Result<Receipt, StepError> {
        let (began, name) = (Instant::now(), &self.mapping.name);
        expect(conn, &self.mapping, Stage::NewOnly, Stage::Contracted)?;
        let report = parity(conn, &self.mapping, &self.asked, &|_, _| {})?;
        if let Some(error) = report.error("the old tables stay") {
            return Err(error);
        }
        self.is_free(conn)?;
        let taken = Taken::read(conn, &self.mapping)?;
        let mut kept = Vec::new();
        for pair in &self.mapping.pairs {
            let sides = Sides::of(conn, pair)?;
            let raw = Raw::of(conn, pair, &sides)?;
            raw.keep(conn, &sides)?;
            kept.push((pair, sides, raw));
        }
        taken.take(conn, &self.mapping)?;
        for (pair, sides, raw) in &kept {
            raw.follow(conn, pair, sides)?;
        }
        stage::set(conn, name, Stage::Contracted, cx.info(), cx.now())?;
        let seconds = began.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let back = seconds + report.rows as f64 / ROWS_A_SECOND;
        let note = format!(
            "{name} is contracted in {seconds:.3} s; the way back makes {} rows anew in about {back:.1} s (RTO) and loses 0 \
             rows (RPO); the snapshot of `{copy}` is there besides",
            report.rows
        );
        let mut receipt = Receipt::of(&Gone { taken, rows: report.rows })?.with_note(note);
        receipt.notes.extend(report.notes);
        Ok(receipt)
    }

    /// Nobody has built on the old tables.
    fn is_free(&self, conn: &Connection) -> Result<(), StepError> {
        let built = schema::in_the_way(conn, &self.mapping)?;
        if built.is_empty() {
            return Ok(());
        }
        Err(StepError::conflict(format!("the old tables stay: {}", built.join("; ")))
            .with_help("drop or rewrite what still needs the old tables in an earlier step, then run again"))
    }

    fn back(&self, conn: &Connection, cx: &StepContext, gone: &Gone) -> Result<(), StepError> {
        let began = Instant::now();
        expect(conn, &self.mapping, Stage::Contracted, Stage::NewOnly)?;
        if gone.taken.tables.is_empty() {
            return Err(StepError::failed("nothing says what the old tables were: this step did not drop them")
                .with_help("take them from a snapshot, then `cutover resolve` the step"));
        }
        let mut made = Rebuilt::default();
        for table in &gone.taken.tables {
            if declared::object(conn, &table.name)?.is_some() {
                return Err(StepError::conflict(format!("`{}` is there again, made by others", table.name))
                    .with_help("rename it, then roll back again"));
            }
            run(conn, &table.sql, &format!("making table `{}`", table.name))?;
        }
        let pairs = || gone.taken.tables.iter().filter_map(|t| Some((t, self.mapping.pair(&t.pair)?)));
        for (table, pair) in pairs() {
            let sides = Sides::of(conn, pair)?;
            let raw = Raw::of(conn, pair, &sides)?;
            rebuild::fill(conn, pair, &sides, &raw, &mut made)?;
            rebuild::count_on(conn, pair, table)?;
            raw.drop(conn, pair)?;
        }
        for sql in gone.taken.tables.iter().flat_map(|t| &t.objects).chain(&gone.taken.triggers) {
            run(conn, sql, "making the indexes and triggers of the old tables")?;
        }
        // What does not fit is in the new tables still, where programs read it at this stage.
        let asked = Asked { quarantined: u64::MAX, ..self.asked.clone() };
        let report = parity(conn, &self.mapping, &asked, &|_, _| {})?;
        if let Some(error) = report.error("the old tables cannot come back as the new ones have them") {
            return Err(error);
        }
        stage::set(conn, &self.mapping.name, Stage::NewOnly, cx.info(), cx.now())?;
        cx.note(&format!(
            "{} is back at stage new-only in {:.3} s (RTO), with 0 of {} rows lost (RPO): {} with values that only the old \
             tables held",
            self.mapping.name,
            began.elapsed().as_secs_f64(),
            made.rows,
            made.exact
        ));
        let fit = match made.quarantined {
            0 => return Ok(()),
            1 => "1 row that was written since does not fit into the old tables: it is in the new ones".to_owned(),
            n => format!("{n} rows that were written since do not fit into the old tables: they are in the new ones"),
        };
        cx.note(&format!("{fit}, and in quarantine"));
        Ok(())
    }
}

#[async_trait]
impl MigrationStep for Contract {
    fn describe(&self) -> Vec<Change> {
        let gone = |pair: &Pair| {
            Change::new(Action::Remove, format!("table {}", pair.old))
                .with_detail(format!("its rows are in {}", pair.new))
        };
        let stage = Change::new(Action::Alter, format!("stage of {}", self.mapping.name));
        self.mapping.pairs.iter().map(gone).chain([stage.with_detail("new-only to contracted")]).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.target)
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let name = self.mapping.name.clone();
        let found = cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| stage::read(conn, &name)).await;
        match found {
            Ok(Stage::Contracted) => Ok(Standing::Applied),
            Ok(_) => Ok(copy::missing(cx, &self.target).map_or(Standing::Pending, Standing::Conflict)),
            Err(e) => done::conflict_standing(e),
        }
    }

    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let this = self.clone();
        let gone = move |conn: &Connection| {
            this.is_free(conn)?;
            Taken::read(conn, &this.mapping)?.take(conn, &this.mapping)
        };
        cx.target::<SqliteTarget>(&self.target)?.tried(cx, gone).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let copy = copy::proven(cx, &self.target).await?;
        let (step, inner) = (self.clone(), cx.clone());
        target.change(cx, move |conn| step.forth(conn, &inner, &copy)).await.map(Applied::Changed)
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let step = self.clone();
        cx.target::<SqliteTarget>(&self.target)?
            .read(cx, move |conn| {
                let mut lines = Vec::new();
                let found = stage::read(conn, &step.mapping.name)?;
                if found != Stage::Contracted {
                    lines.push(format!("stage of {}: expected contracted, found {}", step.mapping.name, found.name()));
                }
                for pair in &step.mapping.pairs {
                    if declared::object(conn, &pair.old)?.is_some() {
                        lines.push(format!("table {}: there", pair.old));
                    }
                    if declared::object(conn, &pair.new)?.is_none() {
                        lines.push(format!("table {}: missing", pair.new));
                    }
                    if declared::object(conn, &crate::mapping::names::raw(&pair.name))?.is_none() {
                        lines.push(format!("what was kept of table {}: missing", pair.old));
                    }
                }
                Ok(done::verdict(lines))
            })
            .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.to_undo(cx, receipt).await? else { return Ok(()) };
        let gone: Gone = done::body(&receipt)?;
        let (step, inner) = (self.clone(), cx.clone());
        target.reverse(cx, move |conn| step.back(conn, &inner, &gone)).await
    }
}

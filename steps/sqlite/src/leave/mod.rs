//! Rows that leave a database for a file, in short transactions, and come back exactly: what `sqlite.retain` and
//! `sqlite.archive` have in common.
//!
//! Owns the run: which rows are chosen when, one batch after the other, a stop obeyed between them. `rule` says which
//! rows go, `family` with which others, `take` does a batch, `book` is the file, `back` the way back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cutover_core::disk::{self, inside};
use cutover_core::{Applied, Change, Checkpoint, Receipt, Standing, StepContext, StepError, StepErrorKind};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

mod back;
mod book;
mod choose;
mod family;
mod rule;
mod scratch;
mod step;
mod take;
mod time;

use crate::SqliteTarget;
use crate::backfill::pace::{Batch, timed};
use crate::backfill::rhythm::{Rhythm, Tuning};
use crate::done;
use crate::sql::{bind_vars, sqlite_error};
use crate::target::{Batching, bookkeeping};
use book::{Book, Mark};
use choose::ROUND;
use family::{Family, Shape};
pub(crate) use rule::{Rule, RuleConfig};
pub(crate) use step::{Face, Leaving};
use take::{Chosen, take};

/// The points of such a step.
pub(crate) const FAULTS: cutover_core::fault::Faults = cutover_core::fault::Faults {
    apply: &[
        cutover_core::fault::DISK_PARTIAL,
        cutover_core::fault::SQLITE_BATCH_BEGUN,
        cutover_core::fault::SQLITE_ROWS_KEPT,
        cutover_core::fault::SQLITE_BATCH_MADE,
        cutover_core::fault::SQLITE_COMMIT,
        cutover_core::fault::SQLITE_COMMITTED,
        cutover_core::fault::SQLITE_CHANGE_BEGUN,
        cutover_core::fault::SQLITE_CHANGE_MADE,
        cutover_core::fault::SQLITE_CHANGE_RECORDED,
    ],
    rollback: crate::target::CHANGED.rollback,
};

/// Rows that leave a database.
#[derive(Debug, Clone)]
pub(crate) struct Leave {
    pub(crate) target: String,
    pub(crate) rules: Vec<Rule>,
    /// The file in the root, packed; none: one in the state folder.
    pub(crate) into: Option<String>,
    pub(crate) tuning: Tuning,
}

/// How far it has come: in the step's cursor, and in the end in its receipt.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// The time that ages are counted from, in seconds since 1970.
    at: i64,
    /// The file's name in the step's folder, or its path in the root; none: no row went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    bytes: u64,
    blake3: String,
    tables: BTreeMap<String, Part>,
    /// Rows that were changed while it ran.
    #[serde(default, skip_serializing_if = "is_zero")]
    changed: u64,
    /// On the way back: blocks of the file that are back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    back: Option<u64>,
    /// On the way back: rows whose place others took.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    theirs: BTreeMap<String, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What went of one table.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Part {
    columns: Vec<String>,
    rows: u64,
}

impl State {
    fn parse(text: &str) -> Result<Self, StepError> {
        serde_json::from_str(text)
            .map_err(|e| StepError::internal("the cursor of rows that leave has an unknown shape").caused_by(e))
    }

    fn text(&self) -> Result<String, StepError> {
        serde_json::to_string(self).map_err(|e| StepError::internal("a cursor was not written as JSON").caused_by(e))
    }

    fn rows(&self) -> u64 {
        self.tables.values().map(|part| part.rows).sum()
    }
}

impl Leave {
    /// The lines of a plan.
    pub(crate) fn describe(&self) -> Vec<Change> {
        let to = match &self.into {
            Some(into) => format!("written into {into} and read back first"),
            None => "kept in the state folder, and read back first".to_owned(),
        };
        self.rules.iter().flat_map(|rule| rule.describe(&to)).collect()
    }

    async fn saved(&self, cx: &StepContext) -> Result<Option<State>, StepError> {
        let info = cx.info().clone();
        let read = move |conn: &Connection| bookkeeping::cursor(conn, &info);
        let text = cx.target::<SqliteTarget>(&self.target)?.read(cx, read).await?;
        text.as_deref().map(State::parse).transpose()
    }

    /// The file of that name.
    fn book(&self, cx: &StepContext, name: &str) -> Result<Book, StepError> {
        let path = match &self.into {
            Some(into) => inside(cx.root(), into, true)?,
            None => cx.scratch_dir().join(name),
        };
        Ok(Book { path, packed: self.into.is_some() })
    }

    /// The file as a note shows it.
    fn shown(cx: &StepContext, path: &std::path::Path) -> String {
        path.strip_prefix(cx.root()).unwrap_or(path).display().to_string()
    }

    /// Refuses a file of others.
    fn refuse_foreign(&self, cx: &StepContext) -> Result<Option<Book>, StepError> {
        let Some(into) = &self.into else { return Ok(None) };
        let book = self.book(cx, into)?;
        match book.first()? {
            None => Ok(None),
            Some(first) if first == book::first_line(cx.info()) => Ok(Some(book)),
            Some(_) => Err(StepError::conflict(format!("`{into}` is there already and is no archive of this step"))
                .with_help("move that file away, or choose another `into`")),
        }
    }

    pub(crate) async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if target.done(cx).await?.is_some() {
            return Ok(Standing::Applied);
        }
        if let Some(state) = self.saved(cx).await? {
            return Ok(Standing::Partial(format!("{} rows are taken out", state.rows())));
        }
        let (step, inner) = (self.clone(), cx.clone());
        let found = match cx.blocking(move || step.refuse_foreign(&inner).map(drop)).await {
            Ok(()) => self.families(cx).await.map(drop),
            Err(e) => Err(e),
        };
        match found {
            Ok(()) => Ok(Standing::Pending),
            // An earlier step may make the table, or the column.
            Err(e) if e.kind() == StepErrorKind::Failed => Ok(Standing::Pending),
            Err(e) => done::conflict_standing(e),
        }
    }

    async fn families(&self, cx: &StepContext) -> Result<Arc<Vec<Family>>, StepError> {
        let rules = self.rules.clone();
        let read = move |conn: &Connection| {
            rules.iter().map(|rule| Family::read(conn, rule)).collect::<Result<Vec<_>, _>>().map(Arc::new)
        };
        cx.target::<SqliteTarget>(&self.target)?.read(cx, read).await
    }

    pub(crate) async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if let Some(receipt) = target.done(cx).await? {
            return Ok(Applied::AlreadyApplied(receipt));
        }
        let families = self.families(cx).await?;
        let mut run = self.open(cx).await?;
        if run.state.file.is_none() {
            self.look_ahead(cx, &families, run.state.at).await?;
        }
        let mut rhythm = Rhythm::begin(cx, &target, &self.tuning).await?;
        for number in 0..self.rules.len() {
            loop {
                let chosen = self.choose(cx, &families, number, run.state.at).await?;
                let (before, mut from) = (run.state.rows(), 0);
                let total = before + chosen.len() as u64;
                while from < chosen.len() {
                    let Some(batch) = rhythm.next().await? else {
                        return Ok(Applied::Stopped(Checkpoint { at: format!("{} rows", run.state.rows()) }));
                    };
                    let size = usize::try_from(batch.size).unwrap_or(usize::MAX);
                    let part = chosen[from..chosen.len().min(from.saturating_add(size))].to_vec();
                    from += part.len();
                    let (rows, held);
                    (run, rows, held) = self.batch(cx, &families, number, part, batch, run).await?;
                    cx.progress(run.state.rows(), Some(total.max(run.state.rows())), "rows");
                    rhythm.rest(rows, held).await?;
                }
                // All that is left was changed meanwhile, or there is no more.
                if chosen.len() < ROUND || run.state.rows() == before {
                    break;
                }
            }
        }
        self.end(cx, run).await.map(Applied::Changed)
    }

    /// One batch in its own transaction. Returns how many rows were looked at, too.
    async fn batch(
        &self,
        cx: &StepContext,
        families: &Arc<Vec<Family>>,
        number: usize,
        part: Vec<Chosen>,
        batch: Batch,
        run: Run,
    ) -> Result<(Run, u64, crate::target::Held), StepError> {
        let run = self.with_file(cx, run).await?;
        let (families, info) = (Arc::clone(families), cx.info().clone());
        let batching = Batching { memory: false, alone: batch.alone };
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let ((run, rows), mut held) = target
            .timed_batch(cx, batching, move |conn, _| {
                let Run { mut state, mark, book } = run;
                let (Some(family), Some(book)) = (families.get(number), book) else {
                    return Err(StepError::internal("a batch of rows without a file"));
                };
                let (taken, mark) = timed(conn, batch.limit, || take(conn, family, &part, &book, &mark))?;
                for (table, rows) in &taken.rows {
                    let columns = taken.columns.get(table).cloned().unwrap_or_default();
                    let kept = state.tables.entry(table.clone()).or_insert(Part { columns, rows: 0 });
                    kept.rows += rows.len() as u64;
                }
                state.changed += taken.changed;
                (state.bytes, state.blake3) = (mark.bytes, mark.digest());
                if !taken.rows.is_empty() {
                    bookkeeping::set_cursor(conn, &info, &state.text()?)?;
                }
                Ok((Run { state, mark, book: Some(book) }, part.len() as u64))
            })
            .await?;
        // What the disk takes for the file shrinks with the batch as little as what it takes for the commit.
        held.commit += run.mark.synced;
        Ok((run, rows, held))
    }

    /// How far it has come, with its file as it was then.
    async fn open(&self, cx: &StepContext) -> Result<Run, StepError> {
        let Some(state) = self.saved(cx).await? else {
            let state = State { at: cx.now().as_second(), ..State::default() };
            return Ok(Run { state, mark: Mark::default(), book: None });
        };
        let Some(name) = state.file.clone() else { return Ok(Run { state, mark: Mark::default(), book: None }) };
        let book = self.book(cx, &name)?;
        cx.blocking(move || {
            let mark = book.known(state.bytes, &state.blake3)?;
            Ok(Run { state, mark, book: Some(book) })
        })
        .await
    }

    /// Makes the file, before the first batch.
    async fn with_file(&self, cx: &StepContext, mut run: Run) -> Result<Run, StepError> {
        if run.book.is_some() {
            return Ok(run);
        }
        let (step, inner) = (self.clone(), cx.clone());
        cx.blocking(move || {
            let name = match &step.into {
                Some(into) => {
                    if let Some(earlier) = step.refuse_foreign(&inner)? {
                        let kept = earlier.set_aside("earlier")?;
                        inner.note(&format!("an earlier archive is kept as `{}`", Self::shown(&inner, &kept)));
                    }
                    into.clone()
                }
                None => {
                    disk::private_dir(&inner.scratch_dir())?;
                    book::free_name(&inner.scratch_dir())
                }
            };
            let book = step.book(&inner, &name)?;
            if let Some(folder) = book.path.parent() {
                disk::private_dir(folder)?;
            }
            let packed = if book.packed { "zstd -dc FILE | sqlite3 DATABASE" } else { "sqlite3 DATABASE < FILE" };
            run.mark = book.begin(inner.info(), &format!("Load it with: {packed}"))?;
            (run.state.file, run.book) = (Some(name), Some(book));
            Ok(run)
        })
        .await
    }

    /// Ends the file, and says in the ledger that all is gone.
    async fn end(&self, cx: &StepContext, run: Run) -> Result<Receipt, StepError> {
        let Run { mut state, mark, book } = run;
        let path: Option<PathBuf> = book.as_ref().map(|book| book.path.clone());
        let state = cx
            .blocking(move || {
                // A file without rows is as if there was none.
                let book = match book {
                    Some(book) if state.rows() > 0 => book,
                    empty => {
                        empty.map_or(Ok(()), |book| book.discard())?;
                        return Ok(State { file: None, ..state });
                    }
                };
                let mark = book.end(&mark)?;
                (state.bytes, state.blake3) = (mark.bytes, mark.digest());
                Ok(state)
            })
            .await?;
        let shown = path.filter(|_| state.file.is_some()).map(|path| Self::shown(cx, &path));
        let (rules, vars, info) = (self.rules.clone(), cx.vars().clone(), cx.info().clone());
        cx.target::<SqliteTarget>(&self.target)?
            .change(cx, move |conn| {
                bookkeeping::clear_cursor(conn, &info)?;
                let mut receipt = Receipt::of(&state)?.with_rows(state.rows()).with_bytes(state.bytes);
                for (table, part) in &state.tables {
                    let rows = if part.rows == 1 { "1 row".to_owned() } else { format!("{} rows", part.rows) };
                    receipt
                        .notes
                        .push(format!("{rows} of {table} went into `{}`", shown.as_deref().unwrap_or_default()));
                }
                for rule in &rules {
                    if !state.tables.keys().any(|table| table.eq_ignore_ascii_case(&rule.table)) {
                        receipt.notes.push(format!("no row of {} was to go: {}", rule.table, rule.words()));
                    }
                    let Some(query) = rule.unreadable() else { continue };
                    let failed = |e| sqlite_error(e, "while counting times that cannot be read");
                    let mut statement = conn.prepare(&query).map_err(failed)?;
                    bind_vars(&mut statement, &vars)?;
                    let mut rows = statement.raw_query();
                    let count: i64 = rows.next().and_then(|row| row.map_or(Ok(0), |row| row.get(0))).map_err(failed)?;
                    if count > 0 {
                        let rows = if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
                        receipt.notes.push(format!("{rows} of {} without a time in {}: kept", rule.table, rule.by));
                    }
                }
                if state.changed > 0 {
                    receipt.notes.push(format!("{} rows were changed meanwhile: kept", state.changed));
                }
                Ok(receipt)
            })
            .await
    }
}

/// A run: how far it has come, and its file.
#[derive(Debug)]
struct Run {
    state: State,
    mark: Mark,
    book: Option<Book>,
}

/// The shape of a table that rows come back to; none: it is gone.
fn shape_of(conn: &Connection, table: &str) -> Result<Option<Shape>, StepError> {
    Shape::read(conn, table)
}

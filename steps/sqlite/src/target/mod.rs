//! The target kind `sqlite`: one database file, its connections, its ledger.
//!
//! Owns [`SqliteTarget`] and the only ways to its database: [`read`](SqliteTarget::read),
//! [`change`](SqliteTarget::change), [`reverse`](SqliteTarget::reverse) and [`batch`](SqliteTarget::batch).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cutover_core::{
    Assessment, BuildError, Depth, Finding, Fingerprint, Ledger, LedgerEntry, Receipt, RestoreOptions, Restored,
    SnapshotManifest, StepContext, StepError, StepInfo, Target, TargetKind, TargetSpec, async_trait, fault,
    fault::Faults, register_target,
};
use jiff::Timestamp;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Deserialize;

mod assess;
mod before;
pub mod bookkeeping;
mod catalog;
mod commits;
mod connect;
mod counted;
mod defaults;
mod dump;
mod duplicate;
mod facts;
mod fingerprint;
pub(crate) mod frozen;
mod heard;
mod held;
mod keeper;
mod kept;
mod keyed;
mod known;
mod ledger;
mod left;
mod look;
mod loss;
mod lost;
pub(crate) mod objects;
mod pairs;
mod patience;
mod place;
mod reader;
mod recorder;
mod restore;
mod rows_digest;
mod session;
mod snapshot;
mod still;
mod watch;

use crate::lint::Sketch;
pub(crate) use catalog::{plain_tables, rowid_alias};
pub(crate) use connect::reader as connect_reader;
pub(crate) use dump::database as dump_database;
pub(crate) use heard::Ranges;
use patience::unless_insisted;
pub(crate) use recorder::Recorder;
use session::{ForeignKeys, Session};

/// The points of a step that writes by one change and is undone by one reversal.
pub(crate) const CHANGED: Faults = Faults {
    apply: &[
        fault::SQLITE_CHANGE_BEGUN,
        fault::SQLITE_CHANGE_MADE,
        fault::SQLITE_CHANGE_RECORDED,
        fault::SQLITE_COMMIT,
        fault::SQLITE_COMMITTED,
    ],
    rollback: &[
        fault::SQLITE_REVERSE_BEGUN,
        fault::SQLITE_REVERSE_MADE,
        fault::SQLITE_REVERSE_RECORDED,
        fault::SQLITE_COMMIT,
        fault::SQLITE_COMMITTED,
    ],
};

/// The points of a step that writes by batches before its change.
pub(crate) const BATCHED: Faults = Faults {
    apply: &[
        fault::SQLITE_BATCH_BEGUN,
        fault::SQLITE_BATCH_MADE,
        fault::SQLITE_COMMIT,
        fault::SQLITE_COMMITTED,
        fault::SQLITE_CHANGE_BEGUN,
        fault::SQLITE_CHANGE_MADE,
        fault::SQLITE_CHANGE_RECORDED,
    ],
    rollback: CHANGED.rollback,
};

/// A SQLite database of a plan.
#[derive(Debug)]
pub struct SqliteTarget {
    name: String,
    session: Arc<Session>,
    /// The structure as it will be, for lints; made when first asked for.
    sketch: Arc<Mutex<Option<Sketch>>>,
    /// Whether a step that it cannot follow came before.
    blurred: AtomicBool,
}

/// A SQLite target has no configuration beyond `path` and `ledger`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {}

register_target!(SqliteTarget);

impl TargetKind for SqliteTarget {
    const KIND: &'static str = "sqlite";
    const SUMMARY: &'static str = "a SQLite database file";
    const EXAMPLE: &'static str = "kind = \"sqlite\"\npath = \"data/app.db\"\nledger = \"cutover_ledger\"\n";
    const FACTS: &'static [&'static str] =
        &["table:NAME", "column:TABLE.NAME", "index:NAME", "trigger:NAME", "view:NAME", "empty"];
    const FAULTS: Faults = Faults {
        apply: &[fault::SQLITE_COPY_MADE, fault::SQLITE_COPY_NAMED, fault::SQLITE_COPY_DESCRIBED],
        rollback: &[
            fault::SQLITE_COPY_MADE,
            fault::SQLITE_COPY_NAMED,
            fault::SQLITE_RESTORE_ASIDE,
            fault::SQLITE_RESTORE_EXPORTED,
            fault::SQLITE_RESIZE_COPIED,
            fault::SQLITE_RESIZED,
            fault::SQLITE_RESTORE_LOCKED,
            fault::SQLITE_RESTORE_HALF,
            fault::SQLITE_RESTORE_COPIED,
            fault::SQLITE_RESTORED,
        ],
    };
    type Config = SqliteConfig;

    fn build(_config: SqliteConfig, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError> {
        let ledger = spec.ledger.clone().unwrap_or_else(|| bookkeeping::DEFAULT_LEDGER.to_owned());
        Ok(Self {
            name: spec.name.clone(),
            session: Arc::new(Session::new(path, ledger)),
            sketch: Arc::default(),
            blurred: AtomicBool::new(false),
        })
    }
}

/// How a transaction goes.
#[derive(Debug, Clone, Copy)]
struct How {
    keys: ForeignKeys,
    /// How long it waits for others' locks.
    patience: Duration,
    /// Whether it is refused where others changed the schema under a freeze.
    strict: bool,
}

impl How {
    /// A change.
    const CHANGES: Self = Self { keys: ForeignKeys::On, patience: connect::BUSY_TIMEOUT, strict: true };
    /// Only bookkeeping.
    const RECORDS: Self = Self { strict: false, ..Self::CHANGES };
    /// The way back.
    const REVERSES: Self = Self { keys: ForeignKeys::Off, ..Self::RECORDS };
}

/// What a transaction knows of the step it is for.
#[derive(Debug)]
pub(crate) struct At {
    pub(crate) ledger: String,
    pub(crate) step: StepInfo,
    pub(crate) now: Timestamp,
}

impl At {
    /// Runs `work` as what a transaction is about: admitted, and past the freeze of its own run, which is closed behind
    /// it. A group is admitted as a whole, and passes as a whole. Returns what the freeze's keeper has to know, too.
    fn within<T>(
        &self,
        session: &Session,
        conn: &Connection,
        grouped: bool,
        strict: bool,
        work: impl FnOnce() -> Result<T, StepError>,
    ) -> Result<(T, keeper::Left), StepError> {
        if grouped {
            return Ok((work()?, None));
        }
        admit(session, conn, &self.step, strict)?;
        let value = work()?;
        Ok((value, leave(conn, &self.ledger)?))
    }
}

impl SqliteTarget {
    /// Read-only work. Inside an open group it sees the group's uncommitted changes.
    pub async fn read<T, F>(&self, cx: &StepContext, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StepError> + Send + 'static,
    {
        let (session, inner) = (self.session(), cx.clone());
        cx.blocking(move || session.read(|conn| unless_insisted(&inner, || work(conn)))).await
    }

    /// Read-only work that sees one moment. Inside an open group it sees the group's uncommitted changes.
    pub(crate) async fn read_moment<T, F>(&self, cx: &StepContext, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StepError> + Send + 'static,
    {
        let (session, inner) = (self.session(), cx.clone());
        cx.blocking(move || session.read_moment(|conn| unless_insisted(&inner, || work(conn)))).await
    }

    /// The only way to write: opens the transaction (a savepoint inside an open group), checks and raises the epoch,
    /// runs `work`, writes the ledger row with the receipt, commits. An error undoes all of it, and it is one when the
    /// ledger has the step as applied.
    pub async fn change<F>(&self, cx: &StepContext, work: F) -> Result<Receipt, StepError>
    where
        F: FnOnce(&Connection) -> Result<Receipt, StepError> + Send + 'static,
    {
        self.change_within(cx, connect::BUSY_TIMEOUT, work).await
    }

    /// The same, where others' locks are waited for as long as `patience`.
    pub(crate) async fn change_within<F>(
        &self,
        cx: &StepContext,
        patience: Duration,
        work: F,
    ) -> Result<Receipt, StepError>
    where
        F: FnOnce(&Connection) -> Result<Receipt, StepError> + Send + 'static,
    {
        let recorder = self.recorder(cx);
        self.transaction(cx, How { patience, ..How::CHANGES }, move |conn, at| {
            fault::point(fault::SQLITE_CHANGE_BEGUN);
            bookkeeping::refuse_applied(conn, &at.ledger, &at.step)?;
            let receipt = recorded(recorder, conn, at, || work(conn))?;
            fault::point(fault::SQLITE_CHANGE_MADE);
            bookkeeping::record(conn, &at.ledger, &at.step, at.now, bookkeeping::Outcome::Success(&receipt))?;
            fault::point(fault::SQLITE_CHANGE_RECORDED);
            Ok(receipt)
        })
        .await
    }

    /// The reverse of a change: same transaction rules, foreign keys off; runs `work`, forgets the step's cursor and
    /// deletes its ledger row. When the database holds neither row nor cursor of the step, nothing of it was ever
    /// committed: then `work` does not run and nothing is written.
    pub async fn reverse<F>(&self, cx: &StepContext, work: F) -> Result<(), StepError>
    where
        F: FnOnce(&Connection) -> Result<(), StepError> + Send + 'static,
    {
        if !self.has_traces(cx).await? {
            return Ok(());
        }
        self.transaction(cx, How::REVERSES, move |conn, at| {
            fault::point(fault::SQLITE_REVERSE_BEGUN);
            work(conn)?;
            fault::point(fault::SQLITE_REVERSE_MADE);
            bookkeeping::clear_cursor(conn, &at.step)?;
            bookkeeping::erase(conn, &at.ledger, &at.step)?;
            fault::point(fault::SQLITE_REVERSE_RECORDED);
            Ok(())
        })
        .await
    }

    /// A part of the reverse of a long change, with the same transaction rules; what is left of it to undo is for `work`
    /// to keep in the step's cursor. From the first part on the ledger does not say any more that the step is applied.
    pub(crate) async fn reverse_part<T, F>(&self, cx: &StepContext, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StepError> + Send + 'static,
    {
        self.transaction(cx, How::REVERSES, move |conn, at| {
            fault::point(fault::SQLITE_REVERSE_BEGUN);
            let value = work(conn)?;
            bookkeeping::erase(conn, &at.ledger, &at.step)?;
            fault::point(fault::SQLITE_REVERSE_MADE);
            Ok(value)
        })
        .await
    }

    /// Whether anything of the step was ever committed and not undone.
    pub(crate) async fn has_traces(&self, cx: &StepContext) -> Result<bool, StepError> {
        let (ledger, step) = (self.session.ledger.clone(), cx.info().clone());
        self.read(cx, move |conn| bookkeeping::has_traces(conn, &ledger, &step)).await
    }

    /// One batch of a long change: a transaction with the epoch check and without a ledger row. `work` may use
    /// [`bookkeeping::cursor`] and [`bookkeeping::set_cursor`]. With a write-ahead log a power failure may take the last
    /// batches back, in their order; what comes after them (a [`change`](Self::change)) is durable only with them.
    pub async fn batch<T, F>(&self, cx: &StepContext, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StepError> + Send + 'static,
    {
        Ok(self.timed_batch(cx, move |conn, _| work(conn)).await?.0)
    }

    /// The same; `work` can ask which rows it inserts. Returns, too, how long other writers were kept out.
    pub(crate) async fn timed_batch<T, F>(&self, cx: &StepContext, work: F) -> Result<(T, Duration), StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Recorder) -> Result<T, StepError> + Send + 'static,
    {
        let recorder = self.recorder(cx);
        let session = self.session();
        let at = At { ledger: session.ledger.clone(), step: cx.info().clone(), now: cx.now() };
        let inner = cx.clone();
        cx.blocking(move || {
            let grouped = session.in_group();
            let (((value, begun), left), ended) = session.batch(|conn| {
                let begun = Instant::now();
                at.within(&session, conn, grouped, true, || {
                    fault::point(fault::SQLITE_BATCH_BEGUN);
                    bookkeeping::refuse_applied(conn, &at.ledger, &at.step)?;
                    let work = || recorded(recorder, conn, &at, || work(conn, &session.recorder));
                    let value = unless_insisted(&inner, work)?;
                    fault::point(fault::SQLITE_BATCH_MADE);
                    Ok((value, begun))
                })
            })?;
            if !grouped {
                session.keeper.follow(&session, &at.step, left)?;
            }
            Ok((value, ended.saturating_duration_since(begun)))
        })
        .await
    }

    /// Changes what no transaction can: nothing else of this target is open, and others are waited for. After a crash it
    /// is done or not, and nothing is recorded: the step has made its intent durable before.
    pub(crate) async fn alone<F>(&self, cx: &StepContext, work: F) -> Result<(), StepError>
    where
        F: FnOnce(&Connection) -> Result<(), StepError> + Send + 'static,
    {
        // The epoch is raised, so that no older run goes on behind this one.
        self.transaction(cx, How::RECORDS, |_, _| Ok(())).await?;
        let session = self.session();
        cx.blocking(move || {
            session.close();
            session.exclusive(|conn| work(conn))
        })
        .await
    }

    /// The name of the ledger's table.
    pub(crate) fn ledger_name(&self) -> &str {
        &self.session.ledger
    }

    /// The ledger's own row of this step (what a crash left), if any.
    pub async fn recorded(&self, cx: &StepContext) -> Result<Option<LedgerEntry>, StepError> {
        self.recorded_row(cx).await
    }

    /// Where the row's receipt cannot be read, the journal's is taken. Before a step is asked, the runner refuses rows
    /// whose receipt nobody has.
    async fn recorded_row(&self, cx: &StepContext) -> Result<Option<LedgerEntry>, StepError> {
        let (ledger, step) = (self.session.ledger.clone(), cx.info().clone());
        let mut row = self.read(cx, move |conn| bookkeeping::entry(conn, &ledger, &step)).await?;
        if let Some(row) = row.as_mut().filter(|row| row.unreadable.is_some()) {
            row.receipt = cx.receipt_of(&row.step).await?;
        }
        Ok(row)
    }

    async fn transaction<T, F>(&self, cx: &StepContext, how: How, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &At) -> Result<T, StepError> + Send + 'static,
    {
        let session = self.session();
        let at = At { ledger: session.ledger.clone(), step: cx.info().clone(), now: cx.now() };
        let inner = cx.clone();
        cx.blocking(move || {
            let grouped = session.in_group();
            let (value, left) = session.transaction(how.keys, how.patience, |conn| {
                at.within(&session, conn, grouped, how.strict, || unless_insisted(&inner, || work(conn, &at)))
            })?;
            if !grouped {
                session.keeper.follow(&session, &at.step, left)?;
            }
            Ok(value)
        })
        .await
    }

    /// What says which rows a change writes. None: no step of the plan is undone by restoring this target, so nobody
    /// will ask.
    fn recorder(&self, cx: &StepContext) -> Option<Recorder> {
        let records = *self.session.records.get_or_init(|| cx.may_restore(&self.name));
        records.then(|| self.session.recorder.clone())
    }

    /// Work on a copy of the structure, which is as the lints of earlier steps left it. Read-only for the database.
    pub(crate) async fn sketched<T, F>(&self, cx: &StepContext, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Sketch) -> Result<T, StepError> + Send + 'static,
    {
        let (sketch, ledger) = (Arc::clone(&self.sketch), self.session.ledger.clone());
        let blurred = self.blurred.load(Ordering::Relaxed);
        self.read_moment(cx, move |conn| {
            let mut slot = sketch.lock().unwrap_or_else(PoisonError::into_inner);
            let made = match slot.take() {
                Some(made) => made,
                None => Sketch::of(conn, &ledger)?,
            };
            let sketch = slot.insert(made);
            if blurred {
                sketch.blur();
            }
            work(sketch)
        })
        .await
    }

    /// A step whose `work` makes structure by itself is followed on the copy; one that cannot be made there blurs it.
    pub(crate) async fn followed<F>(&self, cx: &StepContext, work: F) -> Result<Option<Vec<Finding>>, StepError>
    where
        F: FnOnce(&Connection) -> Result<Receipt, StepError> + Send + 'static,
    {
        self.sketched(cx, move |sketch| {
            if work(&sketch.conn).is_err() {
                sketch.blur();
            }
            Ok(Some(Vec::new()))
        })
        .await
    }

    fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }
}

/// What comes first in a transaction, or in that of a group.
fn admit(session: &Session, conn: &Connection, step: &StepInfo, strict: bool) -> Result<(), StepError> {
    bookkeeping::create(conn, &session.ledger)?;
    bookkeeping::check_epoch(conn, step.epoch)?;
    let altered = frozen::enter(conn, &session.ledger, step, session.keeper.passed(conn)?)?;
    if strict { refuse_altered(session, &altered) } else { Ok(()) }
}

/// Closes the freeze behind a transaction, if there is one, and says what its keeper has to know.
fn leave(conn: &Connection, ledger: &str) -> Result<keeper::Left, StepError> {
    match frozen::leave(conn, ledger)? {
        Some(lease) => Ok(Some((lease, watch::data_version(conn)?))),
        None => Ok(None),
    }
}

/// DDL and the header's numbers pass triggers: what others did to the schema under a freeze is refused here.
fn refuse_altered(session: &Session, altered: &[String]) -> Result<(), StepError> {
    if altered.is_empty() {
        return Ok(());
    }
    let path = session.path.display();
    Err(StepError::conflict(format!("others changed the schema of `{path}` under the freeze: {}", altered.join(", ")))
        .with_help("stop the program that does it (triggers cannot refuse DDL), then run the same command again"))
}

/// Runs `work` and keeps which rows it wrote.
fn recorded<T>(
    recorder: Option<Recorder>,
    conn: &Connection,
    at: &At,
    work: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let Some(recorder) = recorder else { return work() };
    let (value, written) = recorder.record(conn, &at.ledger, work)?;
    kept::add(conn, &at.step, &written)?;
    Ok(value)
}

#[async_trait]
impl Target for SqliteTarget {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        <Self as TargetKind>::KIND
    }

    fn path(&self) -> &Path {
        &self.session.path
    }

    async fn assess(&self, cx: &StepContext) -> Result<Assessment, StepError> {
        let session = self.session();
        cx.blocking(move || session.read_moment(|conn| assess::assess(conn, &session.path, &session.ledger))).await
    }

    async fn fingerprint(&self, cx: &StepContext, depth: Depth) -> Result<Fingerprint, StepError> {
        let (ledger, inner) = (self.session.ledger.clone(), cx.clone());
        self.read_moment(cx, move |conn| fingerprint::of(conn, &ledger, depth, Some(&inner))).await
    }

    async fn snapshot(&self, cx: &StepContext, into: &Path) -> Result<SnapshotManifest, StepError> {
        let (session, name, into, inner) = (self.session(), self.name.clone(), into.to_owned(), cx.clone());
        cx.blocking(move || session.read_committed(|conn| snapshot::take(&session, conn, &name, &into, &inner))).await
    }

    async fn restore(
        &self,
        cx: &StepContext,
        from: &SnapshotManifest,
        options: &RestoreOptions,
    ) -> Result<Restored, StepError> {
        let (session, name, step) = (self.session(), self.name.clone(), cx.info().clone());
        let (from, options) = (from.clone(), options.clone());
        let (restored, objects) =
            cx.blocking(move || restore::restore(&session, &name, &step, &from, &options)).await?;
        for object in objects {
            cx.note(&format!(
                "{object} is as others made it since the snapshot: its SQL is set aside with the state before"
            ));
        }
        Ok(restored)
    }

    async fn changes_since(&self, cx: &StepContext, from: &SnapshotManifest) -> Result<serde_json::Value, StepError> {
        let (session, from) = (self.session(), from.clone());
        cx.blocking(move || restore::changes_since(&session, &from)).await
    }

    async fn counts(&self, cx: &StepContext) -> Result<BTreeMap<String, u64>, StepError> {
        let ledger = self.session.ledger.clone();
        self.read_moment(cx, move |conn| assess::counts(conn, &ledger)).await
    }

    async fn bytes(&self, _cx: &StepContext) -> Result<u64, StepError> {
        Ok(connect::bytes(&self.session.path))
    }

    async fn snapshot_bytes(&self, _cx: &StepContext, folder: &Path) -> Result<u64, StepError> {
        Ok(snapshot::bytes(&self.session.path, folder))
    }

    fn files(&self) -> Vec<PathBuf> {
        duplicate::files(&self.session.path)
    }

    async fn copy_to(&self, cx: &StepContext, path: &Path) -> Result<(), StepError> {
        let (session, path, inner) = (self.session(), path.to_owned(), cx.clone());
        cx.blocking(move || duplicate::copy(&session, &path, &inner)).await
    }

    async fn differing(&self, cx: &StepContext, original: &Path) -> Result<Vec<String>, StepError> {
        let (ledger, original) = (self.session.ledger.clone(), original.to_owned());
        self.read(cx, move |conn| duplicate::differing(conn, &ledger, &original)).await
    }

    async fn measure(&self, cx: &StepContext, query: &str) -> Result<f64, StepError> {
        let (query, inner) = (query.to_owned(), cx.clone());
        self.read(cx, move |conn| facts::measure(&inner, conn, &query)).await
    }

    async fn remarks(&self, cx: &StepContext) -> Result<Vec<String>, StepError> {
        self.read_moment(cx, counted::remarks).await
    }

    async fn holds(&self, cx: &StepContext, fact: &str) -> Result<bool, StepError> {
        let (ledger, fact) = (self.session.ledger.clone(), fact.to_owned());
        self.read(cx, move |conn| facts::holds(conn, &ledger, &fact)).await
    }

    async fn change_counter(&self, cx: &StepContext) -> Result<Option<u64>, StepError> {
        let session = self.session();
        cx.blocking(move || session.change_counter().map(Some)).await
    }

    fn ledger(&self) -> Option<&dyn Ledger> {
        Some(self)
    }

    fn blur(&self) {
        self.blurred.store(true, Ordering::Relaxed);
    }

    async fn unmoved(&self, _cx: &StepContext) -> Result<(), StepError> {
        self.session.unmoved()
    }

    async fn close(&self, cx: &StepContext) -> Result<(), StepError> {
        let session = self.session();
        cx.blocking(move || {
            session.close();
            Ok(())
        })
        .await
    }
}

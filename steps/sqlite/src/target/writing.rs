//! The ways to write: a change, its reverse, batches, and what no transaction can do.
//!
//! Owns what every transaction begins and ends with: the epoch, the freeze of its own run, the ledger row, and which rows
//! were written.

use std::time::{Duration, Instant};

use cutover_core::{Receipt, StepContext, StepError, StepInfo, fault};
use jiff::Timestamp;
use rusqlite::Connection;

use super::commits::Batching;
use super::patience::unless_insisted;
use super::session::{ForeignKeys, Session};
use super::{Recorder, SqliteTarget, bookkeeping, company, connect, frozen, keeper, kept, watch};

/// How a transaction goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    keys: ForeignKeys,
    /// How long it waits for others' locks.
    patience: Duration,
    /// Whether it is refused where others changed the schema under a freeze.
    strict: bool,
    /// Whether its commit alone need not be durable: whatever rests on it is committed behind it.
    lightly: bool,
}

impl How {
    /// A change.
    pub(super) const CHANGES: Self =
        Self { keys: ForeignKeys::On, patience: connect::BUSY_TIMEOUT, strict: true, lightly: false };
    /// Only bookkeeping.
    pub(super) const RECORDS: Self = Self { strict: false, ..Self::CHANGES };
    /// The way back.
    pub(super) const REVERSES: Self = Self { keys: ForeignKeys::Off, ..Self::RECORDS };
    /// Helpers of ours, before the change or the reversal that they are for. There are many, and each may come to a program
    /// that hardly ever lets go.
    pub(super) const ASIDE: Self =
        Self { patience: connect::BUSY_TIMEOUT.saturating_mul(6), lightly: true, ..Self::REVERSES };
}

/// What a transaction knows of the step it is for.
#[derive(Debug)]
pub(super) struct At {
    pub(super) ledger: String,
    pub(super) step: StepInfo,
    pub(super) now: Timestamp,
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

/// How long a batch kept other writers out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) whole: Duration,
    /// What of it the commit took: writing pages, and waiting for the disk.
    pub(crate) commit: Duration,
}

impl SqliteTarget {
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

    /// Compiles what the next change runs, on the connection that it runs by, while others can write: `ready` runs in a read
    /// transaction. What goes wrong here is for the change itself to tell.
    pub(crate) async fn before_change<F>(&self, cx: &StepContext, ready: F)
    where
        F: FnOnce(&Connection) -> Result<(), StepError> + Send + 'static,
    {
        self.before(cx, How::CHANGES, ready).await;
    }

    /// The same before a reversal, or what is done [aside](Self::aside).
    pub(crate) async fn before_reversal<F>(&self, cx: &StepContext, ready: F)
    where
        F: FnOnce(&Connection) -> Result<(), StepError> + Send + 'static,
    {
        self.before(cx, How::REVERSES, ready).await;
    }

    async fn before<F>(&self, cx: &StepContext, how: How, ready: F)
    where
        F: FnOnce(&Connection) -> Result<(), StepError> + Send + 'static,
    {
        let session = self.session();
        let _ = cx.blocking(move || session.ready(how.keys, ready)).await;
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
        let batching = Batching { memory: false, alone: false };
        Ok(self.timed_batch(cx, batching, move |conn, _| work(conn)).await?.0)
    }

    /// The same; `work` can ask which rows it inserts. Returns, too, how long other writers were kept out.
    pub(crate) async fn timed_batch<T, F>(
        &self,
        cx: &StepContext,
        batching: Batching,
        work: F,
    ) -> Result<(T, Held), StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Recorder) -> Result<T, StepError> + Send + 'static,
    {
        self.readied_batch(cx, batching, |_| Ok(()), work).await
    }

    /// The same. Before others are kept out, `ready` does on the same connection what can be done by then: what it prepares
    /// and leaves in the connection's cache, `work` finds compiled.
    pub(crate) async fn readied_batch<T, R, F>(
        &self,
        cx: &StepContext,
        batching: Batching,
        ready: R,
        work: F,
    ) -> Result<(T, Held), StepError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<(), StepError> + Send + 'static,
        F: FnOnce(&Connection, &Recorder) -> Result<T, StepError> + Send + 'static,
    {
        let recorder = self.recorder(cx);
        let session = self.session();
        let at = At { ledger: session.ledger.clone(), step: cx.info().clone(), now: cx.now() };
        let inner = cx.clone();
        cx.blocking(move || {
            let grouped = session.in_group();
            let (((value, begun, worked), left), ended) = session.batch(batching, ready, |conn| {
                let begun = Instant::now();
                at.within(&session, conn, grouped, true, || {
                    fault::point(fault::SQLITE_BATCH_BEGUN);
                    bookkeeping::refuse_applied(conn, &at.ledger, &at.step)?;
                    let work = || recorded(recorder, conn, &at, || work(conn, &session.recorder));
                    let value = unless_insisted(&inner, work)?;
                    fault::point(fault::SQLITE_BATCH_MADE);
                    Ok((value, begun, begun.elapsed()))
                })
            })?;
            if !grouped {
                session.keeper.follow(&session, &at.step, left)?;
            }
            let whole = ended.saturating_duration_since(begun);
            Ok((value, Held { whole, commit: whole.saturating_sub(worked) }))
        })
        .await
    }

    /// Whether another process has the database open; also where nothing tells.
    pub(crate) async fn has_company(&self, cx: &StepContext) -> Result<bool, StepError> {
        let session = self.session();
        cx.blocking(move || Ok(company::has_others(&session.path))).await
    }

    /// A transaction about helpers of ours beside the user's tables: neither ledger row nor cursor, foreign keys off. Who
    /// calls it sees to what a killed run leaves of them, or a power failure, which may take it back where a change or a
    /// reversal behind it would make it durable. Afterwards the writers that it kept out have their turn.
    pub(crate) async fn aside<T, F>(&self, cx: &StepContext, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StepError> + Send + 'static,
    {
        let work = move |conn: &Connection, _: &At| {
            let begun = Instant::now();
            Ok((work(conn)?, begun))
        };
        let (value, begun) = self.transaction(cx, How::ASIDE, work).await?;
        let gap = self.session().gap(begun.elapsed());
        cx.blocking(move || {
            std::thread::sleep(gap);
            Ok(value)
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

    pub(super) async fn transaction<T, F>(&self, cx: &StepContext, how: How, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &At) -> Result<T, StepError> + Send + 'static,
    {
        let session = self.session();
        let at = At { ledger: session.ledger.clone(), step: cx.info().clone(), now: cx.now() };
        let inner = cx.clone();
        cx.blocking(move || {
            let grouped = session.in_group();
            let (value, left) = session.transaction((how.keys, how.patience, how.lightly), |conn| {
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
}

/// What comes first in a transaction, or in that of a group.
pub(super) fn admit(session: &Session, conn: &Connection, step: &StepInfo, strict: bool) -> Result<(), StepError> {
    bookkeeping::create(conn, &session.ledger)?;
    bookkeeping::check_epoch(conn, step.epoch)?;
    let altered = frozen::enter(conn, &session.ledger, step, session.keeper.passed(conn)?)?;
    if strict { refuse_altered(session, &altered) } else { Ok(()) }
}

/// Closes the freeze behind a transaction, if there is one, and says what its keeper has to know.
pub(super) fn leave(conn: &Connection, ledger: &str) -> Result<keeper::Left, StepError> {
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

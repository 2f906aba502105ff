//! The target kind `sqlite`: one database file, its connections, its ledger.
//!
//! Owns [`SqliteTarget`] and the only ways to its database: [`read`](SqliteTarget::read),
//! [`change`](SqliteTarget::change), [`reverse`](SqliteTarget::reverse) and [`batch`](SqliteTarget::batch).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cutover_core::{
    Assessment, BuildError, Depth, Fingerprint, Ledger, LedgerEntry, RestoreOptions, Restored, SnapshotManifest,
    StepContext, StepError, Target, TargetKind, TargetSpec, async_trait, fault, fault::Faults, register_target,
};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Deserialize;

mod assess;
mod before;
pub mod bookkeeping;
mod catalog;
mod commits;
mod company;
mod connect;
mod counted;
mod defaults;
mod dump;
mod duplicate;
mod facts;
mod fingerprint;
mod folding;
pub(crate) mod frozen;
mod heard;
mod held;
mod held_back;
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
mod sketched;
mod snapshot;
mod still;
mod turns;
mod watch;
mod writing;

use crate::lint::Sketch;
pub(crate) use catalog::{plain_tables, rowid_alias};
pub(crate) use commits::Batching;
pub(crate) use connect::reader as connect_reader;
pub(crate) use dump::database as dump_database;
pub(crate) use heard::Ranges;
pub(crate) use kept::of as kept_of;
use patience::unless_insisted;
pub(crate) use recorder::Recorder;
use session::Session;
pub(crate) use turns::Turns;
pub(crate) use writing::Held;

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

/// The points of a step that compares two schemas before its change, and before its reversal.
pub(crate) const COMPARED: Faults = Faults {
    apply: &[
        fault::PARITY_LOOKED,
        fault::SQLITE_CHANGE_BEGUN,
        fault::SQLITE_CHANGE_MADE,
        fault::SQLITE_CHANGE_RECORDED,
        fault::SQLITE_COMMIT,
        fault::SQLITE_COMMITTED,
    ],
    rollback: &[
        fault::PARITY_LOOKED,
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

    fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }
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
        let read = |conn: &Connection| Ok([counted::remarks(conn)?, held_back::remarks(conn)?].concat());
        self.read_moment(cx, read).await
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

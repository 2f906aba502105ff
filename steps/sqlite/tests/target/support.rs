//! A database in a folder of its own, and a target over it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cutover_core::{
    Depth, Fingerprint, Receipt, StepContext, StepError, StepInfo, Target, TargetKind, TargetSpec, Targets,
};
use cutover_steps_sqlite::SqliteTarget;
use cutover_tests::TestHost;
use pollster::block_on;
use rusqlite::Connection;
use tempfile::TempDir;

/// A root with `app.db` in it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
}

impl World {
    /// `app.db` is what the sqlite3 program makes of `sql`.
    pub(crate) fn new(sql: &str) -> Self {
        let world = Self { folder: TempDir::new().unwrap() };
        fs::write(world.db(), "").unwrap();
        world.sql(sql);
        world
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// Runs `sql` with the sqlite3 program, in a process of its own.
    pub(crate) fn sql(&self, sql: &str) -> String {
        cutover_tests::sqlite3(self.db(), sql)
    }

    /// A target as a new run of `epoch` opens it.
    pub(crate) fn open(&self, epoch: u64) -> Opened {
        let spec = TargetSpec {
            name: "app".to_owned(),
            kind: "sqlite".to_owned(),
            path: "app.db".to_owned(),
            ledger: None,
            config: serde_json::Value::Null,
        };
        let config = serde_json::from_str("{}").unwrap();
        let target = Arc::new(<SqliteTarget as TargetKind>::build(config, &spec, self.db()).unwrap());
        let mut targets = Targets::new();
        targets.insert("app".to_owned(), Arc::clone(&target) as Arc<dyn Target>);
        let root = self.folder.path().to_owned();
        let cx = StepContext::new(
            StepInfo { plan: "p".to_owned(), run: format!("r{epoch}"), epoch, ..StepInfo::default() },
            Arc::new(TestHost::new()),
            Arc::new(targets),
            root.clone(),
            root.clone(),
            root.join(".cutover"),
            Arc::new(BTreeMap::from([("least".to_owned(), serde_json::json!(2))])),
        );
        Opened { target, cx }
    }
}

/// An open target and the context of its run.
pub(crate) struct Opened {
    pub(crate) target: Arc<SqliteTarget>,
    pub(crate) cx: StepContext,
}

impl Opened {
    pub(crate) fn step(&self, id: &str) -> StepContext {
        let info = StepInfo {
            id: id.to_owned(),
            digest: format!("digest of {id}"),
            checksum: "c".to_owned(),
            ..self.cx.info().clone()
        };
        self.cx.for_step(info)
    }

    /// A change of step `id` that runs `sql`.
    pub(crate) fn change(&self, id: &str, sql: &str) -> Result<Receipt, StepError> {
        let sql = sql.to_owned();
        block_on(self.target.change(&self.step(id), move |conn| {
            run(conn, &sql)?;
            Ok(Receipt::nothing().with_note(sql))
        }))
    }

    /// The reversal of step `id`, running `sql`.
    pub(crate) fn reverse(&self, id: &str, sql: &str) -> Result<(), StepError> {
        let sql = sql.to_owned();
        block_on(self.target.reverse(&self.step(id), move |conn| run(conn, &sql)))
    }

    pub(crate) fn print(&self) -> Fingerprint {
        block_on(self.target.fingerprint(&self.cx, Depth::Content)).unwrap()
    }

    pub(crate) fn measure(&self, query: &str) -> Result<f64, StepError> {
        block_on(self.target.measure(&self.cx, query))
    }
}

fn run(conn: &Connection, sql: &str) -> Result<(), StepError> {
    conn.execute_batch(sql).map_err(|e| cutover_steps_sqlite::sql::sqlite_error(e, "in a test"))
}

/// Message and help of an error, with the folder's path taken out.
pub(crate) fn shown(world: &World, error: &StepError) -> String {
    let text = format!("{}: {error}\nhelp: {}", error.kind(), error.help().unwrap_or("-"));
    text.replace(&world.folder.path().display().to_string(), "ROOT")
}

/// The bytes of a file; none when it is not there.
pub(crate) fn bytes(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

/// Runs a Python program with `arg` in `sys.argv[1]`.
pub(crate) fn python(program: &str, arg: &Path) -> String {
    let output = Command::new("python3").arg("-c").arg(program).arg(arg).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

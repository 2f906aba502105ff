//! The target contract: a thing that holds state, how it is looked at, set aside and put back.
//!
//! Owns [`Target`], the optional [`Ledger`] of a target with transactions, and the documents they exchange.
//! Knows nothing of any particular store.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::room::shares_blocks;
use crate::{Difference, Receipt, StepContext, StepError, differences};

/// A thing that holds state: a database, a key-value store, a folder.
///
/// Every method but `snapshot`'s destination and `restore` is read-only.
#[async_trait]
pub trait Target: Any + fmt::Debug + Send + Sync {
    /// Its name in the plan.
    fn name(&self) -> &str;

    /// Its registered kind.
    fn kind(&self) -> &'static str;

    /// Where it lives on disk (absolute).
    fn path(&self) -> &Path;

    /// Kind, version, sizes, counts, health, and what is wrong already.
    ///
    /// A target that is missing, encrypted, corrupt or read-only is an [`Unavailable`](crate::StepErrorKind) error
    /// that names the file and the remedy.
    async fn assess(&self, cx: &StepContext) -> Result<Assessment, StepError>;

    /// Digest of the logical content. [`Depth::Schema`] is cheap; [`Depth::Content`] reads everything.
    async fn fingerprint(&self, cx: &StepContext, depth: Depth) -> Result<Fingerprint, StepError>;

    /// A consistent, hashed (BLAKE3), fsynced copy inside the folder `into`, proven to open.
    async fn snapshot(&self, cx: &StepContext, into: &Path) -> Result<SnapshotManifest, StepError>;

    /// Puts a snapshot back, after setting the present state aside. What no step in `options.undone` wrote is foreign:
    /// it is exported, and lost only with `accept_loss`.
    async fn restore(
        &self,
        cx: &StepContext,
        from: &SnapshotManifest,
        options: &RestoreOptions,
    ) -> Result<Restored, StepError>;

    /// What is in the target now and was not in `from`, in the store's own words. A step whose program writes past the
    /// target takes a copy before and asks this after; it belongs into the receipt's
    /// [`wrote`](Receipt::wrote), where a later restore looks for it. Null: the store does not ask at a restore.
    async fn changes_since(&self, cx: &StepContext, from: &SnapshotManifest) -> Result<serde_json::Value, StepError> {
        let _ = (cx, from);
        Ok(serde_json::Value::Null)
    }

    /// Rows, records or files by table, prefix or folder. Cheaper than [`assess`](Self::assess) where the kind has a way.
    async fn counts(&self, cx: &StepContext) -> Result<BTreeMap<String, u64>, StepError> {
        Ok(self.assess(cx).await?.counts)
    }

    /// Bytes that it takes on disk, by a look.
    async fn bytes(&self, cx: &StepContext) -> Result<u64, StepError> {
        Ok(self.assess(cx).await?.bytes)
    }

    /// Bytes that a snapshot of it takes up in `folder`, by a look: none where all its blocks are shared.
    async fn snapshot_bytes(&self, cx: &StepContext, folder: &Path) -> Result<u64, StepError> {
        if shares_blocks(self.path(), folder) { Ok(0) } else { self.bytes(cx).await }
    }

    /// The files that are wholly its own, absolute: a copy of the folder that it lies in leaves them out, since only
    /// [`copy_to`](Self::copy_to) copies them consistently. None for plain files.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// A consistent, hashed copy of it at `path`, where nothing of it is yet: for a rehearsal. By default nothing is
    /// done: copying the folder that it lies in is enough. The caller makes the folder of `path`.
    async fn copy_to(&self, cx: &StepContext, path: &Path) -> Result<(), StepError> {
        let _ = (cx, path);
        Ok(())
    }

    /// How the content differs from that of a target of the same kind at `original`, a line for each of the first
    /// entries: "table plugins: only in the original: 3, 'audit'". Empty when the store cannot tell. Read-only.
    async fn differing(&self, cx: &StepContext, original: &Path) -> Result<Vec<String>, StepError> {
        let _ = (cx, original);
        Ok(Vec::new())
    }

    /// A scalar in the target's own language (an SQL query, say), for gates and declared counts.
    async fn measure(&self, cx: &StepContext, query: &str) -> Result<f64, StepError>;

    /// What an operator should know of it beside the steps: the stage of a migration, what programs counted. Lines for
    /// people, for `status`.
    async fn remarks(&self, cx: &StepContext) -> Result<Vec<String>, StepError> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// Whether a fact holds, for `when`: "table:NAME", "column:TABLE.NAME", "file:PATH"; an unknown form is an error.
    async fn holds(&self, cx: &StepContext, fact: &str) -> Result<bool, StepError>;

    /// A number that moves when anybody else commits, as seen by this open target; none where the store has none.
    async fn change_counter(&self, cx: &StepContext) -> Result<Option<u64>, StepError> {
        let _ = cx;
        Ok(None)
    }

    /// The rows that the store itself keeps of what was applied to it, where it has transactions.
    fn ledger(&self) -> Option<&dyn Ledger> {
        None
    }

    /// A step that is to come first changes it in a way that nobody can tell by looking: whoever lints later steps on a copy
    /// of its structure takes nothing that is missing there for missing.
    fn blur(&self) {}

    /// Refuses when its path leads to nothing by now, or to something else than what it has open: what is read or written
    /// then is not what others find there. Costs a look at the path.
    async fn unmoved(&self, cx: &StepContext) -> Result<(), StepError> {
        let _ = cx;
        Ok(())
    }

    /// Releases every handle and lock of the store (a waiting run holds none). The target opens again when next used.
    async fn close(&self, cx: &StepContext) -> Result<(), StepError> {
        let _ = cx;
        Ok(())
    }
}

/// The ledger of a target with transactions, and the group transaction around several steps.
///
/// A change writes its ledger row in its own transaction; after a crash the ledger is the truth and the journal
/// follows it. `cx` names the plan, step, run and epoch that a row is about.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The rows of `plan`, in the order they were applied. None when the table is absent.
    async fn entries(&self, cx: &StepContext, plan: &str) -> Result<Vec<LedgerEntry>, StepError>;

    /// The highest epoch that ever wrote here (0: none).
    async fn epoch(&self, cx: &StepContext) -> Result<u64, StepError>;

    /// Raises the stored epoch to the context's, so that older runners are refused from now on.
    async fn fence(&self, cx: &StepContext) -> Result<(), StepError>;

    /// Takes away what a run that is over left in force (a freeze, say), and says so: the step that made it, and the text.
    /// Asked when a run begins and has the locks.
    async fn settle(&self, cx: &StepContext) -> Result<Vec<(String, String)>, StepError> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// The context's run ends: gives up what it holds in force and says so, as [`settle`](Ledger::settle) does.
    async fn release(&self, cx: &StepContext) -> Result<Vec<(String, String)>, StepError> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// Opens a group transaction. Until [`commit`](Ledger::commit), every change of this target nests in it.
    async fn begin(&self, cx: &StepContext) -> Result<(), StepError>;

    /// Marks the start of the context's step inside the open group.
    async fn savepoint(&self, cx: &StepContext) -> Result<(), StepError>;

    /// Undoes all since the last savepoint; the group stays open.
    async fn undo(&self, cx: &StepContext) -> Result<(), StepError>;

    /// Makes the open group durable.
    async fn commit(&self, cx: &StepContext) -> Result<(), StepError>;

    /// Undoes the open group whole. Without an open group it does nothing.
    async fn abort(&self, cx: &StepContext) -> Result<(), StepError>;

    /// Records a failed step (`success = 0`, message) in a transaction of its own.
    async fn record_failure(&self, cx: &StepContext, message: &str) -> Result<(), StepError>;

    /// Writes the row of the context's step without making a change (baseline, resolve).
    async fn adopt(&self, cx: &StepContext, receipt: &Receipt) -> Result<(), StepError>;

    /// Deletes the row of the context's step without making a change (resolve).
    async fn forget(&self, cx: &StepContext) -> Result<(), StepError>;
}

/// One row of a ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The plan's name.
    pub plan: String,
    /// The step's id.
    pub step: String,
    /// The run that wrote it.
    pub run: String,
    /// That run's epoch.
    pub epoch: u64,
    /// Token-wise digest of what was applied (BLAKE3, hex).
    pub digest: String,
    /// SHA-256 of the script or configuration, hex.
    pub checksum: String,
    /// False for a recorded failure.
    pub success: bool,
    /// The message of a recorded failure.
    pub error_message: Option<String>,
    /// What the step made.
    pub receipt: Option<Receipt>,
    /// Why what is there as its receipt cannot be read, if so; `receipt` is none then.
    pub unreadable: Option<String>,
    /// When, as the store wrote it (RFC 3339, UTC).
    pub applied_at: String,
}

/// What a look at a target found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The registered kind.
    pub kind: String,
    /// The store's format or library version.
    pub version: String,
    /// Bytes on disk, all files of the target.
    pub bytes: u64,
    /// Rows, records or files by table, prefix or folder.
    pub counts: BTreeMap<String, u64>,
    /// Facts in the store's own words: "journal_mode" → "wal".
    pub facts: BTreeMap<String, String>,
    /// What is wrong already, one line each. Not a refusal.
    pub problems: Vec<String>,
}

/// How deep a fingerprint goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Structure only: cheap.
    Schema,
    /// Structure and every row, record or file.
    Content,
}

/// Digest of a target's logical content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The registered kind of the target.
    pub kind: String,
    /// Digest (BLAKE3, hex) of each structural object by name ("table conversations").
    pub schema: BTreeMap<String, String>,
    /// Digest and count of each table, prefix or file; none at [`Depth::Schema`].
    pub content: Option<BTreeMap<String, PartPrint>>,
}

/// Digest of one part of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPrint {
    /// BLAKE3, hex.
    pub digest: String,
    /// Rows, records or bytes.
    pub count: u64,
}

impl Fingerprint {
    /// One digest of the structural part.
    pub fn schema_digest(&self) -> String {
        crate::blake3_hex(crate::canonical_json(&serde_json::json!(self.schema)).as_bytes())
    }

    /// One digest of all of it.
    pub fn digest(&self) -> String {
        crate::blake3_hex(crate::canonical_json(&serde_json::json!([self.kind, self.schema, self.content])).as_bytes())
    }

    /// What is otherwise in `now`, one line per object: "table plugins is gone", "table orders: 5 entries then, 6 now".
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut lines: Vec<String> =
            differences(&self.schema, &now.schema).map(|(name, how)| format!("{name} {how}")).collect();
        if let (Some(was), Some(is)) = (&self.content, &now.content) {
            lines.extend(differences(was, is).filter_map(|(name, how)| match how {
                Difference::Other { was, is } if was.count != is.count => {
                    Some(format!("{name}: {} entries then, {} now", was.count, is.count))
                }
                Difference::Other { is, .. } => {
                    Some(format!("{name}: content changed ({} entries then and now)", is.count))
                }
                // The structure says so already, if the part is one that has any.
                _ if self.schema.contains_key(name) || now.schema.contains_key(name) => None,
                how => Some(format!("content of {name} {how}")),
            }));
        }
        lines
    }
}

/// A snapshot on disk: what it holds and how to know that it is whole. Stored beside it as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotManifest {
    /// Format version of this document: [`SnapshotManifest::VERSION`].
    pub version: u32,
    /// The target's name in the plan.
    pub target: String,
    /// The target's kind.
    pub kind: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Folder that the files are relative to (absolute).
    pub folder: PathBuf,
    /// The files of the snapshot.
    pub files: Vec<SnapshotFile>,
    /// Structural fingerprint at that moment.
    pub schema_digest: String,
    /// Rows, records or files by part at that moment.
    pub counts: BTreeMap<String, u64>,
}

impl SnapshotManifest {
    /// The format version that this build writes.
    pub const VERSION: u32 = 1;

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// Path relative to the manifest's folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3, hex.
    pub blake3: String,
}

/// What a restore may do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestoreOptions {
    /// Folder that receives the present state and the rows that others wrote since the snapshot.
    pub aside: PathBuf,
    /// Whether rows that others wrote since the snapshot may be lost from the target (they are exported first).
    pub accept_loss: bool,
    /// The steps of the context's plan that are undone by or together with this restore, and what is known that they
    /// made. Only what these wrote is taken back without asking.
    pub undone: BTreeMap<String, Option<Receipt>>,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Copy of the state that was replaced.
    pub aside: PathBuf,
    /// Rows since the snapshot that are no longer in the target, by table.
    pub lost: BTreeMap<String, u64>,
}

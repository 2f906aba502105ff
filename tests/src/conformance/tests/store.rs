//! A toy target with transactions: a JSON file of rows and its own ledger.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cutover_core::{
    Assessment, BuildError, Depth, Fingerprint, Ledger, LedgerEntry, PartPrint, Receipt, RestoreOptions, Restored,
    SnapshotManifest, StepContext, StepError, Target, TargetKind, TargetSpec, async_trait, blake3_hex,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All that the file holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Doc {
    pub(super) rows: BTreeMap<String, String>,
    pub(super) ledger: Vec<LedgerEntry>,
}

/// The target: the file, or the working copy of an open group with its last savepoint.
#[derive(Debug)]
pub(super) struct Store {
    name: String,
    path: PathBuf,
    group: Mutex<Option<(Doc, Doc)>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreConfig {}

impl TargetKind for Store {
    const KIND: &'static str = "toy-store";
    const SUMMARY: &'static str = "A JSON file";
    const EXAMPLE: &'static str = "kind = \"toy-store\"\npath = \"store.json\"";
    const FACTS: &'static [&'static str] = &["row:KEY"];
    type Config = StoreConfig;

    fn build(_: StoreConfig, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError> {
        Ok(Self { name: spec.name.clone(), path, group: Mutex::new(None) })
    }
}

impl Store {
    pub(super) fn read(&self) -> Doc {
        match &*self.group.lock().unwrap() {
            Some((now, _)) => now.clone(),
            None => self.on_disk(),
        }
    }

    pub(super) fn write(&self, doc: Doc) {
        match &mut *self.group.lock().unwrap() {
            Some((now, _)) => *now = doc,
            None => self.to_disk(&doc),
        }
    }

    pub(super) fn on_disk(&self) -> Doc {
        serde_json::from_slice(&fs::read(&self.path).unwrap()).unwrap()
    }

    pub(super) fn to_disk(&self, doc: &Doc) {
        fs::write(&self.path, serde_json::to_vec(doc).unwrap()).unwrap();
    }
}

#[async_trait]
impl Target for Store {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn path(&self) -> &Path {
        &self.path
    }

    async fn assess(&self, _: &StepContext) -> Result<Assessment, StepError> {
        Err(StepError::failed("a toy is not assessed"))
    }

    async fn fingerprint(&self, _: &StepContext, _: Depth) -> Result<Fingerprint, StepError> {
        let print = |value: String| PartPrint { digest: blake3_hex(value.as_bytes()), count: 1 };
        let content = self.read().rows.into_iter().map(|(key, value)| (key, print(value))).collect();
        Ok(Fingerprint { kind: Self::KIND.to_owned(), schema: BTreeMap::new(), content: Some(content) })
    }

    async fn snapshot(&self, cx: &StepContext, into: &Path) -> Result<SnapshotManifest, StepError> {
        fs::create_dir_all(into).unwrap();
        fs::copy(&self.path, into.join("store.json")).unwrap();
        Ok(SnapshotManifest {
            version: SnapshotManifest::VERSION,
            target: self.name.clone(),
            kind: Self::KIND.to_owned(),
            taken_at: cx.now(),
            folder: into.to_owned(),
            files: Vec::new(),
            schema_digest: String::new(),
            counts: BTreeMap::new(),
        })
    }

    async fn restore(
        &self,
        _: &StepContext,
        from: &SnapshotManifest,
        options: &RestoreOptions,
    ) -> Result<Restored, StepError> {
        fs::copy(from.folder.join("store.json"), &self.path).unwrap();
        Ok(Restored { aside: options.aside.clone(), lost: BTreeMap::new() })
    }

    async fn measure(&self, _: &StepContext, _: &str) -> Result<f64, StepError> {
        Err(StepError::failed("a toy is not measured"))
    }

    async fn holds(&self, _: &StepContext, fact: &str) -> Result<bool, StepError> {
        Ok(fact.strip_prefix("row:").is_some_and(|key| self.read().rows.contains_key(key)))
    }

    fn ledger(&self) -> Option<&dyn Ledger> {
        Some(self)
    }
}

#[async_trait]
impl Ledger for Store {
    async fn entries(&self, _: &StepContext, plan: &str) -> Result<Vec<LedgerEntry>, StepError> {
        Ok(self.read().ledger.into_iter().filter(|row| row.plan == plan).collect())
    }

    async fn epoch(&self, _: &StepContext) -> Result<u64, StepError> {
        Ok(self.read().ledger.iter().map(|row| row.epoch).max().unwrap_or(0))
    }

    async fn fence(&self, _: &StepContext) -> Result<(), StepError> {
        Ok(())
    }

    async fn begin(&self, _: &StepContext) -> Result<(), StepError> {
        let doc = self.on_disk();
        *self.group.lock().unwrap() = Some((doc.clone(), doc));
        Ok(())
    }

    async fn savepoint(&self, _: &StepContext) -> Result<(), StepError> {
        if let Some((now, savepoint)) = &mut *self.group.lock().unwrap() {
            *savepoint = now.clone();
        }
        Ok(())
    }

    async fn undo(&self, _: &StepContext) -> Result<(), StepError> {
        if let Some((now, savepoint)) = &mut *self.group.lock().unwrap() {
            *now = savepoint.clone();
        }
        Ok(())
    }

    async fn commit(&self, _: &StepContext) -> Result<(), StepError> {
        if let Some((now, _)) = self.group.lock().unwrap().take() {
            self.to_disk(&now);
        }
        Ok(())
    }

    async fn abort(&self, _: &StepContext) -> Result<(), StepError> {
        *self.group.lock().unwrap() = None;
        Ok(())
    }

    async fn record_failure(&self, _: &StepContext, _: &str) -> Result<(), StepError> {
        Ok(())
    }

    async fn adopt(&self, _: &StepContext, _: &Receipt) -> Result<(), StepError> {
        Ok(())
    }

    async fn forget(&self, _: &StepContext) -> Result<(), StepError> {
        Ok(())
    }
}

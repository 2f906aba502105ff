//! A target for this crate's tests: a folder whose files somebody may write while it is being copied.

mod systems;

pub(crate) use systems::{ARTIFACT, ASSESS, SNAPSHOT, app, command, repository, two_files, wait};

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::{
    Assessment, BuildError, Depth, Fingerprint, PartPrint, RestoreOptions, Restored, SnapshotFile, SnapshotManifest,
    StepContext, StepError, Target, TargetKind, TargetSpec, async_trait, blake3_hex, register_target,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// One file. While its snapshot is taken, a file `writer` beside it makes somebody append to the file named inside.
#[derive(Debug)]
pub(crate) struct OneFile {
    name: String,
    path: PathBuf,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoConfig {}

impl TargetKind for OneFile {
    const KIND: &'static str = "test.file";
    const SUMMARY: &'static str = "one file";
    const EXAMPLE: &'static str = "kind = \"test.file\"\npath = \"a.db\"\n";
    const FACTS: &'static [&'static str] = &["there"];
    type Config = NoConfig;

    fn build(_: NoConfig, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError> {
        Ok(Self { name: spec.name.clone(), path })
    }
}

register_target!(OneFile);

impl OneFile {
    fn bytes(&self) -> Result<Vec<u8>, StepError> {
        fs::read(&self.path).map_err(|e| {
            StepError::unavailable(format!("`{}` is missing", self.name)).with_help("make it").caused_by(e)
        })
    }
}

#[async_trait]
impl Target for OneFile {
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
        Ok(Assessment {
            kind: Self::KIND.to_owned(),
            version: "1".to_owned(),
            bytes: self.bytes()?.len() as u64,
            counts: BTreeMap::from([("lines".to_owned(), self.bytes()?.split(|b| *b == b'\n').count() as u64 - 1)]),
            facts: BTreeMap::new(),
            problems: Vec::new(),
        })
    }

    async fn fingerprint(&self, _: &StepContext, depth: Depth) -> Result<Fingerprint, StepError> {
        let bytes = self.bytes().unwrap_or_default();
        let part = PartPrint { digest: blake3_hex(&bytes), count: bytes.len() as u64 };
        let content = (depth == Depth::Content).then(|| BTreeMap::from([("file".to_owned(), part)]));
        Ok(Fingerprint { kind: Self::KIND.to_owned(), schema: BTreeMap::new(), content })
    }

    async fn snapshot(&self, cx: &StepContext, into: &Path) -> Result<SnapshotManifest, StepError> {
        let bytes = self.bytes()?;
        fs::create_dir_all(into).unwrap();
        fs::write(into.join("copy"), &bytes).unwrap();
        if let Ok(victim) = fs::read_to_string(self.path.with_file_name("writer")) {
            fs::write(self.path.with_file_name(victim), "written meanwhile").unwrap();
        }
        let files =
            vec![SnapshotFile { path: "copy".to_owned(), bytes: bytes.len() as u64, blake3: blake3_hex(&bytes) }];
        Ok(SnapshotManifest {
            version: SnapshotManifest::VERSION,
            target: self.name.clone(),
            kind: Self::KIND.to_owned(),
            taken_at: cx.now(),
            folder: into.to_owned(),
            files,
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
        fs::copy(from.folder.join("copy"), &self.path).unwrap();
        Ok(Restored { aside: options.aside.clone(), lost: BTreeMap::new() })
    }

    async fn measure(&self, _: &StepContext, query: &str) -> Result<f64, StepError> {
        Ok(String::from_utf8_lossy(&self.bytes()?).matches(query).count() as f64)
    }

    async fn holds(&self, _: &StepContext, fact: &str) -> Result<bool, StepError> {
        Ok(fact == "there" && self.path.exists())
    }

    async fn change_counter(&self, _: &StepContext) -> Result<Option<u64>, StepError> {
        Ok(Some(self.bytes()?.len() as u64))
    }
}

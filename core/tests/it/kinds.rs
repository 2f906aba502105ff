//! Test-only step and target kinds: enough of each promise for the compiler's rules to bite.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_core::plan::{CompileErrors, CompileInput, Plan, PlanFiles, StoredFiles, compile};
use cutover_core::{
    Action, Applied, Assessment, BuildContext, BuildError, Change, Depth, Fingerprint, Layer, MigrationStep, Notice,
    Notifier, NotifierDescriptor, NotifierKind, Receipt, Registry, RestoreOptions, Restored, Reversal,
    SnapshotManifest, StepContext, StepDescriptor, StepError, StepKind, Target, TargetDescriptor, TargetKind,
    TargetSpec, Use, Verdict, async_trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// A made-up store that knows tables and columns.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

/// Configuration of a [`Store`].
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StoreConfig {
    /// Another file that belongs to it.
    pub(crate) beside: Option<String>,
}

impl TargetKind for Store {
    const KIND: &'static str = "test.store";
    const SUMMARY: &'static str = "A made-up store";
    const EXAMPLE: &'static str = "kind = \"test.store\"\npath = \"store.db\"";
    const FACTS: &'static [&'static str] = &["table:NAME", "column:TABLE.NAME", "empty"];
    type Config = StoreConfig;

    fn claims(config: &StoreConfig, spec: &TargetSpec) -> Vec<String> {
        std::iter::once(spec.path.clone()).chain(config.beside.clone()).collect()
    }

    fn build(_: StoreConfig, _: &TargetSpec, path: PathBuf) -> Result<Self, BuildError> {
        Ok(Self(path))
    }
}

fn never<T>() -> Result<T, StepError> {
    Err(StepError::internal("the compiler runs nothing"))
}

#[async_trait]
impl Target for Store {
    fn name(&self) -> &str {
        "store"
    }
    fn kind(&self) -> &'static str {
        Self::KIND
    }
    fn path(&self) -> &Path {
        &self.0
    }
    async fn assess(&self, _: &StepContext) -> Result<Assessment, StepError> {
        never()
    }
    async fn fingerprint(&self, _: &StepContext, _: Depth) -> Result<Fingerprint, StepError> {
        never()
    }
    async fn snapshot(&self, _: &StepContext, _: &Path) -> Result<SnapshotManifest, StepError> {
        never()
    }
    async fn restore(&self, _: &StepContext, _: &SnapshotManifest, _: &RestoreOptions) -> Result<Restored, StepError> {
        never()
    }
    async fn measure(&self, _: &StepContext, _: &str) -> Result<f64, StepError> {
        never()
    }
    async fn holds(&self, _: &StepContext, _: &str) -> Result<bool, StepError> {
        never()
    }
}

/// The one step behind every test kind.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    uses: Vec<Use>,
    reversal: Reversal,
    snapshots: Vec<String>,
    source: Option<Vec<u8>>,
}

#[async_trait]
impl MigrationStep for Made {
    fn describe(&self) -> Vec<Change> {
        vec![Change::new(Action::Alter, "store")]
    }
    fn uses(&self) -> Vec<Use> {
        self.uses.clone()
    }
    fn reversal(&self) -> Reversal {
        self.reversal.clone()
    }
    fn snapshots(&self) -> Vec<String> {
        self.snapshots.clone()
    }
    fn checksum_source(&self) -> Option<Vec<u8>> {
        self.source.clone()
    }
    async fn apply(&self, _: &StepContext) -> Result<Applied, StepError> {
        never()
    }
    async fn verify(&self, _: &StepContext) -> Result<Verdict, StepError> {
        never()
    }
    async fn rollback(&self, _: &StepContext, _: Option<&Receipt>) -> Result<(), StepError> {
        never()
    }
}

/// One new thing that a `test.write` adds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Thing {
    /// Its name; "bad" is refused.
    pub(crate) name: String,
    /// How many of it.
    #[serde(default)]
    pub(crate) count: u32,
}

/// Configuration of `test.write`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WriteConfig {
    /// The things to add.
    pub(crate) add: Vec<Thing>,
    /// An SQL file.
    pub(crate) script: Option<String>,
    /// A note, in words.
    pub(crate) note: Option<String>,
    /// Things at a time.
    pub(crate) batch: Option<u32>,
    /// How it is undone: "inverse", "restore" or "never".
    #[serde(default)]
    pub(crate) back: Back,
}

/// How a `test.write` is undone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Back {
    /// By itself.
    #[default]
    Inverse,
    /// By a snapshot.
    Restore,
    /// Not at all.
    Never,
}

macro_rules! forward {
    ($($kind:ident),*) => { $(
        #[derive(Debug)]
        pub(crate) struct $kind(Made);

        #[async_trait]
        impl MigrationStep for $kind {
            fn describe(&self) -> Vec<Change> { self.0.describe() }
            fn uses(&self) -> Vec<Use> { self.0.uses() }
            fn reversal(&self) -> Reversal { self.0.reversal() }
            fn snapshots(&self) -> Vec<String> { self.0.snapshots() }
            fn checksum_source(&self) -> Option<Vec<u8>> { self.0.checksum_source() }
            async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> { self.0.apply(cx).await }
            async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> { self.0.verify(cx).await }
            async fn rollback(&self, cx: &StepContext, r: Option<&Receipt>) -> Result<(), StepError> {
                self.0.rollback(cx, r).await
            }
        }
    )* };
}
forward!(Write, Look, Snapshot);

impl StepKind for Write {
    const KIND: &'static str = "test.write";
    const ALIASES: &'static [&'static str] = &["test.change"];
    const SUMMARY: &'static str = "Adds things to a store";
    const LAYERS: &'static [Layer] = &[Layer::Storage, Layer::Engine];
    const EXAMPLE: &'static str =
        "id = \"things\"\nuse = \"test.write\"\ntarget = \"a\"\nwith = { add = [{ name = \"x\" }] }";
    const TUNING: &'static [&'static str] = &["batch"];
    type Config = WriteConfig;

    fn build(config: WriteConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of(Store::KIND)?;
        if let Some(at) = config.add.iter().position(|thing| thing.name == "bad") {
            return Err(BuildError::at(format!("add[{at}].name"), "`bad` is no good name").with_help("choose another"));
        }
        let source = config.script.map(|script| cx.read_file("script", &script)).transpose()?.map(|b| b.to_vec());
        let reversal = match config.back {
            Back::Inverse => Reversal::Inverse,
            Back::Restore => Reversal::Restore(target.clone()),
            Back::Never => Reversal::Irreversible,
        };
        let _ = (config.note, config.batch, config.add.iter().map(|thing| thing.count).sum::<u32>());
        Ok(Self(Made { uses: vec![Use::write(target)], reversal, snapshots: Vec::new(), source }))
    }
}

/// Configuration of `test.look`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookConfig {}

impl StepKind for Look {
    const KIND: &'static str = "test.look";
    const SUMMARY: &'static str = "Looks at a store";
    const EXAMPLE: &'static str = "id = \"look\"\nuse = \"test.look\"\ntarget = \"a\"";
    type Config = LookConfig;

    fn build(_: LookConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let uses = cx.target.map(Use::read).into_iter().collect();
        Ok(Self(Made { uses, reversal: Reversal::Inverse, snapshots: Vec::new(), source: None }))
    }
}

/// Configuration of `test.snapshot`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotConfig {
    /// The targets that it copies.
    pub(crate) targets: Vec<String>,
}

impl StepKind for Snapshot {
    const KIND: &'static str = "test.snapshot";
    const SUMMARY: &'static str = "Takes a snapshot";
    const EXAMPLE: &'static str = "id = \"snapshot\"\nuse = \"test.snapshot\"\nwith = { targets = [\"a\"] }";
    type Config = SnapshotConfig;

    fn build(config: SnapshotConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        for (at, target) in config.targets.iter().enumerate() {
            cx.known_target(target, None, &format!("targets[{at}]"))?;
        }
        let uses = config.targets.iter().map(Use::read).collect();
        Ok(Self(Made { uses, reversal: Reversal::Inverse, snapshots: config.targets, source: None }))
    }
}

/// A notifier that reaches nobody.
#[derive(Debug)]
pub(crate) struct Tell;

/// Configuration of a [`Tell`].
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TellConfig {
    /// To whom.
    pub(crate) to: String,
}

impl Notifier for Tell {
    fn tell(&self, _: &Notice, _: &Path) -> Result<(), StepError> {
        never()
    }
}

impl NotifierKind for Tell {
    const KIND: &'static str = "test.tell";
    const SUMMARY: &'static str = "tell nobody";
    const EXAMPLE: &'static str = "use = \"test.tell\"\non = \"failed\"\nwith = { to = \"${env.ME}\" }";
    const SECRETS: &'static [&'static str] = &["to"];
    type Config = TellConfig;

    fn build(config: TellConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        match config.to.as_str() {
            "" => Err(BuildError::at("to", "nobody is named")),
            _ => Ok(Self),
        }
    }
}

/// All of them.
pub(crate) fn registry() -> Registry {
    Registry::of(
        [
            StepDescriptor::of::<Write>("tests", "1"),
            StepDescriptor::of::<Look>("tests", "1"),
            StepDescriptor::of::<Snapshot>("tests", "1"),
        ],
        [TargetDescriptor::of::<Store>("tests", "1")],
    )
    .and_then(|registry| registry.with_notifiers([NotifierDescriptor::of::<Tell>("tests", "1")]))
    .unwrap_or_else(|error| panic!("{error}"))
}

/// A plan and its surroundings.
#[derive(Default)]
pub(crate) struct Case {
    pub(crate) text: String,
    pub(crate) files: BTreeMap<String, Arc<[u8]>>,
    pub(crate) vars: BTreeMap<String, String>,
}

impl Case {
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(crate) fn file(mut self, path: &str, bytes: &str) -> Self {
        self.files.insert(path.to_owned(), Arc::from(bytes.as_bytes()));
        self
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn compile(&self) -> Result<Plan, CompileErrors> {
        let files = StoredFiles(self.files.clone());
        compile_with(&self.text, &files, &self.vars)
    }

    pub(crate) fn plan(&self) -> Plan {
        self.compile().unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub(crate) fn errors(&self) -> CompileErrors {
        self.compile().err().unwrap_or_else(|| panic!("the plan has no mistakes"))
    }
}

/// Compiles with an environment that holds `TOKEN` only.
pub(crate) fn compile_with(
    text: &str,
    files: &dyn PlanFiles,
    vars: &BTreeMap<String, String>,
) -> Result<Plan, CompileErrors> {
    let env = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
    compile(CompileInput { file: "plan.toml", text, files, registry: &registry(), vars, env: &env })
}

/// A plan with the targets `a` and `b` around `phases`.
pub(crate) fn around(phases: &str) -> Case {
    Case::of(format!(
        "name = \"p\"\n[vars]\nsize = 3\nword = \"hi\"\n[targets.a]\nkind = \"test.store\"\npath = \"a.db\"\n\
         [targets.b]\nkind = \"test.store\"\npath = \"b.db\"\n{phases}"
    ))
}

/// One phase `one` of the storage layer around `steps`.
pub(crate) fn phase(steps: &str) -> Case {
    around(&format!("[[phase]]\nname = \"one\"\nlayer = \"storage\"\n{steps}"))
}

/// A step that writes `target`, with more lines.
pub(crate) fn write(id: &str, target: &str, more: &str) -> String {
    let with = if more.contains("with =") { "" } else { "with = { add = [] }\n" };
    format!("[[phase.step]]\nid = \"{id}\"\nuse = \"test.write\"\ntarget = \"{target}\"\n{with}{more}\n")
}

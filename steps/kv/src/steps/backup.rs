//! `kv.backup`: writes the records of a target as a Badger backup, which `badger restore` takes.
//!
//! Owns when such a file is this step's, and that on the way back it is kept under another name: what was written into a
//! store after a move is perhaps nowhere else.

use std::path::{Path, PathBuf};

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Reversal, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, disk, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::from::{self, From};
use super::into;
use crate::backup::{Sidecar, write_backup_of};
use crate::copy::{Cursor, sorted};
use crate::error::Result;
use crate::record::Record;
use crate::source::Order;

/// Memory for sorting.
const MEMORY: usize = 32 << 20;
const VERSION: u32 = 1;

/// Writes a backup.
#[derive(Debug)]
pub struct KvBackup {
    config: BackupConfig,
}

/// What is written, and where.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BackupConfig {
    /// The target (`badger`, `sled` or `fjall`) whose records are written.
    pub from: String,
    /// The backup, relative to the root. Its manifest stands beside it.
    pub into: String,
    /// Records of this version and later ones alone; 0 is all.
    #[serde(default)]
    pub since: u64,
    /// Instead of `since`: a `kv.copy` of this plan into that target. Only what was written after it is in the backup.
    pub after: Option<String>,
}

/// What apply made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    version: u32,
    into: String,
    /// How many of the folders above it were not.
    folders: usize,
}

register_step!(KvBackup);

impl StepKind for KvBackup {
    const KIND: &'static str = "kv.backup";
    const SUMMARY: &'static str =
        "write the records of a store or of a Badger directory as a backup that Badger restores";
    const EXAMPLE: &'static str = r#"id = "back-to-badger"
use = "kv.backup"
with = { from = "memory", into = "data/backups/phl-memory-backup-20251201_030000.bak" }
"#;
    const FAULTS: Faults =
        Faults { apply: &[fault::KV_BACKUP_INTENDED, fault::KV_BACKUP_WRITTEN], rollback: &[fault::KV_BACKUP_KEPT] };
    type Config = BackupConfig;

    fn build(config: BackupConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        from::readable(cx, &config.from)?;
        if !cutover_core::plan::is_inside(config.into.as_ref()) {
            return Err(BuildError::at("into", format!("`{}` leaves the root", config.into))
                .with_help("name a file inside the root, without `..`"));
        }
        if config.after.is_some() {
            into::known(cx, &config.from, "from")?;
            if config.since > 0 {
                return Err(BuildError::at("since", "both `since` and `after` are given").with_help("name one of them"));
            }
        }
        Ok(Self { config })
    }
}

#[async_trait]
impl MigrationStep for KvBackup {
    fn describe(&self) -> Vec<Change> {
        let Self { config } = self;
        let which = match &config.after {
            Some(step) => format!("what was written into {} after {step}", config.from),
            None if config.since > 0 => format!("records of {} from version {} on", config.from, config.since),
            None => format!("records of {}", config.from),
        };
        vec![Change::new(Action::Create, format!("file {}", config.into)).with_detail(which)]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::read(&self.config.from)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::Inverse
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        self.on(cx, |job| {
            Ok(match job.present()? {
                Present::Nothing => Standing::Pending,
                Present::Ours(_) => Standing::Applied,
                Present::Foreign => Standing::Conflict(job.in_the_way()),
            })
        })
        .await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let known = match &cx.info().intent {
            Some(intent) => Some(intent.clone()),
            None => cx.receipt_of(&cx.info().id).await?,
        };
        let (made, present) = self
            .on(cx, move |job| {
                let present = match job.present()? {
                    Present::Nothing => None,
                    Present::Ours(sidecar) => Some(sidecar),
                    Present::Foreign => {
                        return Err(StepError::conflict(job.in_the_way())
                            .with_help("move that file away, or choose another `into`"));
                    }
                };
                let folders = || job.path.ancestors().skip(1).take_while(|folder| !folder.exists()).count();
                let made = match known.filter(|receipt| !receipt.body.is_null()) {
                    Some(known) => known.read::<Made>()?,
                    None => Made { version: VERSION, into: job.config.into.clone(), folders: folders() },
                };
                Ok((made, present))
            })
            .await?;
        if let Some(sidecar) = present {
            return Ok(Applied::AlreadyApplied(receipt(&made, &sidecar)?));
        }
        cx.intend(&Receipt::of(&made)?).await?;
        fault::point(fault::KV_BACKUP_INTENDED);
        let sidecar = self.on(cx, |job| job.write()).await?;
        fault::point(fault::KV_BACKUP_WRITTEN);
        Ok(Applied::Changed(receipt(&made, &sidecar)?))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        self.on(cx, |job| {
            let said = match job.present()? {
                Present::Ours(sidecar) => sidecar.check(&job.path),
                Present::Nothing => return Ok(Verdict::Broken(vec![format!("`{}` is missing", job.config.into)])),
                Present::Foreign => return Ok(Verdict::Broken(vec![job.in_the_way()])),
            };
            Ok(said.map_or_else(|error| Verdict::Broken(vec![error.to_string()]), |()| Verdict::Holds))
        })
        .await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let Some(made) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()? else {
            return Ok(());
        };
        self.on(cx, move |job| job.keep(&made)).await
    }
}

fn receipt(made: &Made, sidecar: &Sidecar) -> Result<Receipt, StepError> {
    let note = format!("{} records, versions up to {}", sidecar.records, sidecar.max_version);
    Ok(Receipt::of(made)?.with_rows(sidecar.records).with_bytes(sidecar.bytes).with_note(note))
}

/// What is at the backup's path.
enum Present {
    Nothing,
    /// This step's, by what its manifest says.
    Ours(Box<Sidecar>),
    /// Somebody else's.
    Foreign,
}

/// One use of the step.
struct Job<'a> {
    cx: &'a StepContext,
    config: &'a BackupConfig,
    path: PathBuf,
}

impl KvBackup {
    async fn on<T: Send + 'static>(
        &self,
        cx: &StepContext,
        work: impl FnOnce(&Job<'_>) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let (inner, config) = (cx.clone(), self.config.clone());
        let path = disk::inside(cx.root(), &config.into, false)?;
        cx.blocking(move || work(&Job { cx: &inner, config: &config, path })).await
    }
}

impl Job<'_> {
    fn in_the_way(&self) -> String {
        format!("`{}` is there already and is no backup of this step", self.config.into)
    }

    fn present(&self) -> Result<Present> {
        if self.path.symlink_metadata().is_err() {
            return Ok(Present::Nothing);
        }
        let name = self.name();
        let sidecar = Sidecar::read(&self.path)?.filter(|sidecar| sidecar.made_by.as_ref() == Some(&name));
        Ok(sidecar.map_or(Present::Foreign, |sidecar| Present::Ours(Box::new(sidecar))))
    }

    /// What the manifest says of who wrote it.
    fn name(&self) -> String {
        format!("{}/{}", self.cx.info().plan, self.cx.info().id)
    }

    fn since(&self) -> Result<u64, StepError> {
        let Some(step) = &self.config.after else { return Ok(self.config.since) };
        let name = format!("{}/{step}", self.cx.info().plan);
        let cursor = into::of(self.cx, &self.config.from)?
            .read(|store| store.map_or(Ok(None), |store| Cursor::of(&name, store)))?;
        let max = cursor.filter(|cursor| cursor.done).map(|cursor| cursor.max_version);
        max.map(|max| max.saturating_add(1)).ok_or_else(|| {
            StepError::conflict(format!("no copy of the step `{step}` is in `{}`", self.config.from))
                .with_help("name a step `kv.copy` that is applied, and copies into that target")
        })
    }

    fn write(&self) -> Result<Sidecar, StepError> {
        let since = self.since()?;
        let from = From::of(self.cx, &[], Some(&self.config.from))?;
        if let Some(above) = self.path.parent() {
            disk::private_dir(above)?;
        }
        let name = self.name();
        let records = from.source().records(since)?;
        let mut count = 0;
        let told = |record: Result<Record>| {
            count += 1;
            if count % 10_000 == 0 {
                self.cx.progress(count, None, "records");
            }
            record
        };
        Ok(match from.source().order() {
            Order::Sorted => write_backup_of(&self.path, since, Some(&name), records.map(told))?,
            Order::Unsorted => {
                let scratch = self.cx.scratch_dir().join("sort");
                write_backup_of(&self.path, since, Some(&name), sorted(records, MEMORY, &scratch)?.map(told))?
            }
        })
    }

    /// Gives the backup another name, and removes the folders that were made for it and are empty then.
    fn keep(&self, made: &Made) -> Result<(), StepError> {
        let failed = |error| disk::io_error("cannot rename", &self.path, error);
        let sidecar = Sidecar::path_of(&self.path);
        let gone = |path: &Path| match disk::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(disk::io_error("cannot remove", path, error))
            }
            _ => Ok(()),
        };
        gone(&disk::partial_name(&self.path)?)?;
        let present = self.present()?;
        if matches!(present, Present::Foreign) {
            return Ok(());
        }
        if let Present::Ours(_) = present {
            let kept = super::copy::free(&self.path, ".rolled-back");
            // The manifest is copied first: a backup without one could be half of one.
            if let Some(found) = Sidecar::read(&self.path)? {
                found.write(&kept)?;
            }
            disk::rename(&self.path, &kept).map_err(failed)?;
            disk::sync_parent(&self.path)?;
            fault::point(fault::KV_BACKUP_KEPT);
            let shown = kept.strip_prefix(self.cx.root()).unwrap_or(&kept);
            self.cx.note(&format!("the backup is kept as `{}`", shown.display()));
        }
        gone(&sidecar)?;
        super::copy::remove_folders(&self.path, made.folders)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cutover_core::{Applied, StepErrorKind};
    use cutover_tests::{Conformance, Fixture};

    use crate::backup::BackupFile;
    use crate::source::RecordSource as _;
    use crate::steps::testing::{BACKUPS, backups, old_store, plan, put, record, registry};
    use crate::store::Sled;

    const WITH: &str = "from = \"old\", into = \"back/to/badger.bak\"";

    #[test]
    fn it_keeps_the_contract() {
        Conformance::new(plan("kv.backup", "sled", WITH))
            .registry(registry())
            .step("copy")
            .root(old_store)
            .sabotage(|root| {
                let path = root.join("back/to/badger.bak");
                let whole = fs::read(&path).unwrap();
                fs::write(&path, &whole[..whole.len() - 1]).unwrap();
            })
            .no_foreign("it changes no target")
            .leaves("back")
            .check();
    }

    #[test]
    fn what_was_written_after_a_copy_is_in_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        backups(root);
        let with = "from = \"memory\", into = \"later.bak\", after = \"copy\"";
        let text = format!(
            "{}\n[[phase.step]]\nid = \"back\"\nuse = \"kv.backup\"\nwith = {{ {with} }}\n",
            plan("kv.copy", "sled", BACKUPS)
        );
        let bench = Fixture::with_registry(text, &registry()).open(root);
        assert_eq!(bench.apply("back").unwrap_err().kind(), StepErrorKind::Conflict);
        bench.apply("copy").unwrap();
        put::<Sled>(root, record(3, 40));
        let Applied::Changed(receipt) = bench.apply("back").unwrap() else { panic!("nothing was written") };
        assert_eq!(receipt.notes, ["1 records, versions up to 40"]);
        let found: Vec<_> = BackupFile::new(&root.join("later.bak")).records(0).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, [record(3, 40)]);
    }

    #[test]
    fn a_file_that_is_there_already_stays() {
        let folder = tempfile::tempdir().unwrap();
        old_store(folder.path());
        fs::create_dir_all(folder.path().join("back/to")).unwrap();
        fs::write(folder.path().join("back/to/badger.bak"), "somebody's").unwrap();
        let bench = Fixture::with_registry(plan("kv.backup", "sled", WITH), &registry()).open(folder.path());
        assert!(bench.apply("copy").is_err());
        bench.rollback("copy", None).unwrap();
        assert_eq!(fs::read(folder.path().join("back/to/badger.bak")).unwrap(), b"somebody's");
    }
}

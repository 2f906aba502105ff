//! `kv.verify`: compares a store with what it was copied from, record by record and both ways.
//!
//! Owns what a difference is: every record of the source has to be in the store, and the store may have beside them only
//! versions above the source's highest, which were written since, and what a backup let go that earlier ones had. It says too
//! what the source itself had lost already.

use std::collections::BTreeMap;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Reversal, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::from::{self, From};
use super::into;
use crate::copy::{Comparison, Differing, compare, compare_with_backup, sorted};
use crate::error::Result;
use crate::record::Record;
use crate::source::Order;

/// Memory for sorting.
const MEMORY: usize = 32 << 20;

/// Compares a store with its source.
#[derive(Debug)]
pub struct KvVerify {
    config: VerifyConfig,
}

/// What is compared with what.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VerifyConfig {
    /// Badger backup files, relative to the root, as `kv.copy` was given them.
    #[serde(default)]
    pub backups: Vec<String>,
    /// Instead of backups: the `kv.backup` of this plan whose backup was copied.
    pub backup_of: Option<String>,
    /// Instead of backups: the target (`badger`, `sled` or `fjall`) that was copied from.
    pub from: Option<String>,
    /// The target (`sled` or `fjall`) that has to have those records.
    pub into: String,
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Compared {
    version: u32,
    records: u64,
    max_version: u64,
    /// What the source no longer had, by why.
    lost_before: BTreeMap<&'static str, u64>,
    /// Of each range of keys its last one and the checksum of its records, both in hexadecimal.
    ranges: Vec<(String, String)>,
}

register_step!(KvVerify);

impl StepKind for KvVerify {
    const KIND: &'static str = "kv.verify";
    const SUMMARY: &'static str = "compare a store with what it was copied from, record by record and both ways";
    const EXAMPLE: &'static str = r#"id = "verify-memory"
use = "kv.verify"
with = { backups = ["data/backups/phl-memory-backup-20251201_020000.bak"], into = "memory" }
"#;
    const FAULTS: Faults = Faults { apply: &[fault::KV_VERIFY_LOOKED], rollback: &[] };
    type Config = VerifyConfig;

    fn build(config: VerifyConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        into::known(cx, &config.into, "into")?;
        from::known(cx, &config.backups, config.backup_of.as_deref(), config.from.as_deref(), &config.into)?;
        Ok(Self { config })
    }
}

#[async_trait]
impl MigrationStep for KvVerify {
    fn describe(&self) -> Vec<Change> {
        let Self { config } = self;
        let with = from::named(&config.backups, config.backup_of.as_deref(), config.from.as_deref());
        vec![
            Change::new(Action::Check, format!("records of {}", config.into))
                .with_detail(format!("compared with {with}")),
        ]
    }

    fn uses(&self) -> Vec<Use> {
        self.config.from.iter().chain([&self.config.into]).map(Use::read).collect()
    }

    fn reversal(&self) -> Reversal {
        Reversal::Inverse
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let (found, compared) = self.compare(cx).await?;
        fault::point(fault::KV_VERIFY_LOOKED);
        let lines = lines(&found);
        if !lines.is_empty() {
            return Err(StepError::failed(format!(
                "`{}` is not what it was copied from: {}",
                self.config.into,
                lines.join("; ")
            ))
            .with_help("roll the copy back and copy again; nothing was changed here"));
        }
        let mut receipt = Receipt::of(&compared)?.with_note(format!(
            "{} records, versions up to {}, are the same on both sides",
            found.same, compared.max_version
        ));
        if found.let_go > 0 {
            receipt = receipt.with_note(format!(
                "{} records are in the store still that the backup let go, below a delete, an expiry or what discards them",
                found.let_go
            ));
        }
        for (why, count) in &compared.lost_before {
            receipt = receipt.with_note(format!("{count} {why}"));
        }
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let lines = lines(&self.compare(cx).await?.0);
        Ok(if lines.is_empty() { Verdict::Holds } else { Verdict::Broken(lines) })
    }

    async fn rollback(&self, _: &StepContext, _: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

impl KvVerify {
    async fn compare(&self, cx: &StepContext) -> Result<(Comparison, Compared), StepError> {
        let (inner, mut config) = (cx.clone(), self.config.clone());
        config.backups = from::backups(cx, &config.backups, config.backup_of.as_deref()).await?;
        let into = into::of(cx, &config.into)?;
        cx.blocking(move || {
            let from = From::of(&inner, &config.backups, config.from.as_deref())?;
            let now = inner.now().as_second().max(0) as u64;
            let mut seen = Seen { now, ..Seen::default() };
            // Sorting needs room, and looking leaves nothing behind.
            let scratch = tempfile::tempdir().map_err(|error| StepError::failed("cannot sort").caused_by(error))?;
            let max_version = from.source().records(0)?.try_fold(0, |max, record| Ok(record?.version.max(max)));
            let max_version = max_version.map_err(|error: crate::KvError| error)?;
            let found = into.read(|store| {
                let records = from.source().records(0)?;
                let left: Box<dyn Iterator<Item = Result<Record>>> = match from.source().order() {
                    Order::Sorted => records,
                    Order::Unsorted => Box::new(sorted(records, MEMORY, scratch.path())?),
                };
                let left = left.inspect(|record| record.iter().for_each(|record| seen.look(record)));
                let right = store.map(|store| store.versions(b"", 0)).transpose()?;
                let copied =
                    |found: &Result<Record>| found.as_ref().map_or(true, |record| record.version <= max_version);
                let right = right.into_iter().flatten().filter(copied);
                if config.from.is_some() { compare(left, right) } else { compare_with_backup(left, right, now) }
            })?;
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let ranges = found.ranges.iter().map(|(last, sum)| (hex(last), sum.clone())).collect();
            let compared = Compared { version: 1, records: found.left, max_version, lost_before: seen.lost(), ranges };
            Ok((found, compared))
        })
        .await
    }
}

/// What a record of the source says about others that the source no longer has.
#[derive(Debug, Default)]
struct Seen {
    now: u64,
    deletes: u64,
    expired: u64,
    discarding: u64,
    merges: u64,
}

impl Seen {
    fn look(&mut self, record: &Record) {
        self.deletes += u64::from(record.meta.is_delete());
        self.expired += u64::from(record.has_expired(self.now) && record.value.is_empty() && !record.meta.is_delete());
        self.discarding += u64::from(record.meta.discards_earlier());
        self.merges += u64::from(record.meta.is_merge());
    }

    fn lost(&self) -> BTreeMap<&'static str, u64> {
        let reasons = [
            ("records delete their key: a backup has nothing that was before them", self.deletes),
            ("records had expired: a backup has no value of them", self.expired),
            ("records discard earlier versions: a backup has none of these", self.discarding),
            ("records are operands of a merge operator, whose function is in the program that wrote them", self.merges),
        ];
        reasons.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// What differs, for people.
fn lines(found: &Comparison) -> Vec<String> {
    let how = |how: Differing| match how {
        Differing::OnlyLeft => "missing",
        Differing::OnlyRight => "in the store alone",
        Differing::Value => "of another value",
        Differing::Meta => "of another meta or expiry",
    };
    let one = |(kind, count): (&Differing, &u64)| {
        let named = found.named.iter().filter(|(named, ..)| named == kind).take(3);
        let named: Vec<_> =
            named.map(|(_, key, version)| format!("`{}` version {version}", key.escape_ascii())).collect();
        let noun = if *count == 1 { "record is" } else { "records are" };
        format!("{count} {noun} {}: {}", how(*kind), named.join(", "))
    };
    found.differing.iter().map(one).collect()
}

//! `kv.transform`: a jq program over the values of all keys with a prefix.
//!
//! Owns which records a program sees, and what becomes of those that nothing can be made of. A record is rewritten where it
//! lies: its version, expiry and user meta stay, so that a reader as of any version finds what it found, in the new shape.
//! What is deleted or has expired has no value and is never looked at. A value that a program leaves as it is keeps its
//! bytes; what it changes is written as compact JSON.

mod program;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, blake3_hex, canonical_json, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rewriting::{self, Kind, LIST, Maker, Points};
use crate::record::Record;
use crate::rewrite::{Made, Refusal};
use crate::store::{Records, VersionedStore};
use program::{Outcome, Program};

/// Transforms values.
#[derive(Debug, Clone)]
pub struct KvTransform {
    target: String,
    /// By prefix, ascending.
    programs: Vec<(String, String)>,
    /// Where the text of each is, for people.
    files: Vec<Option<String>>,
    versions: Versions,
    at_most: u64,
}

/// Which values, by which programs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TransformConfig {
    /// A program for each prefix. No prefix may begin with another.
    pub programs: Vec<PrefixProgram>,
    /// Which versions of a key are transformed: what a reader finds now (the newest, if it is live), or each that is
    /// neither deleted nor expired. Each keeps its version, expiry and user meta; what a step before it copied or compared
    /// has to be named in this step's `supersedes`.
    #[serde(default)]
    pub versions: Versions,
    /// As many records may stay as they are because nothing can be made of them: a value that is no JSON, a program that
    /// fails or has no output, or more than one. They are listed, with why, in `quarantine.jsonl` in the step's folder of
    /// state. When there are more, nothing is written.
    #[serde(default)]
    pub quarantine_at_most: u64,
}

/// A jq program for all keys with a prefix.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PrefixProgram {
    /// What the keys begin with; empty for all.
    pub prefix: String,
    /// The program: its input is the value, its one output the new one; `$key` is the key and `$version` the version.
    /// Integers of any size are exact unless it divides them.
    pub jq: Option<String>,
    /// Instead of `jq`: a file in the plan's folder with the program.
    pub file: Option<String>,
}

/// Which versions of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Versions {
    /// What a reader finds now: the newest, if it is neither deleted nor expired. Older ones stay as they are.
    #[default]
    Latest,
    /// Each that is neither deleted nor expired.
    All,
}

const POINTS: Points = Points {
    intended: fault::KV_TRANSFORM_INTENDED,
    kept: fault::KV_TRANSFORM_KEPT,
    batch: fault::KV_TRANSFORM_BATCH,
    done: fault::KV_TRANSFORM_DONE,
    back: fault::KV_TRANSFORM_BACK,
    forgotten: fault::KV_TRANSFORM_FORGOTTEN,
};

register_step!(KvTransform);

impl StepKind for KvTransform {
    const KIND: &'static str = "kv.transform";
    const SUMMARY: &'static str =
        "rewrite the values of all keys with a prefix by a jq program, with every integer exact";
    const EXAMPLE: &'static str = r#"id = "emotions"
use = "kv.transform"
target = "memory"
with = { programs = [{ prefix = "emotion:", jq = ".intensity |= (if . > 1 then 1 else . end)" }], quarantine-at-most = 10 }
"#;
    const FAULTS: Faults = Faults {
        apply: &[POINTS.intended, POINTS.kept, POINTS.batch, POINTS.done],
        rollback: &[POINTS.back, POINTS.forgotten],
    };
    type Config = TransformConfig;

    fn build(config: TransformConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = rewriting::target(cx)?;
        let mut found: BTreeMap<String, (String, Option<String>)> = BTreeMap::new();
        if config.programs.is_empty() {
            return Err(BuildError::at("programs", "no program is named")
                .with_help("name a prefix and a program: { prefix = \"a:\", jq = \".x\" }"));
        }
        for (i, program) in config.programs.into_iter().enumerate() {
            let field = |name: &str| format!("programs[{i}].{name}");
            if let Some(other) =
                found.keys().find(|other| other.starts_with(&program.prefix) || program.prefix.starts_with(*other))
            {
                let text = format!("`{}` and `{other}` have keys in common", program.prefix);
                return Err(
                    BuildError::at(field("prefix"), text).with_help("name prefixes that do not begin one another")
                );
            }
            let (text, file, at) = match (program.jq, program.file) {
                (Some(text), None) => (text, None, field("jq")),
                (None, Some(file)) => (cx.read_text(&field("file"), &file)?, Some(file), field("file")),
                _ => {
                    return Err(BuildError::at(format!("programs[{i}]"), "one of `jq` and `file` has to be there")
                        .with_help("write a short program in `jq`, name the file of a longer one in `file`"));
                }
            };
            Program::compile(&text).map_err(|why| {
                BuildError::at(at, format!("the program is no jq: {why}"))
                    .with_help("try it with `jq` on a value; nothing is there but the record, `$key` and `$version`")
            })?;
            found.insert(program.prefix, (text, file));
        }
        let (programs, files) = found.into_iter().map(|(prefix, (text, file))| ((prefix, text), file)).unzip();
        Ok(Self { target, programs, files, versions: config.versions, at_most: config.quarantine_at_most })
    }
}

#[async_trait]
impl MigrationStep for KvTransform {
    fn describe(&self) -> Vec<Change> {
        let which = match self.versions {
            Versions::Latest => "the newest version of each",
            Versions::All => "every live version",
        };
        let one = |((prefix, text), file): (&(String, String), &Option<String>)| {
            let program = file.clone().unwrap_or_else(|| text.split_whitespace().collect::<Vec<_>>().join(" "));
            Change::new(Action::Alter, format!("values of {} under `{prefix}`", self.target))
                .with_detail(format!("{which}, by {program}"))
        };
        self.programs.iter().zip(&self.files).map(one).collect()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.target)]
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        rewriting::inspect(self, cx).await
    }

    async fn recover(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        rewriting::recover(self, cx).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        rewriting::apply(self, cx).await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        rewriting::verify(self, cx).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        rewriting::rollback(self, cx, receipt).await
    }
}

impl Kind for KvTransform {
    const POINTS: Points = POINTS;

    fn target(&self) -> &str {
        &self.target
    }

    fn identity(&self) -> String {
        let what = serde_json::json!({ "programs": self.programs, "versions": self.versions });
        blake3_hex(canonical_json(&what).as_bytes())
    }

    fn records<'s>(&self, store: &'s dyn VersionedStore, now: u64) -> crate::Result<Records<'s>> {
        // Prefixes ascend and none begins another: so do the keys of all of them.
        let of_each = self.programs.iter().map(|(prefix, _)| store.versions(prefix.as_bytes(), 0));
        let all = of_each.collect::<crate::Result<Vec<_>>>()?.into_iter().flatten();
        let (versions, mut key) = (self.versions, None::<Vec<u8>>);
        let wanted = move |found: &crate::Result<Record>| {
            let Ok(record) = found else { return true };
            let newest = key.as_ref() != Some(&record.key);
            if newest {
                key = Some(record.key.clone());
            }
            (newest || versions == Versions::All) && record.is_live(now)
        };
        Ok(Box::new(all.filter(wanted)))
    }

    fn maker(&self) -> Result<Maker, StepError> {
        let compile = |(prefix, text): &(String, String)| {
            let program = Program::compile(text)
                .map_err(|why| StepError::internal(format!("the program for `{prefix}` cannot be compiled: {why}")))?;
            Ok((prefix.clone(), program))
        };
        let programs = self.programs.iter().map(compile).collect::<Result<Vec<_>, StepError>>()?;
        Ok(Box::new(move |record| {
            let program = programs.iter().find(|(prefix, _)| record.key.starts_with(prefix.as_bytes()));
            let Some((_, program)) = program else { return Made::Same };
            match program.run(record) {
                Outcome::Same => Made::Same,
                Outcome::Value(value) => Made::Other(Record { value, ..record.clone() }),
                Outcome::None(why, text) => Made::Nothing(Refusal { why: why.name(), text }),
            }
        }))
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        key.to_owned()
    }

    fn trial(&self, store: &dyn VersionedStore, now: u64, list: &Path) -> Result<(), StepError> {
        let mut make = self.maker()?;
        let (mut refused, mut first, mut lines) = (BTreeMap::<&str, u64>::new(), Vec::new(), String::new());
        for record in self.records(store, now)? {
            let record = record?;
            let Made::Nothing(refusal) = make(&record) else { continue };
            *refused.entry(refusal.why).or_default() += 1;
            if first.len() < 3 {
                first.push(format!("`{}` ({})", record.key.escape_ascii(), refusal.why));
            }
            lines.push_str(&refusal.line(&record));
        }
        let all: u64 = refused.values().sum();
        if all <= self.at_most {
            return Ok(());
        }
        Refusal::list(list, &lines)?;
        let whys: Vec<String> = refused.iter().map(|(why, n)| format!("{n} {why}")).collect();
        Err(StepError::conflict(format!(
            "nothing can be made of {all} records of `{}`, and {} are allowed: {}; {}",
            self.target,
            self.at_most,
            whys.join(", "),
            first.join(", ")
        ))
        .with_help(format!(
            "nothing was changed; `{LIST}` in the step's folder of state lists them: mend the program, or allow them with `quarantine-at-most`"
        )))
    }
}

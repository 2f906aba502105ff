//! `config.map`: a configuration file of version 1 made into one of version 2.
//!
//! Owns the step kind: when it writes, and what it keeps for the way back. What it would write, and what it refuses,
//! is `work`'s; the mapping itself is `mapping`'s, the text formats are `format`'s.

mod config;
mod exact;
mod file;
mod format;
mod keys;
mod mapping;
mod work;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cutover_core::disk::{inside, io_error, write_atomic};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Base;
use crate::images::Image;
use config::mapping_of;
pub use config::{DroppedKey, MapConfig, MovedKey};
use file::{present, put_back};
use format::Format;
use mapping::Mapping;

const VERSION: u32 = 1;

/// Maps a configuration file.
#[derive(Debug)]
pub struct ConfigMap {
    from: (String, Format),
    to: (String, Format),
    base: Base,
    mapping: Mapping,
    schema: Option<jsonschema::Validator>,
}

/// What apply made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Made {
    version: u32,
    /// As in the plan.
    path: String,
    /// None: there was no such file.
    before: Option<Image>,
    after: Image,
    /// Keys that hold an old value.
    carried: Vec<String>,
    /// Folders made for the file, outermost first, relative to the base.
    folders: Vec<String>,
}

impl StepKind for ConfigMap {
    const KIND: &'static str = "config.map";
    const SUMMARY: &'static str =
        "map a configuration file's keys from one version to the next, dropping none silently";
    const EXAMPLE: &'static str = r#"id = "config"
use = "config.map"
with = { from = "app.json", to = "app.json", map = [{ from = "db.path", to = "database.path" }], set = { version = "2.0" }, defaults = { "database.timeout" = 30 }, keep = ["name"], drop = [{ key = "debug", why = "it is a command line option now" }] }
"#;
    const FAULTS: Faults = Faults {
        apply: &[fault::CONFIG_KEPT, fault::CONFIG_INTENDED, fault::DISK_PARTIAL, fault::CONFIG_WRITTEN],
        rollback: &[fault::CONFIG_PUT_BACK],
    };
    type Config = MapConfig;

    fn build(config: MapConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let base = Base::of(cx)?;
        let file = |field: &str, path: &str| {
            if !cutover_core::plan::is_inside(Path::new(path)) {
                return Err(BuildError::at(field, format!("`{path}` is not inside the folder"))
                    .with_help("name a path relative to the target's folder or the root, without `..`"));
            }
            let format = Format::of(path).ok_or_else(|| {
                BuildError::at(field, format!("the format of `{path}` is not known"))
                    .with_help("the name must end in .json, .toml, .yaml or .yml")
            })?;
            Ok((path.to_owned(), format))
        };
        let (from, to) = (file("from", &config.from)?, file("to", &config.to)?);
        base.covers(cx, "to", &config.to)?;
        let schema = config.schema.as_ref().map(|path| read_schema(cx, path)).transpose()?;
        Ok(Self { from, to, base, mapping: mapping_of(&config)?, schema })
    }
}

impl ConfigMap {
    /// A step that gives keys of the file `path`, named in the field `file`, other values and leaves every other key as it
    /// is: for kinds that know what their keys mean. Each key is a dotted path. Where the file has a key of which `alike`
    /// makes the same, and which is spelled otherwise, the step refuses it.
    pub fn setting(
        path: &str,
        set: Vec<(String, Value)>,
        alike: fn(&str) -> String,
        cx: &BuildContext<'_>,
    ) -> Result<Self, BuildError> {
        let config = MapConfig {
            from: path.to_owned(),
            to: path.to_owned(),
            map: Vec::new(),
            set: set.into_iter().collect(),
            defaults: BTreeMap::new(),
            keep: Vec::new(),
            drop: Vec::new(),
            schema: None,
        };
        let of_file = |error: BuildError| match error.field.as_str() {
            "from" | "to" => BuildError { field: "file".to_owned(), ..error },
            _ => error,
        };
        let mut made = Self::build(config, cx).map_err(of_file)?;
        (made.mapping.rest, made.mapping.alike) = (true, Some(alike));
        Ok(made)
    }
}

fn read_schema(cx: &BuildContext<'_>, path: &str) -> Result<jsonschema::Validator, BuildError> {
    let schema: Value = serde_json::from_str(&cx.read_text("schema", path)?)
        .map_err(|e| BuildError::at("schema", format!("`{path}` is no JSON: {e}")))?;
    jsonschema::validator_for(&schema).map_err(|e| BuildError::at("schema", format!("`{path}` is no JSON Schema: {e}")))
}

register_step!(ConfigMap);

#[async_trait]
impl MigrationStep for ConfigMap {
    fn describe(&self) -> Vec<Change> {
        let (from, to) = (&self.from.0, &self.to.0);
        let counts = [
            (self.mapping.moves.len(), "moved"),
            (self.mapping.set.len(), "set"),
            (self.mapping.defaults.len(), "defaulted"),
            (self.mapping.keep.len(), "kept"),
            (self.mapping.drop.len(), "dropped"),
        ];
        let told: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let first = if from == to {
            Change::new(Action::Alter, format!("configuration {to}"))
        } else {
            Change::new(Action::Create, format!("configuration {to} (from {from})"))
        };
        let mut changes = vec![first.with_detail(format!("keys: {}", told.join(", ")))];
        for (old, new) in &self.mapping.moves {
            changes.push(Change::new(Action::Alter, format!("key {old}")).with_detail(format!("→ {new}")));
        }
        for (key, value) in &self.mapping.set {
            changes.push(Change::new(Action::Alter, format!("key {key}")).with_detail(format!("= {value}")));
        }
        for (key, value) in &self.mapping.defaults {
            changes.push(Change::new(Action::Create, format!("key {key}")).with_detail(format!("= {value} if absent")));
        }
        for (key, why) in &self.mapping.drop {
            changes.push(Change::new(Action::Remove, format!("key {key}")).with_detail(why.clone()));
        }
        changes
    }

    fn uses(&self) -> Vec<Use> {
        self.base.uses()
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        match self.look(cx).await {
            Ok(Some(_)) => Ok(Standing::Pending),
            Ok(None) => Ok(Standing::Applied),
            Err(e) if e.kind() == cutover_core::StepErrorKind::Conflict => Ok(Standing::Conflict(match e.help() {
                Some(help) => format!("{e}; {help}"),
                None => e.to_string(),
            })),
            Err(e) => Err(e),
        }
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        if let Some(intent) = self.finished_intent(cx).await? {
            return Ok(Applied::AlreadyApplied(intent));
        }
        let Some(mut work) = self.look(cx).await? else { return Ok(Applied::AlreadyApplied(Receipt::nothing())) };
        // Those of an interrupted try are there already, and are still ours.
        work.folders.extend(intent(cx)?.into_iter().flat_map(|made| made.folders));
        work.folders.sort();
        work.folders.dedup();
        let made = Made {
            version: VERSION,
            path: self.to.0.clone(),
            before: work.before.as_ref().map(|(bytes, mode)| Image::of(bytes, *mode)),
            after: Image::of(&work.after, work.mode),
            carried: work.mapped.carried.clone(),
            folders: work.folders.clone(),
        };
        let mut receipt = Receipt::of(&made)?.with_bytes(work.after.len() as u64);
        receipt.notes.clone_from(&work.mapped.notes);
        let (scratch, image, before) = (cx.scratch_dir(), made.before.clone(), work.before.clone());
        cx.blocking(move || match (image, before) {
            (Some(image), Some((bytes, _))) => image.keep(&scratch, &bytes),
            _ => Ok(()),
        })
        .await?;
        fault::point(fault::CONFIG_KEPT);
        cx.intend(&receipt).await?;
        fault::point(fault::CONFIG_INTENDED);
        cx.blocking(move || {
            // Somebody may have written while the intent was made durable.
            let now = present(&work.path)?.map(|(bytes, mode)| Image::of(&bytes, mode));
            if now != made.before {
                return Err(StepError::failed(format!("`{}` was changed by somebody else just now", made.path))
                    .with_help("stop the program that writes it, then run again"));
            }
            if let Some(folder) = work.path.parent() {
                cutover_core::disk::make_dir(folder)?;
            }
            write_atomic(&work.path, &work.after, work.mode)
        })
        .await?;
        fault::point(fault::CONFIG_WRITTEN);
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let carried = match cx.receipt_of(&cx.info().id).await? {
            Some(receipt) if !receipt.body.is_null() => receipt.read::<Made>()?.carried,
            _ => Vec::new(),
        };
        let folder = self.base.folder(cx)?;
        let (path, format) = self.to.clone();
        let text = cx
            .blocking(move || {
                let full = inside(&folder, &path, true)?;
                fs::read_to_string(&full).map_err(|e| io_error("cannot read", &full, e))
            })
            .await?;
        let document = match format.read(&text) {
            Ok(document) => document,
            Err(e) => return Ok(Verdict::Broken(vec![format!("`{}` cannot be read: {e}", self.to.0)])),
        };
        let mut lines = self.mapping.missing(&document, &carried);
        lines.extend(self.schema_errors(&document));
        Ok(if lines.is_empty() { Verdict::Holds } else { Verdict::Broken(lines) })
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let Some(made) = receipt.filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()? else {
            return Ok(());
        };
        let (folder, scratch) = (self.base.folder(cx)?, cx.scratch_dir());
        cx.blocking(move || put_back(&folder, &scratch, &made)).await
    }
}

impl ConfigMap {
    /// The receipt of an interrupted try whose file is written already.
    async fn finished_intent(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        let (Some(made), Some(intent)) = (intent(cx)?, cx.info().intent.clone()) else { return Ok(None) };
        let folder = self.base.folder(cx)?;
        let there =
            cx.blocking(move || Ok(present(&inside(&folder, &made.path, true)?)?.zip(Some(made.after)))).await?;
        Ok(there.is_some_and(|((bytes, _), after)| Image::of(&bytes, after.mode) == after).then_some(intent))
    }
}

/// What an interrupted try was about to make.
fn intent(cx: &StepContext) -> Result<Option<Made>, StepError> {
    cx.info().intent.as_ref().filter(|r| !r.body.is_null()).map(Receipt::read::<Made>).transpose()
}

#[cfg(test)]
mod tests;

//! `config.map`: a configuration file of version 1 made into one of version 2.
//!
//! Owns the step kind: when it writes, what it keeps for the way back, what it refuses. The mapping itself is
//! `mapping`'s, the text formats are `format`'s.

mod format;
mod keys;
mod mapping;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cutover_core::disk::{inside, io_error, sync_parent, write_atomic};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Base;
use crate::images::Image;
use format::Format;
use keys::KeyPath;
use mapping::{Mapped, Mapping};

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

/// Which file, and what happens to each of its keys. Keys are dotted paths; every old key must be decided about.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MapConfig {
    /// The old file, relative to the step's `dir` target or else to the root: `.json`, `.toml`, `.yaml` or `.yml`.
    pub from: String,
    /// The new file; the same as `from` to map it in place. The old file is left as it is otherwise.
    pub to: String,
    /// Keys that get another name or place.
    #[serde(default)]
    pub map: Vec<MovedKey>,
    /// Values that the new file has, whatever the old one said.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Values for keys that the old file does not have.
    #[serde(default)]
    pub defaults: BTreeMap<String, Value>,
    /// Keys that stay as they are, with all below them.
    #[serde(default)]
    pub keep: Vec<String>,
    /// Keys that the new file does not have any more.
    #[serde(default)]
    pub drop: Vec<DroppedKey>,
    /// A JSON Schema in the plan's folder that the new document must fulfil before anything is written.
    pub schema: Option<String>,
}

/// A key that gets another place.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MovedKey {
    /// The old key.
    pub from: String,
    /// The new key.
    pub to: String,
}

/// A key that is left out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DroppedKey {
    /// The old key.
    pub key: String,
    /// Why it is not needed any more; shown to the operator.
    pub why: String,
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

/// What apply will write.
#[derive(Debug)]
struct Work {
    path: PathBuf,
    before: Option<(Vec<u8>, u32)>,
    after: Vec<u8>,
    mode: u32,
    mapped: Mapped,
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

fn read_schema(cx: &BuildContext<'_>, path: &str) -> Result<jsonschema::Validator, BuildError> {
    let schema: Value = serde_json::from_str(&cx.read_text("schema", path)?)
        .map_err(|e| BuildError::at("schema", format!("`{path}` is no JSON: {e}")))?;
    jsonschema::validator_for(&schema).map_err(|e| BuildError::at("schema", format!("`{path}` is no JSON Schema: {e}")))
}

fn mapping_of(config: &MapConfig) -> Result<Mapping, BuildError> {
    let key = |field: String, text: &str| {
        KeyPath::parse(text).ok_or_else(|| {
            BuildError::at(field, format!("`{text}` is no path of a key"))
                .with_help("write parts with dots between; quote a part that holds a dot: a.\"b.c\"")
        })
    };
    let mut mapping = Mapping::default();
    for (i, entry) in config.map.iter().enumerate() {
        let (from, to) = (key(format!("map[{i}].from"), &entry.from)?, key(format!("map[{i}].to"), &entry.to)?);
        if from == to {
            return Err(BuildError::at(format!("map[{i}]"), format!("`{from}` is mapped to itself"))
                .with_help("name it in `keep`"));
        }
        mapping.moves.push((from, to));
    }
    for (field, values, into) in
        [("set", &config.set, &mut mapping.set), ("defaults", &config.defaults, &mut mapping.defaults)]
    {
        for (name, value) in values {
            into.push((key(format!("{field}.{name}"), name)?, value.clone()));
        }
    }
    for (i, name) in config.keep.iter().enumerate() {
        mapping.keep.push(key(format!("keep[{i}]"), name)?);
    }
    for (i, entry) in config.drop.iter().enumerate() {
        if entry.why.trim().is_empty() {
            return Err(BuildError::at(format!("drop[{i}].why"), format!("no reason for dropping `{}`", entry.key))
                .with_help("say why nobody will miss it"));
        }
        mapping.drop.push((key(format!("drop[{i}].key"), &entry.key)?, entry.why.clone()));
    }
    twice("map", "from", mapping.moves.iter().map(|(from, _)| from).chain(mapping.drop.iter().map(|(key, _)| key)))?;
    let given = mapping.set.iter().chain(&mapping.defaults).map(|(key, _)| key);
    twice("map", "to", mapping.moves.iter().map(|(_, to)| to).chain(given.clone().take(mapping.set.len())))?;
    twice("defaults", "set", given)?;
    Ok(mapping)
}

/// A key that is decided about twice.
fn twice<'a>(field: &str, what: &str, keys: impl Iterator<Item = &'a KeyPath>) -> Result<(), BuildError> {
    let mut seen = Vec::new();
    for key in keys {
        if seen.contains(&key) {
            return Err(BuildError::at(field, format!("`{key}` is decided about twice ({what})"))
                .with_help("keep one of the two"));
        }
        seen.push(key);
    }
    Ok(())
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
        let Some(work) = self.look(cx).await? else { return Ok(Applied::AlreadyApplied(Receipt::nothing())) };
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
        cx.intend(&receipt).await?;
        cx.blocking(move || {
            // Somebody may have written while the intent was made durable.
            let now = present(&work.path)?.map(|(bytes, mode)| Image::of(&bytes, mode));
            if now != made.before {
                return Err(StepError::failed(format!("`{}` was changed by somebody else just now", made.path))
                    .with_help("stop the program that writes it, then run again"));
            }
            if let Some(folder) = work.path.parent() {
                fs::create_dir_all(folder).map_err(|e| io_error("cannot make", folder, e))?;
            }
            write_atomic(&work.path, &work.after, work.mode)
        })
        .await?;
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
        let Some(intent) = cx.info().intent.clone().filter(|r| !r.body.is_null()) else { return Ok(None) };
        let (made, folder) = (intent.read::<Made>()?, self.base.folder(cx)?);
        let there =
            cx.blocking(move || Ok(present(&inside(&folder, &made.path, true)?)?.zip(Some(made.after)))).await?;
        Ok(there.is_some_and(|((bytes, _), after)| Image::of(&bytes, after.mode) == after).then_some(intent))
    }

    /// What is to be written; none when it is there already. All that stands in the way is a conflict.
    async fn look(&self, cx: &StepContext) -> Result<Option<Work>, StepError> {
        let folder = self.base.folder(cx)?;
        let (from, to) = (self.from.0.clone(), self.to.0.clone());
        let read = cx
            .blocking(move || {
                let source = inside(&folder, &from, true)?;
                let path = inside(&folder, &to, true)?;
                let old = present(&source)?.ok_or_else(|| {
                    StepError::unavailable(format!("the configuration `{from}` is not there"))
                        .with_help("put it there, or let the step apply only `when` a `dir` target has `file:…`")
                })?;
                let real = folder.canonicalize().map_err(|e| io_error("cannot open", &folder, e))?;
                let missing = path.ancestors().skip(1).take_while(|f| !f.exists());
                let mut folders: Vec<_> =
                    missing.map(|f| f.strip_prefix(&real).unwrap_or(f).display().to_string()).collect();
                folders.reverse();
                Ok((old, present(&path)?, path, folders))
            })
            .await?;
        let ((old, mode), before, path, folders) = read;
        let text = String::from_utf8(old)
            .map_err(|e| StepError::conflict(format!("`{}` is not UTF-8", self.from.0)).caused_by(e.utf8_error()))?;
        let document = self.from.1.read(&text).map_err(|e| unreadable(&self.from.0, &e))?;
        if self.from.0 != self.to.0
            && let Some((bytes, _)) = &before
        {
            let there = String::from_utf8_lossy(bytes);
            let lines = match self.to.1.read(&there) {
                Ok(new) => [self.mapping.missing(&new, &[]), self.schema_errors(&new)].concat(),
                Err(e) => vec![e],
            };
            return if lines.is_empty() { Ok(None) } else { Err(occupied(&self.to.0, &lines)) };
        }
        let mut mapped = self.mapping.map(&document).map_err(|problems| {
            let help =
                "name each key in `map`, `keep`, `drop` (with why), `set` or `defaults`, or take it out of the file";
            StepError::conflict(format!("`{}` cannot be mapped: {}", self.from.0, problems.join("; "))).with_help(help)
        })?;
        let errors = self.schema_errors(&mapped.document);
        if !errors.is_empty() {
            return Err(StepError::conflict(format!(
                "what would become of `{}` is against the schema: {}",
                self.to.0,
                errors.join("; ")
            ))
            .with_help(
                "nothing was written; add the values to `set` or `defaults`, or correct the file or the schema",
            ));
        }
        if self.from.0 == self.to.0 && mapped.document == document {
            return Ok(None);
        }
        if self.from.1.has_comments(&text) {
            mapped.notes.push(format!("comments of {} are not carried over", self.from.0));
        }
        let like = (self.from.1 == self.to.1).then_some(text.as_str());
        let after = self.to.1.write(&mapped.document, like).map_err(|e| {
            StepError::conflict(format!("`{}` cannot be written: {e}", self.to.0))
                .with_help("choose a format that can say it")
        })?;
        Ok(Some(Work { path, before, after: after.into_bytes(), mode, mapped, folders }))
    }

    /// Everything in which the document is against the schema. Values are not shown: they may be secrets.
    fn schema_errors(&self, document: &Value) -> Vec<String> {
        let Some(schema) = &self.schema else { return Vec::new() };
        let place = |path: String| if path.is_empty() { "/".to_owned() } else { path };
        let line =
            |e: jsonschema::ValidationError<'_>| format!("{}: {}", place(e.instance_path().to_string()), e.masked());
        let mut lines: Vec<_> = schema.iter_errors(document).map(line).collect();
        lines.sort();
        lines
    }
}

fn unreadable(path: &str, why: &str) -> StepError {
    StepError::conflict(format!("`{path}` cannot be read: {why}")).with_help("correct the file; nothing was written")
}

fn occupied(path: &str, lines: &[String]) -> StepError {
    StepError::conflict(format!("`{path}` is there and is not what the old file would become: {}", lines.join("; ")))
        .with_help("move it elsewhere, or choose another `to`; it is never overwritten")
}

/// A file's bytes and mode; none when there is no file.
fn present(path: &Path) -> Result<Option<(Vec<u8>, u32)>, StepError> {
    match fs::read(path) {
        Ok(bytes) => {
            let found = fs::metadata(path).map_err(|e| io_error("cannot look at", path, e))?;
            Ok(Some((bytes, found.permissions().mode() & 0o7777)))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("cannot read", path, e)),
    }
}

/// Puts back what was before, unless somebody else has written the file since.
fn put_back(folder: &Path, scratch: &Path, made: &Made) -> Result<(), StepError> {
    let path = inside(folder, &made.path, true)?;
    let now = present(&path)?;
    let hash = now.as_ref().map(|(bytes, _)| Image::of(bytes, 0).blake3);
    if hash.as_ref() == made.before.as_ref().map(|image| &image.blake3) {
        return Ok(());
    }
    if hash.as_ref() != Some(&made.after.blake3) {
        let error = StepError::failed(format!("`{}` was changed by somebody else since this step wrote it", made.path));
        let kept = made.before.as_ref().map(|image| format!(" (the file before is kept in `{}`)", image.blake3));
        return Err(error.with_help(format!(
            "move it elsewhere and put back what the step wrote, or make it what it was before{}; then roll back again",
            kept.unwrap_or_default()
        )));
    }
    match &made.before {
        Some(image) => write_atomic(&path, &image.load(scratch)?, image.mode)?,
        None => {
            fs::remove_file(&path).map_err(|e| io_error("cannot remove", &path, e))?;
            sync_parent(&path)?;
        }
    }
    for made in made.folders.iter().rev() {
        // Not empty, or gone: not ours to remove any more.
        let _ = fs::remove_dir(inside(folder, made, false)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

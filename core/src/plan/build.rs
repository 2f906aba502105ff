//! Pass 2, second half: each `with` through its kind's own typed configuration, and the digests of what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::DeValue;

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::draft::StepDraft;
use super::placeholder::{Filler, not_set};
use super::targets::Targets;
use super::{Condition, PlanFiles, table, value};
use crate::{
    BuildContext, BuildError, ConfigSource, MigrationStep, StepDescriptor, blake3_hex, canonical_json, sql,
    token_digest,
};

/// A configuration in its three forms.
pub(crate) struct Config<'i> {
    /// What journals and digests hold: variables resolved, secrets not.
    pub(crate) stored: Value,
    /// What a step is built from.
    pub(crate) filled: Spanned<DeValue<'i>>,
    /// The same with the places of the file, for messages.
    pub(crate) places: Spanned<DeValue<'i>>,
}

/// Prepares a `with`; none (and diagnostics) when it cannot be stored or a placeholder is wrong.
pub(crate) fn read_config<'i>(
    with: Option<Spanned<DeValue<'i>>>,
    header: Range<usize>,
    filler: &mut Filler<'_, 'i>,
    d: &mut Diagnostics,
) -> Option<Config<'i>> {
    let mut with = with.unwrap_or_else(|| value::empty(header));
    if !with.get_ref().is_table() {
        let message = "`with` must be a table";
        d.push(Diagnostic::at(codes::WRONG_TYPE, with.span(), message).help("write `with = { ... }`"));
        return None;
    }
    if !value::storable(&mut with, d) {
        return None;
    }
    let before = d.len();
    filler.vars(&mut with, d);
    let stored = value::json(with.get_ref());
    let mut filled = with.clone();
    filler.env(&mut filled, d);
    (d.len() == before).then_some(Config { stored, filled, places: with })
}

/// A step that its kind accepted.
pub(crate) struct Built {
    pub(crate) step: Arc<dyn MigrationStep>,
    pub(crate) config: Value,
    pub(crate) files: BTreeMap<String, Arc<[u8]>>,
    pub(crate) digest: String,
    pub(crate) checksum: String,
}

/// What steps are built from, besides themselves.
pub(crate) struct Builder<'a, 'i> {
    pub(crate) targets: &'a Targets,
    pub(crate) vars: &'a BTreeMap<String, Value>,
    pub(crate) files: &'a dyn PlanFiles,
    pub(crate) filler: Filler<'a, 'i>,
}

impl<'i> Builder<'_, 'i> {
    /// Builds one step, or says why its kind refuses it.
    pub(crate) fn build(
        &mut self,
        draft: &mut StepDraft<'i>,
        descriptor: &StepDescriptor,
        d: &mut Diagnostics,
    ) -> Option<Built> {
        let id = draft.id.as_ref().map_or("", |id| id.get_ref());
        let target = draft.target.as_ref().map(|t| t.get_ref().as_str());
        let config = read_config(draft.with.take(), draft.header.clone(), &mut self.filler, d);
        let unset = std::mem::take(&mut self.filler.kept);
        let config = config?;
        let unusable = |t: &str| self.targets.broken.contains(t) || !self.targets.specs.contains_key(t);
        if target.is_some_and(unusable) {
            return None;
        }
        let cx = BuildContext::new(id, target, &self.targets.specs, self.vars, self.files);
        let step = match (descriptor.build)(ConfigSource::Toml(config.filled), &cx) {
            Ok(step) => step,
            // The kind wants the value, and that is what is wrong.
            Err(_) if !unset.is_empty() => {
                unset.iter().for_each(|name| d.push(not_set(name, &config.places.span())));
                return None;
            }
            Err(error) => {
                let whole = match (&draft.target, &draft.kind) {
                    (Some(target), _) if error.message.contains(&format!("target `{}`", target.get_ref())) => {
                        target.span()
                    }
                    (_, Some(kind)) => kind.span(),
                    _ => draft.header.clone(),
                };
                config_errors(error, &config.places, whole, descriptor.schema, d);
                return None;
            }
        };
        let files = cx.files_read();
        let when = draft.when.as_ref().and_then(|w| w.condition());
        let digest = self.digest(descriptor, target, when.as_ref(), &config.stored, &files);
        let checksum = checksum(step.checksum_source(), &config.stored);
        Some(Built { step, config: config.stored, files, digest, checksum })
    }

    /// Token-wise: blind to comments and layout of files, to tuning, and to the values of secrets.
    fn digest(
        &self,
        descriptor: &StepDescriptor,
        target: Option<&str>,
        when: Option<&Condition>,
        config: &Value,
        files: &BTreeMap<String, Arc<[u8]>>,
    ) -> String {
        let tuned = descriptor.tuning.iter().any(|field| config.get(field).is_some());
        let untuned = tuned.then(|| {
            let fields = config.as_object().into_iter().flatten();
            fields.filter(|(field, _)| !descriptor.tuning.contains(&field.as_str())).map(own).collect()
        });
        let config = untuned.as_ref().unwrap_or(config);
        let mut bound = BTreeMap::new();
        if !self.vars.is_empty() {
            let mut bind = |text: &str| {
                for name in sql::parameters(text) {
                    if let Some((name, value)) = self.vars.get_key_value(name) {
                        bound.insert(name.clone(), value.clone());
                    }
                }
            };
            texts(config, &mut bind);
            files.iter().filter(|(path, _)| path.to_ascii_lowercase().ends_with(".sql")).for_each(|(_, bytes)| {
                bind(&String::from_utf8_lossy(bytes));
            });
        }
        let files: BTreeMap<&str, String> = files.iter().map(|(p, b)| (p.as_str(), token_digest(p, b))).collect();
        let rest = json!([descriptor.kind, target, when, files, bound]);
        blake3_hex(format!("{}\n{}", canonical_json(config), canonical_json(&rest)).as_bytes())
    }
}

fn own((field, value): (&String, &Value)) -> (String, Value) {
    (field.clone(), value.clone())
}

fn texts(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) if text.contains(':') => see(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, see)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, see)),
        _ => {}
    }
}

fn checksum(source: Option<Vec<u8>>, config: &Value) -> String {
    let bytes = source.unwrap_or_else(|| canonical_json(config).into_bytes());
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Turns a kind's refusal into diagnostics. `whole` is the place of an error that names no field.
pub(crate) fn config_errors(
    error: BuildError,
    places: &Spanned<DeValue<'_>>,
    whole: Range<usize>,
    schema: fn(&mut SchemaGenerator) -> Schema,
    d: &mut Diagnostics,
) {
    if !error.in_file.is_empty() {
        return error.in_file.into_iter().for_each(|mistake| d.push(mistake));
    }
    let Some(span) = error.span else {
        let span = if error.field.is_empty() { whole } else { value::find(places, &error.field).span() };
        let mut diagnostic = Diagnostic::at(codes::BAD_CONFIG, span, error.message);
        diagnostic.help = error.help;
        d.push(diagnostic);
        return;
    };
    // The typed reader stops at its first error; the schema names every unknown and missing key of the table.
    let before = d.len();
    if let DeValue::Table(entries) = places.get_ref() {
        let schema = super::schema::of_config(schema);
        let fields = schema.get("properties").and_then(Value::as_object);
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        let mut meant = BTreeSet::new();
        if let Some(fields) = fields.filter(|_| closed) {
            for key in entries.keys().filter(|key| !fields.contains_key(key.get_ref().as_ref())) {
                let message = format!("`with` has no key `{}`", key.get_ref());
                let diagnostic = Diagnostic::at(codes::BAD_CONFIG, key.span(), message).label("unknown key");
                let known = fields.keys().map(String::as_str);
                meant.extend(crate::closest(key.get_ref(), known.clone()));
                d.push(diagnostic.suggest(key.get_ref(), "keys", known));
            }
        }
        for key in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !entries.contains_key(key) && !meant.contains(key) {
                let doc = fields.and_then(|f| f.get(key)?.get("description")?.as_str());
                let help = doc.map(|doc| doc.lines().next().unwrap_or_default());
                let mut diagnostic = Diagnostic::at(codes::BAD_CONFIG, places.span(), format!("`with` has no `{key}`"));
                diagnostic.help = help.map(|help| format!("`{key}`: {help}"));
                d.push(diagnostic);
            }
        }
    }
    if d.len() == before {
        d.push(serde_error(&error.message, span, places));
    }
}

/// The typed reader's message in words: "unknown field `colour`, expected one of `a`, `b`" with the closest of them,
/// "invalid type: string "many", expected u64" with the key that it is about.
fn serde_error(message: &str, span: Range<usize>, places: &Spanned<DeValue<'_>>) -> Diagnostic {
    let Some((head, expected)) = message.split_once(", expected ") else {
        return Diagnostic::at(codes::BAD_CONFIG, span, message);
    };
    if head.starts_with("invalid type: ") {
        let path = value::path_of(places, &span);
        let what = path.as_ref().map_or_else(|| "this".to_owned(), |path| format!("`{path}`"));
        let label = path.map(|path| table::kind_of(value::find(places, &path).get_ref()));
        let mut diagnostic = Diagnostic::at(codes::BAD_CONFIG, span, format!("{what} must be {}", wanted(expected)));
        diagnostic.label = label.map(|kind| format!("this is {kind}"));
        return diagnostic;
    }
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let (wrong, known) = (quoted(head), quoted(expected));
    let diagnostic = Diagnostic::at(codes::BAD_CONFIG, span, head);
    match wrong.first() {
        Some(wrong) if !known.is_empty() => diagnostic.suggest(wrong, "names", known.iter().map(String::as_str)),
        _ => diagnostic.label(format!("expected {expected}")),
    }
}

/// A type's name for readers who do not know Rust.
fn wanted(expected: &str) -> &str {
    match expected {
        "a string" => "a text",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "a table",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

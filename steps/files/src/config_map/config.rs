//! What a plan says about a configuration, and the mapping that it means.

use std::collections::BTreeMap;

use cutover_core::BuildError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::keys::KeyPath;
use super::mapping::Mapping;

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

/// Reads every key, and refuses what is decided about twice.
pub(super) fn mapping_of(config: &MapConfig) -> Result<Mapping, BuildError> {
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

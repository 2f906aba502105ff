//! A configuration of version 1 made into one of version 2: what is moved, set, defaulted, kept or dropped.
//!
//! Owns the rules, on documents in memory. Every key of the old document must be decided about. Knows no files.
//! Values are never shown: they may be secrets. What the plan itself sets may be.

use serde_json::Value;

use super::keys::{KeyPath, uncovered};

/// What is to be done with a document's keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping {
    pub(super) moves: Vec<(KeyPath, KeyPath)>,
    pub(super) set: Vec<(KeyPath, Value)>,
    pub(super) defaults: Vec<(KeyPath, Value)>,
    pub(super) keep: Vec<KeyPath>,
    pub(super) drop: Vec<(KeyPath, String)>,
    /// Every key that is not named stays as it is.
    pub(super) rest: bool,
    /// Two keys of one table are the same to whoever reads the file when this makes the same of them.
    pub(super) alike: Option<fn(&str) -> String>,
}

/// A document that was mapped.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mapped {
    pub(super) document: Value,
    /// One line for each key that was moved, set, defaulted, kept or dropped.
    pub(super) notes: Vec<String>,
    /// Keys that hold an old value now.
    pub(super) carried: Vec<String>,
}

impl Mapping {
    /// Maps `old`, or says everything that stands in the way.
    pub(super) fn map(&self, old: &Value) -> Result<Mapped, Vec<String>> {
        if !old.is_object() {
            return Err(vec!["the document is no table of keys".to_owned()]);
        }
        let mut problems = self.undecided(old);
        let mut out = Mapped { document: old.clone(), notes: Vec::new(), carried: Vec::new() };
        // The most specific first, so that what lies inside a moved table can go elsewhere.
        let mut moves: Vec<_> = self.moves.iter().filter(|(from, to)| !already_moved(old, from, to)).collect();
        moves.sort_by_key(|(from, _)| std::cmp::Reverse(from.depth()));
        let taken: Vec<_> =
            moves.into_iter().filter_map(|(from, to)| Some((from, to, from.take(&mut out.document)?))).collect();
        for (key, why) in &self.drop {
            if key.take(&mut out.document).is_some() {
                out.notes.push(format!("dropped {key} ({why})"));
            }
        }
        for (from, to, value) in taken.into_iter().rev() {
            if to.get(&out.document).is_some() {
                problems.push(format!("both `{from}` and `{to}` are there: take one of them out"));
            } else if let Err(at) = to.put(&mut out.document, value) {
                problems.push(format!("`{from}` cannot go to `{to}`: `{at}` is no table"));
            }
            out.notes.push(format!("moved {from} → {to}"));
            out.carried.push(to.to_string());
        }
        for (key, value) in &self.set {
            problems.extend(self.other_spelling(key, &out.document));
            let before = key.get(&out.document);
            if before == Some(value) {
                continue;
            }
            let was = if before.is_some() { " (it had another value)" } else { "" };
            out.notes.push(format!("set {key} = {value}{was}"));
            if let Err(at) = key.put(&mut out.document, value.clone()) {
                problems.push(format!("`{key}` cannot be set: `{at}` is no table"));
            }
        }
        for (key, value) in &self.defaults {
            if key.get(&out.document).is_some() {
                out.notes.push(format!("kept {key}"));
                out.carried.push(key.to_string());
                continue;
            }
            out.notes.push(format!("defaulted {key} = {value}"));
            if let Err(at) = key.put(&mut out.document, value.clone()) {
                problems.push(format!("`{key}` cannot be set: `{at}` is no table"));
            }
        }
        for key in self.keep.iter().filter(|key| key.get(&out.document).is_some()) {
            out.notes.push(format!("kept {key}"));
            out.carried.push(key.to_string());
        }
        out.carried.sort();
        out.carried.dedup();
        if problems.is_empty() { Ok(out) } else { Err(problems) }
    }

    /// What of the mapping does not hold in `new`. Keys that nobody decided about are no concern of it.
    pub(super) fn missing(&self, new: &Value, carried: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        let gone = self.moves.iter().map(|(from, _)| from).chain(self.drop.iter().map(|(key, _)| key));
        for key in gone {
            let Some(value) = key.get(new) else { continue };
            let mut left = Vec::new();
            let staying: Vec<_> = self.staying().filter(|s| s.is_within(key)).collect();
            uncovered(value, Some(key), &staying, &mut left);
            if staying.is_empty() || !value.is_object() || !left.is_empty() {
                lines.push(format!("`{key}` is still there"));
            }
        }
        for (key, value) in &self.set {
            match key.get(new) {
                Some(found) if found == value => {}
                Some(_) => lines.push(format!("`{key}` is not {value}")),
                None => lines.push(format!("`{key}` is missing")),
            }
        }
        let defaulted = self.defaults.iter().map(|(key, _)| key.clone());
        let mut wanted: Vec<_> = defaulted.chain(carried.iter().filter_map(|key| KeyPath::parse(key))).collect();
        wanted.sort();
        wanted.dedup();
        lines.extend(wanted.iter().filter(|key| key.get(new).is_none()).map(|key| format!("`{key}` is missing")));
        lines
    }

    /// Keys of the new document that the mapping knows.
    fn staying(&self) -> impl Iterator<Item = &KeyPath> {
        let moved = self.moves.iter().map(|(_, to)| to);
        let given = self.set.iter().chain(&self.defaults).map(|(key, _)| key);
        moved.chain(given).chain(&self.keep)
    }

    /// A key beside `key` that is the same to whoever reads the file.
    fn other_spelling(&self, key: &KeyPath, document: &Value) -> Option<String> {
        let alike = self.alike?;
        let (table, last) = key.split()?;
        let table = match table {
            Some(path) => path.get(document)?,
            None => document,
        };
        let other = table.as_object()?.keys().find(|other| *other != last && alike(other) == alike(last))?;
        Some(format!("`{other}` is there, and is the same as `{key}`: write it as the file does"))
    }

    fn undecided(&self, old: &Value) -> Vec<String> {
        if self.rest {
            return Vec::new();
        }
        let leaving = self.moves.iter().map(|(from, _)| from).chain(self.drop.iter().map(|(key, _)| key));
        let decided: Vec<_> = leaving.chain(self.staying()).collect();
        let mut found = Vec::new();
        uncovered(old, None, &decided, &mut found);
        found.into_iter().map(|key| format!("`{key}` is neither mapped, kept nor dropped")).collect()
    }
}

/// `plugins` → `plugins.enabled`, where `plugins.enabled` is there: the work of an earlier apply.
fn already_moved(document: &Value, from: &KeyPath, to: &KeyPath) -> bool {
    to != from && to.is_within(from) && to.get(document).is_some()
}

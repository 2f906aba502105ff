//! Paths of keys in a configuration ("paths.brainRoot"), and work on documents by such paths.
//!
//! Lists are values: a path does not go into them. A key that holds a dot is quoted: `a."b.c"`.

use std::fmt;

use serde_json::{Map, Value};

/// The path of a key; never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<String>);

impl KeyPath {
    /// Reads "a.b" or `a."b.c"`; none when a part is empty or a quote is not closed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            if part.is_empty() || (!rest.starts_with('"') && part.contains('"')) {
                return None;
            }
            parts.push(part.to_owned());
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None if after.is_empty() => return Some(Self(parts)),
                None => return None,
            }
        }
    }

    /// The path of `key` inside `above`.
    pub(super) fn below(above: Option<&Self>, key: &str) -> Self {
        let mut parts = above.map(|a| a.0.clone()).unwrap_or_default();
        parts.push(key.to_owned());
        Self(parts)
    }

    /// The table that it is in, none for the document itself, and its name there.
    pub(super) fn split(&self) -> Option<(Option<Self>, &str)> {
        let (last, above) = self.0.split_last()?;
        Some(((!above.is_empty()).then(|| Self(above.to_vec())), last))
    }

    /// Whether this is `other` or lies below it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// How many parts it has.
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    /// The value at this path.
    pub(super) fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |at, key| at.as_object()?.get(key))
    }

    /// Takes the value out, with the tables above it that it leaves empty.
    pub(super) fn take(&self, document: &mut Value) -> Option<Value> {
        take(document.as_object_mut()?, &self.0)
    }

    /// Puts a value there, making tables as needed. Fails when something that is no table is in the way: its path.
    pub(super) fn put(&self, document: &mut Value, value: Value) -> Result<(), Self> {
        let mut at = document;
        for (i, key) in self.0.iter().enumerate() {
            let Value::Object(map) = at else { return Err(Self(self.0[..i].to_vec())) };
            at = map.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
        }
        *at = value;
        Ok(())
    }
}

fn take(map: &mut Map<String, Value>, path: &[String]) -> Option<Value> {
    let (key, rest) = path.split_first()?;
    if rest.is_empty() {
        return map.shift_remove(key);
    }
    let inner = map.get_mut(key)?.as_object_mut()?;
    let value = take(inner, rest)?;
    if inner.is_empty() {
        map.shift_remove(key);
    }
    Some(value)
}

/// The outermost keys of `value` that no path of `covered` decides about.
pub(super) fn uncovered(value: &Value, at: Option<&KeyPath>, covered: &[&KeyPath], found: &mut Vec<KeyPath>) {
    let Value::Object(map) = value else { return };
    for (key, inner) in map {
        let path = KeyPath::below(at, key);
        if covered.iter().any(|c| path.is_within(c)) {
            continue;
        }
        let partly = covered.iter().any(|c| c.is_within(&path));
        if partly && inner.as_object().is_some_and(|m| !m.is_empty()) {
            uncovered(inner, Some(&path), covered, found);
        } else {
            found.push(path);
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            if part.contains('.') || part.is_empty() {
                write!(f, "{dot}\"{part}\"")?;
            } else {
                write!(f, "{dot}{part}")?;
            }
        }
        Ok(())
    }
}

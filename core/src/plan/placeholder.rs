//! `${vars.NAME}` and `${env.NAME}` inside a `with`, and `$${`, which stands for a plain `${`.
//!
//! Variables are put in first: that text is what digests and journals hold. Secrets are put in last and only into
//! what a step is built from. A variable's value is never searched for placeholders: its `${` is escaped.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;
use thiserror::Error;
use toml::Spanned;
use toml::de::DeValue;

use super::codes;
use super::compile::Unset;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::syntax::MOST_BYTES;
use super::{table, value};

/// An environment variable that a configuration names and that is not set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the environment variable `{0}` is not set")]
pub struct UnsetVariable(pub String);

/// A stored configuration with its `${env.NAME}` filled in: what a step is built from again.
pub fn resolve_env(config: &Value, env: &dyn Fn(&str) -> Option<String>) -> Result<Value, UnsetVariable> {
    Ok(match config {
        Value::String(text) => {
            let mut out = String::new();
            for piece in pieces(text) {
                match piece {
                    Piece::Env(name) => out.push_str(&env(name).ok_or_else(|| UnsetVariable(name.to_owned()))?),
                    Piece::Escaped => out.push_str("${"),
                    Piece::Text(raw) | Piece::Var(raw) | Piece::Unknown(raw) => out.push_str(raw),
                }
            }
            Value::String(out)
        }
        Value::Array(items) => items.iter().map(|item| resolve_env(item, env)).collect::<Result<_, _>>()?,
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), resolve_env(value, env)?)))
                .collect::<Result<_, UnsetVariable>>()?,
        ),
        scalar => scalar.clone(),
    })
}

/// A part of a text.
enum Piece<'t> {
    Text(&'t str),
    Var(&'t str),
    Env(&'t str),
    Escaped,
    Unknown(&'t str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Escaped);
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Text(&rest[..at]));
        let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
        let inside = rest[at + 2..end].strip_suffix('}');
        pieces.push(match inside.and_then(|inside| inside.split_once('.')) {
            Some(("vars", name)) if !name.is_empty() => Piece::Var(name),
            Some(("env", name)) if !name.is_empty() => Piece::Env(name),
            _ => Piece::Unknown(&rest[at..end]),
        });
        rest = &rest[end..];
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| !matches!(piece, Piece::Text("")));
    pieces
}

/// Fills placeholders in, and remembers the secrets that it met.
pub(crate) struct Filler<'a, 'i> {
    pub(crate) vars: &'a BTreeMap<String, DeValue<'i>>,
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) unset: Unset,
    /// The variables that were kept since somebody took this.
    pub(crate) kept: BTreeSet<String>,
    /// Bytes that may still be filled in.
    room: Cell<usize>,
}

/// Bytes that may be filled in for the placeholders of one plan: a few of them may multiply what a long value holds.
const MOST_FILLED: usize = 4 * MOST_BYTES;

impl<'a, 'i> Filler<'a, 'i> {
    pub(crate) fn new(vars: &'a BTreeMap<String, DeValue<'i>>, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            vars,
            env,
            secrets: BTreeSet::new(),
            unset: Unset::Refused,
            kept: BTreeSet::new(),
            room: Cell::new(MOST_FILLED),
        }
    }

    /// `value` with its variables. A text that is exactly one variable takes its type.
    pub(crate) fn vars(&self, value: &mut Spanned<DeValue<'i>>, d: &mut Diagnostics) {
        map_texts(value, &mut |text, span| self.vars_of(text, span, d));
    }

    fn vars_of(&self, text: &str, span: &Range<usize>, d: &mut Diagnostics) -> Option<Spanned<DeValue<'i>>> {
        let pieces = pieces(text);
        if let [Piece::Var(name)] = pieces[..] {
            let found = self.var(name, span, d)?;
            if !self.fits(value::size(found), span, d) {
                return None;
            }
            let mut found = value::moved(found, span);
            map_texts(&mut found, &mut |text, span| {
                Some(Spanned::new(span.clone(), DeValue::String(escaped(text).into())))
            });
            return Some(found);
        }
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(raw) => out.push_str(raw),
                Piece::Escaped => out.push_str("$${"),
                Piece::Env(name) => out.push_str(&format!("${{env.{name}}}")),
                Piece::Unknown(raw) => d.push(unknown(raw, span)),
                Piece::Var(name) => match self.var(name, span, d) {
                    Some(list @ (DeValue::Array(_) | DeValue::Table(_))) => {
                        let message = format!("the variable `{name}` cannot be part of a text");
                        let label = format!("`{name}` is {}", table::kind_of(list));
                        d.push(Diagnostic::at(codes::BAD_PLACEHOLDER, span.clone(), message).label(label));
                    }
                    Some(scalar) if !self.fits(value::size(scalar), span, d) => return None,
                    Some(scalar) => match value::json(scalar) {
                        Value::String(text) => out.push_str(&escaped(&text)),
                        other => out.push_str(&other.to_string()),
                    },
                    None => {}
                },
            }
        }
        Some(Spanned::new(span.clone(), DeValue::String(out.into())))
    }

    /// Whether so many more bytes may be filled in; a mistake when they may not.
    fn fits(&self, bytes: usize, span: &Range<usize>, d: &mut Diagnostics) -> bool {
        fits(&self.room, bytes, span, d)
    }

    fn var(&self, name: &str, span: &Range<usize>, d: &mut Diagnostics) -> Option<&DeValue<'i>> {
        let found = self.vars.get(name);
        if found.is_none() {
            let diagnostic =
                Diagnostic::at(codes::UNKNOWN_VAR, span.clone(), format!("the plan has no variable `{name}`"));
            d.push(if d.many() {
                diagnostic
            } else if self.vars.is_empty() {
                diagnostic.help(format!("declare it: `[vars]`, then `{name} = ...`"))
            } else {
                diagnostic.suggest(name, "variables", self.vars.keys().map(String::as_str))
            });
        }
        found
    }

    /// `value` with its secrets.
    pub(crate) fn env(&mut self, value: &mut Spanned<DeValue<'i>>, d: &mut Diagnostics) {
        let (env, unset) = (self.env, self.unset);
        let (secrets, kept, room) = (&mut self.secrets, &mut self.kept, &self.room);
        map_texts(value, &mut |text, span| {
            let mut out = String::new();
            for piece in pieces(text) {
                match piece {
                    Piece::Env(name) => match env(name) {
                        Some(secret) if !fits(room, secret.len(), span, d) => return None,
                        Some(secret) => {
                            out.push_str(&secret);
                            secrets.insert(secret);
                        }
                        None if unset == Unset::Kept => {
                            out.push_str(&format!("${{env.{name}}}"));
                            kept.insert(name.to_owned());
                        }
                        None => d.push(not_set(name, span)),
                    },
                    Piece::Escaped => out.push_str("${"),
                    Piece::Text(raw) | Piece::Var(raw) | Piece::Unknown(raw) => out.push_str(raw),
                }
            }
            Some(Spanned::new(span.clone(), DeValue::String(out.into())))
        });
    }
}

fn fits(room: &Cell<usize>, bytes: usize, span: &Range<usize>, d: &mut Diagnostics) -> bool {
    let left = room.get().checked_sub(bytes);
    room.set(left.unwrap_or(0));
    if left.is_none() {
        let message = format!("placeholders fill in more than {} MiB", MOST_FILLED >> 20);
        let help = "keep large data in a file beside the plan, and name it in `with`";
        d.push(Diagnostic::at(codes::TOO_LARGE, span.clone(), message).help(help));
    }
    left.is_some()
}

/// The mistake of naming a variable that is not set.
pub(crate) fn not_set(name: &str, span: &Range<usize>) -> Diagnostic {
    let error = UnsetVariable(name.to_owned());
    Diagnostic::at(codes::UNSET_ENV, span.clone(), error.to_string())
        .help(format!("set it before the command: `{name}=... cutover ...`"))
}

fn unknown(raw: &str, span: &Range<usize>) -> Diagnostic {
    Diagnostic::at(codes::BAD_PLACEHOLDER, span.clone(), format!("`{raw}` has no meaning"))
        .help("write `${vars.NAME}` or `${env.NAME}`; `$${` stands for a plain `${`")
}

fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

/// What becomes of a text at a place.
type Change<'c, 'i> = dyn FnMut(&str, &Range<usize>) -> Option<Spanned<DeValue<'i>>> + 'c;

/// Replaces every text that holds a `${` by what `change` makes of it; none keeps the text.
fn map_texts<'i>(value: &mut Spanned<DeValue<'i>>, change: &mut Change<'_, 'i>) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains("${") => {
            if let Some(changed) = change(text, &span) {
                *value = changed;
            }
        }
        DeValue::Array(items) => items.iter_mut().for_each(|item| map_texts(item, change)),
        DeValue::Table(entries) => entries.iter_mut().for_each(|(_, value)| map_texts(value, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stored_configuration_gets_its_secrets_back_and_keeps_escaped_text() {
        let env = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
        let stored = json!({ "a": ["x ${env.TOKEN}"], "b": "$${env.TOKEN}", "c": 1 });
        let expected = json!({ "a": ["x s3cret"], "b": "${env.TOKEN}", "c": 1 });
        assert_eq!(resolve_env(&stored, &env), Ok(expected));
        assert_eq!(resolve_env(&json!("${env.NONE}"), &env), Err(UnsetVariable("NONE".to_owned())));
    }
}

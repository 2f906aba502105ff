//! Values of a `with`: made storable (no dates, no infinities, not too deep), turned into JSON, and found by path.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};

/// Levels of lists and tables that a configuration may have.
const DEEPEST: usize = 64;

/// Makes `value` one that JSON can hold: dates become texts. False (and a diagnostic) where that is impossible.
pub(crate) fn storable(value: &mut Spanned<DeValue<'_>>, d: &mut Diagnostics) -> bool {
    if deeper_than(value.get_ref(), DEEPEST) {
        let message = format!("values are nested deeper than {DEEPEST} levels");
        d.push(Diagnostic::at(codes::TOO_DEEP, value.span(), message));
        return false;
    }
    let before = d.len();
    store(value, d);
    d.len() == before
}

/// Looks at each level in turn, so that the depth of the value never becomes the depth of our stack.
fn deeper_than(value: &DeValue<'_>, levels: usize) -> bool {
    let mut level = vec![value];
    for _ in 0..=levels {
        let mut next = Vec::new();
        for value in level {
            match value {
                DeValue::Array(items) => next.extend(items.iter().map(Spanned::get_ref)),
                DeValue::Table(entries) => next.extend(entries.values().map(Spanned::get_ref)),
                _ => {}
            }
        }
        if next.is_empty() {
            return false;
        }
        level = next;
    }
    true
}

fn store(value: &mut Spanned<DeValue<'_>>, d: &mut Diagnostics) {
    let span = value.span();
    match value.get_mut() {
        DeValue::Datetime(date) => *value.get_mut() = DeValue::String(date.to_string().into()),
        DeValue::Array(items) => items.iter_mut().for_each(|item| store(item, d)),
        DeValue::Table(entries) => entries.iter_mut().for_each(|(_, value)| store(value, d)),
        scalar => {
            if matches!(scalar, DeValue::Integer(_) | DeValue::Float(_)) && scalar_json(scalar).is_none() {
                let message = "this number cannot be stored: it is infinite, not a number or beyond 64 bits";
                let help = "give it as a text, in quotes";
                d.push(Diagnostic::at(codes::NO_JSON, span, message).help(help));
            }
        }
    }
}

/// About how many bytes a value takes as it is kept here.
pub(crate) fn size(value: &DeValue<'_>) -> usize {
    const EACH: usize = size_of::<Spanned<DeValue<'_>>>();
    EACH + match value {
        DeValue::String(text) => text.len(),
        DeValue::Array(items) => items.iter().map(|item| size(item.get_ref())).sum(),
        DeValue::Table(entries) => {
            entries.iter().map(|(key, value)| EACH + key.get_ref().len() + size(value.get_ref())).sum()
        }
        _ => 0,
    }
}

/// The JSON of a storable value.
pub(crate) fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(entries) => {
            let object: Map<String, Value> =
                entries.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect();
            Value::Object(object)
        }
        scalar => scalar_json(scalar).unwrap_or(Value::Null),
    }
}

/// The JSON of a scalar; none where there is no such number.
fn scalar_json(scalar: &DeValue<'_>) -> Option<Value> {
    Some(match scalar {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Integer(integer) => {
            let digits = integer.as_str();
            match i64::from_str_radix(digits, integer.radix()) {
                Ok(n) => Value::Number(n.into()),
                Err(_) => Value::Number(u64::from_str_radix(digits, integer.radix()).ok()?.into()),
            }
        }
        DeValue::Float(float) => Value::Number(Number::from_f64(float.as_str().parse().ok()?)?),
        DeValue::Array(_) | DeValue::Table(_) => Value::Null,
    })
}

/// The value at `path` ("add[2].name") inside `value`; where the path ends early, the last value that is there.
pub(crate) fn find<'v, 'i>(value: &'v Spanned<DeValue<'i>>, path: &str) -> &'v Spanned<DeValue<'i>> {
    let mut at = value;
    for part in path.split(['.', '[']) {
        let next = match (part.strip_suffix(']'), at.get_ref()) {
            (Some(index), DeValue::Array(items)) => index.parse::<usize>().ok().and_then(|i| items.get(i)),
            (_, DeValue::Table(entries)) => entries.get(part),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

/// The path of the value at `span`: "add[2].name"; none where there is no such value, or it is the whole.
pub(crate) fn path_of(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    let (mut at, mut path) = (value, String::new());
    while at.span() != *span {
        let inside = |inner: &Spanned<DeValue<'_>>| inner.span().start <= span.start && span.end <= inner.span().end;
        match at.get_ref() {
            DeValue::Array(items) => {
                let (index, next) = items.iter().enumerate().find(|(_, item)| inside(item))?;
                path.push_str(&format!("[{index}]"));
                at = next;
            }
            DeValue::Table(entries) => {
                let (key, next) = entries.iter().find(|(_, value)| inside(value))?;
                let dot = if path.is_empty() { "" } else { "." };
                path.push_str(&format!("{dot}{}", key.get_ref()));
                at = next;
            }
            _ => return None,
        }
    }
    (!path.is_empty()).then_some(path)
}

/// An empty table at `span`: the `with` of a step that has none.
pub(crate) fn empty<'i>(span: Range<usize>) -> Spanned<DeValue<'i>> {
    Spanned::new(span, DeValue::Table(DeTable::new()))
}

/// `value` with every place set to `span`: a variable's value, at the place of its use.
pub(crate) fn moved<'i>(value: &DeValue<'i>, span: &Range<usize>) -> Spanned<DeValue<'i>> {
    let value = match value {
        DeValue::Array(items) => DeValue::Array(items.iter().map(|item| moved(item.get_ref(), span)).collect()),
        DeValue::Table(entries) => {
            let moved = entries
                .iter()
                .map(|(key, value)| (Spanned::new(span.clone(), key.get_ref().clone()), moved(value.get_ref(), span)));
            DeValue::Table(moved.collect())
        }
        scalar => scalar.clone(),
    };
    Spanned::new(span.clone(), value)
}

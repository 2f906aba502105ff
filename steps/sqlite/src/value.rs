//! SQLite's values in receipts and cursors, and in digests.

use rusqlite::types::{Value as SqlValue, ValueRef};
use serde_json::{Value, json};

use crate::sql::sql_value;

/// A value as a receipt keeps it: blobs in hex, all else as JSON has it.
pub(crate) fn to_json(value: &SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(i) => json!(i),
        SqlValue::Real(r) => json!(r),
        SqlValue::Text(t) => json!(t),
        SqlValue::Blob(b) => json!({ "blob": b.iter().map(|x| format!("{x:02x}")).collect::<String>() }),
    }
}

/// The value that a receipt kept.
pub(crate) fn from_json(value: &Value) -> SqlValue {
    match value.get("blob").and_then(Value::as_str) {
        Some(hex) => SqlValue::Blob(
            (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()).collect(),
        ),
        None => sql_value(value).unwrap_or(SqlValue::Null),
    }
}

/// A value with its type in front, so that 1, 1.0, '1' and x'31' differ.
pub(crate) fn push_bytes(out: &mut Vec<u8>, value: ValueRef<'_>) {
    let mut bytes = |tag: u8, body: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(body.len() as u64).to_le_bytes());
        out.extend_from_slice(body);
    };
    match value {
        ValueRef::Text(text) => bytes(b't', text),
        ValueRef::Blob(blob) => bytes(b'b', blob),
        ValueRef::Null => out.push(b'n'),
        ValueRef::Integer(i) => {
            out.push(b'i');
            out.extend_from_slice(&i.to_le_bytes());
        }
        ValueRef::Real(r) => {
            out.push(b'r');
            out.extend_from_slice(&r.to_bits().to_le_bytes());
        }
    }
}

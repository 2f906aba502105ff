//! SQLite's values in lines for people, in cursors, and in digests.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A value as a line for people shows it: blobs in hex, all else as JSON has it.
pub(crate) fn to_json(value: &SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(i) => json!(i),
        SqlValue::Real(r) if r.is_infinite() => json!(if *r > 0.0 { "Infinity" } else { "-Infinity" }),
        SqlValue::Real(r) => json!(r),
        SqlValue::Text(t) => json!(t),
        SqlValue::Blob(b) => json!({ "blob": b.iter().map(|x| format!("{x:02x}")).collect::<String>() }),
    }
}

/// A value that is not NULL, exactly: what a cursor keeps. JSON has no infinities and no bytes, so reals are their
/// bits; text need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Exact {
    /// An integer.
    Integer(i64),
    /// The bits of a double.
    Real(u64),
    /// Text.
    Text(String),
    /// The bytes of a text that is no UTF-8.
    TextBytes(Vec<u8>),
    /// A blob.
    Blob(Vec<u8>),
}

impl Exact {
    /// None for NULL.
    pub(crate) fn of(value: ValueRef<'_>) -> Option<Self> {
        Some(match value {
            ValueRef::Null => return None,
            ValueRef::Integer(i) => Self::Integer(i),
            ValueRef::Real(r) => Self::Real(r.to_bits()),
            ValueRef::Text(t) => match std::str::from_utf8(t) {
                Ok(text) => Self::Text(text.to_owned()),
                Err(_) => Self::TextBytes(t.to_vec()),
            },
            ValueRef::Blob(b) => Self::Blob(b.to_vec()),
        })
    }
}

impl ToSql for Exact {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(i) => ValueRef::Integer(*i),
            Self::Real(bits) => ValueRef::Real(f64::from_bits(*bits)),
            Self::Text(t) => ValueRef::Text(t.as_bytes()),
            Self::TextBytes(t) => ValueRef::Text(t),
            Self::Blob(b) => ValueRef::Blob(b),
        }))
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

//! Values as SQL literals that any SQLite reads back exactly.

use std::io::{self, Write};

use rusqlite::types::ValueRef;

/// Writes `value` as a literal.
///
/// Text that a line-based reader would change (NUL, carriage return, bytes that are no UTF-8) goes through hex; reals
/// have 17 significant digits, which is all that a double holds.
pub(crate) fn write_literal(out: &mut impl Write, value: ValueRef<'_>) -> io::Result<()> {
    match value {
        ValueRef::Null => out.write_all(b"NULL"),
        ValueRef::Integer(i) => write!(out, "{i}"),
        ValueRef::Real(r) if r.is_infinite() => out.write_all(if r > 0.0 { b"1e999" } else { b"-1e999" }),
        ValueRef::Real(r) => write!(out, "{r:.16e}"),
        ValueRef::Text(text) if text.iter().any(|b| matches!(b, 0 | b'\r')) || std::str::from_utf8(text).is_err() => {
            out.write_all(b"CAST(")?;
            write_hex(out, text)?;
            out.write_all(b" AS TEXT)")
        }
        ValueRef::Text(text) => {
            out.write_all(b"'")?;
            for (i, part) in text.split(|b| *b == b'\'').enumerate() {
                if i > 0 {
                    out.write_all(b"''")?;
                }
                out.write_all(part)?;
            }
            out.write_all(b"'")
        }
        ValueRef::Blob(blob) => write_hex(out, blob),
    }
}

fn write_hex(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.write_all(b"x'")?;
    for b in bytes {
        out.write_all(&[DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])?;
    }
    out.write_all(b"'")
}

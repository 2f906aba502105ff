//! Values as SQL literals that any SQLite reads back exactly.

use std::io::{self, Write};

use rusqlite::types::{Value, ValueRef};

use super::tokens;

/// Writes `value` as a literal.
///
/// Text that a line-based reader would change (NUL, carriage return, bytes that are no UTF-8) goes through hex.
pub(crate) fn write_literal(out: &mut (impl Write + ?Sized), value: ValueRef<'_>) -> io::Result<()> {
    match value {
        ValueRef::Null => out.write_all(b"NULL"),
        ValueRef::Integer(i) => write!(out, "{i}"),
        ValueRef::Real(r) => write_real(out, r),
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

/// SQLite reads a decimal with an error of about 2^-62, so 17 digits are exact and the shortest form of a double is not
/// always (3.40.1 misreads `946831280.106803`). Far from 1 the error grows: there it is an integer times powers of two,
/// which every version computes exactly.
fn write_real(out: &mut (impl Write + ?Sized), r: f64) -> io::Result<()> {
    if r.is_infinite() {
        return out.write_all(if r > 0.0 { b"1e999" } else { b"-1e999" });
    }
    if r == 0.0 || (1e-20..=1e20).contains(&r.abs()) {
        let text = format!("{r:.16e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = digits.trim_end_matches('0');
        let dot = if digits.ends_with('.') { "0" } else { "" };
        return match exponent {
            "0" => write!(out, "{digits}{dot}"),
            _ => write!(out, "{digits}{dot}e{exponent}"),
        };
    }
    let bits = r.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let (mut whole, mut power) = match (bits >> 52) & 0x7ff {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, i32::try_from(exponent).unwrap_or_default() - 1075),
    };
    let zeros = whole.trailing_zeros();
    whole >>= zeros;
    power += i32::try_from(zeros).unwrap_or_default();
    write!(out, "{}{whole}", if r < 0.0 { "-" } else { "" })?;
    let (sign, mut left) = (if power < 0 { '/' } else { '*' }, power.unsigned_abs());
    while left > 0 {
        let part = left.min(52);
        write!(out, "{sign}{}.0", 1_u64 << part)?;
        left -= part;
    }
    Ok(())
}

fn write_hex(out: &mut (impl Write + ?Sized), bytes: &[u8]) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.write_all(b"x'")?;
    for b in bytes {
        out.write_all(&[DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])?;
    }
    out.write_all(b"'")
}

/// The values of literals between commas, as SQLite's `quote` writes them. None where a text is something else.
pub(crate) fn read_literals(text: &str) -> Option<Vec<Value>> {
    tokens(text).split(|token| *token == ",").map(read_literal).collect()
}

fn read_literal(words: &[&str]) -> Option<Value> {
    let word = words.concat();
    if word.eq_ignore_ascii_case("null") {
        return Some(Value::Null);
    }
    if let Some(text) = word.strip_prefix('\'') {
        return Some(Value::Text(text.strip_suffix('\'')?.replace("''", "'")));
    }
    if let Some(hex) = word.strip_prefix(['x', 'X']).and_then(|rest| rest.strip_prefix('\'')?.strip_suffix('\'')) {
        let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        return (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>().map(Value::Blob);
    }
    word.parse().map(Value::Integer).or_else(|_| word.parse().map(Value::Real)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_quotes_is_read_back() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        let sql = "SELECT quote(-7) || ',' || quote('it''s, a') || ',' || quote(x'00ff') || ',' || quote(NULL) || ',' || quote(-1.5e300)
            || ',' || quote(-9223372036854775808) || ',' || quote('')";
        let text: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        let expected = [
            Value::Integer(-7),
            Value::Text("it's, a".to_owned()),
            Value::Blob(vec![0, 255]),
            Value::Null,
            Value::Real(-1.5e300),
            Value::Integer(i64::MIN),
            Value::Text(String::new()),
        ];
        assert_eq!(read_literals(&text).unwrap(), expected);
        assert_eq!(read_literals("abs(1)"), None);
        assert_eq!(read_literals("1,"), None);
    }
}

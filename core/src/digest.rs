//! Digests: BLAKE3 in hex, canonical JSON, and the token-wise digest that is blind to comments and layout.

use std::fmt::Write;

use serde_json::Value;

use crate::sql;

/// BLAKE3 of `bytes` in hex.
pub fn blake3_hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// JSON with sorted keys and no blanks: one text for one value.
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::String(text) => write_text(text, out),
        scalar => {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "{scalar}");
        }
    }
}

/// A text in quotes. Most need no escape, and those are most of the work.
fn write_text(text: &str, out: &mut String) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\' && b != 0x7f) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // A text always serialises.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// Digest of a file that is blind to what does not change its meaning.
///
/// SQL (`.sql`) is compared token by token: comments, line endings and blanks between tokens do not count.
/// Any other file is compared with line endings and trailing blanks normalised.
pub fn token_digest(path: &str, bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return blake3_hex(bytes);
    };
    // Hashed in one piece: thousands of short updates cost more than the copy.
    let mut normal = Vec::with_capacity(bytes.len() * 4);
    if path.to_ascii_lowercase().ends_with(".sql") {
        for (start, end) in sql::spans(text) {
            let token = &text[start..end];
            normal.extend_from_slice(&(token.len() as u64).to_le_bytes());
            normal.extend_from_slice(token.as_bytes());
        }
    } else {
        for line in text.trim_end().lines() {
            normal.extend_from_slice(line.trim_end().as_bytes());
            normal.push(b'\n');
        }
    }
    blake3_hex(&normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_line_endings_do_not_change_a_digest() {
        let a = "CREATE TABLE t (a TEXT); -- note\n";
        let b = "/* x */ CREATE  TABLE t(a TEXT) ;\r\n\r\n";
        assert_eq!(token_digest("x.sql", a.as_bytes()), token_digest("x.sql", b.as_bytes()));
    }

    #[test]
    fn canonical_json_is_json_with_its_keys_in_order() {
        let value = serde_json::json!({"b": ["x\"y", "é\n", "\\", "\u{7f}"], "a": {"z": 1.5, "k": null}});
        assert_eq!(
            canonical_json(&value),
            "{\"a\":{\"k\":null,\"z\":1.5},\"b\":[\"x\\\"y\",\"é\\n\",\"\\\\\",\"\u{7f}\"]}"
        );
        assert_eq!(serde_json::from_str::<Value>(&canonical_json(&value)).unwrap(), value);
    }

    #[test]
    fn a_changed_literal_changes_a_digest() {
        let a = token_digest("x.sql", b"INSERT INTO t VALUES ('a  b')");
        assert_ne!(a, token_digest("x.sql", b"INSERT INTO t VALUES ('a b')"));
        assert_ne!(a, token_digest("x.sql", b"INSERT INTO t VALUES ('a  b--')"));
    }
}

//! SQL as text: its tokens, comments and blanks left out, and the names that it binds.
//!
//! One tokenizer for digests and for every step that reads SQL. Knows no dialect: what a token means is not its business.

/// Byte ranges of the tokens of `sql`: strings, quoted names, words and numbers whole; any other character alone.
pub fn spans(sql: &str) -> Vec<(usize, usize)> {
    let bytes = sql.as_bytes();
    let mut spans = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b if b.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = find(bytes, at, b"\n").unwrap_or(bytes.len());
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = find(bytes, at + 2, b"*/").map_or(bytes.len(), |end| end + 2);
                continue;
            }
            quote @ (b'\'' | b'"' | b'`') => at = quoted_end(bytes, at + 1, quote),
            b'[' => at = find(bytes, at, b"]").map_or(bytes.len(), |end| end + 1),
            b if is_word(b) => {
                while at < bytes.len() && is_word(bytes[at]) {
                    at += 1;
                }
            }
            _ => at += 1,
        }
        spans.push((start, at));
    }
    spans
}

/// The tokens of `sql`.
pub fn tokens(sql: &str) -> Vec<&str> {
    spans(sql).into_iter().map(|(start, end)| &sql[start..end]).collect()
}

/// Whether a byte belongs to a word: a name, a keyword, a number.
pub fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
}

/// The names that an SQL text binds as `:name`. A colon right behind a word ("table:name") binds nothing.
pub(crate) fn parameters(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut before = (0, 0);
    for pair in spans(text).windows(2) {
        let &[colon, name] = pair else { continue };
        let behind = |first: (usize, usize), second: (usize, usize)| first.1 == second.0;
        let bound = &text[colon.0..colon.1] == ":" && behind(colon, name) && is_word(text.as_bytes()[name.0]);
        let last = text[before.0..before.1].bytes().last();
        if bound && !(behind(before, colon) && last.is_some_and(|b| is_word(b) || b == b':')) {
            names.push(&text[name.0..name.1]);
        }
        before = colon;
    }
    names
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes.get(from..)?.windows(what.len()).position(|w| w == what).map(|p| from + p)
}

fn quoted_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() {
        if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_names_are_found_and_other_colons_are_not() {
        let sql = ":z SELECT :a, x::int, 'v :no' -- :no\nWHERE table:b = :since AND y=:é";
        assert_eq!(parameters(sql), ["z", "a", "since", "é"]);
    }

    #[test]
    fn multibyte_text_is_cut_at_character_boundaries() {
        assert_eq!(tokens("é='ü' --ö\n[ä b]"), ["é", "=", "'ü'", "[ä b]"]);
    }
}

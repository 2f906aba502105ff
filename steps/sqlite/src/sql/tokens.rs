//! The tokens of SQL text, comments and blanks left out.

/// The tokens of `sql`: strings, quoted names, words and numbers whole; any other character alone.
pub fn tokens(sql: &str) -> Vec<&str> {
    spans(sql).into_iter().map(|(start, end)| &sql[start..end]).collect()
}

/// `sql` with one blank between tokens and no comments: one text for every layout of a statement.
pub fn normalised(sql: &str) -> String {
    tokens(sql).join(" ")
}

/// Byte ranges of the tokens of `sql`.
pub(crate) fn spans(sql: &str) -> Vec<(usize, usize)> {
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

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
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

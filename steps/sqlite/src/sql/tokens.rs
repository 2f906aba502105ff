//! The tokens of SQL text, comments and blanks left out.

/// The tokens of `sql`: strings, quoted names, words and numbers whole; any other character alone.
pub fn tokens(sql: &str) -> Vec<&str> {
    spans(sql).into_iter().map(|(start, end)| &sql[start..end]).collect()
}

/// `sql` on one line: comments left out, every run of blanks as one blank.
pub fn joined(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut end = None;
    for (start, stop) in spans(sql) {
        if end.is_some_and(|end| end < start) {
            out.push(' ');
        }
        out.push_str(&sql[start..stop]);
        end = Some(stop);
    }
    out
}

/// One text for every layout of a statement: tokens with one blank between them, plain names without their quotes.
///
/// `ALTER TABLE … RENAME` writes quotes where there were none, so `"t"`, `[t]` and `t` are the same name here.
pub fn normalised(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    for token in tokens(sql) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(unquoted(token));
    }
    out
}

/// Whether two statements are the same but for layout, comments, quotes round plain names, and the case of words
/// outside quotes.
pub fn same_sql(a: &str, b: &str) -> bool {
    let (a, b) = (tokens(a), tokens(b));
    a.len() == b.len()
        && a.iter().zip(&b).all(|(x, y)| {
            let (x, y) = (unquoted(x), unquoted(y));
            x == y || (!x.starts_with(['\'', '"', '`', '[']) && x.eq_ignore_ascii_case(y))
        })
}

/// A quoted plain name without its quotes; any other token as it is.
fn unquoted(token: &str) -> &str {
    let bytes = token.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(b'"'), Some(b'"')) | (Some(b'`'), Some(b'`')) | (Some(b'['), Some(b']')) if bytes.len() > 2 => {
            let inner = &token[1..token.len() - 1];
            let plain = inner.bytes().all(is_word) && !inner.as_bytes()[0].is_ascii_digit();
            if plain { inner } else { token }
        }
        _ => token,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_comments_and_quotes_round_plain_names_do_not_count() {
        let a = normalised("CREATE TABLE \"t\"(a TEXT, -- note\n b INT)");
        assert_eq!(a, normalised("CREATE  TABLE t ( a TEXT,b INT )"));
        assert_ne!(a, normalised("CREATE TABLE t (a TEXT, b INT CHECK (b > 0))"));
        assert_ne!(normalised("SELECT 'a  b'"), normalised("SELECT 'a b'"));
        assert!(same_sql("create table T([a] text)", "CREATE TABLE t (a TEXT)"));
        assert!(!same_sql("SELECT 'Open'", "SELECT 'open'"));
    }
}

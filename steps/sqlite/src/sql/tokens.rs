//! SQL texts compared and shown, token by token: layout and comments do not count.

use cutover_core::sql::{is_word, spans, tokens};

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

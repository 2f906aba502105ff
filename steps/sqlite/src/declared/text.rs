//! SQL text by its tokens: names without quotes, clauses, lists inside parentheses.
//!
//! Owns no knowledge of SQLite's grammar beyond brackets, commas and the few clauses that no pragma tells.

/// A token as it is compared: words and quoted names in lower case and unquoted, strings and symbols as they are.
pub(super) fn normal(token: &str) -> String {
    match token.as_bytes().first() {
        Some(b'\'') => token.to_owned(),
        Some(b'"' | b'`' | b'[') => unquoted(token).to_lowercase(),
        _ => token.to_lowercase(),
    }
}

/// A name without its quotes, spelled as written.
pub(crate) fn unquoted(token: &str) -> String {
    let inner = || token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
    match token.as_bytes().first() {
        Some(b'"') => inner().replace("\"\"", "\""),
        Some(b'`') => inner().replace("``", "`"),
        Some(b'\'') => inner().replace("''", "'"),
        Some(b'[') => inner().to_owned(),
        _ => token.to_owned(),
    }
}

/// Whether a token is that unquoted keyword.
pub(super) fn is(token: Option<&&str>, keyword: &str) -> bool {
    token.is_some_and(|t| t.eq_ignore_ascii_case(keyword))
}

/// Whether SQLite takes both for the same name.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Tokens as one comparable text.
pub(super) fn joined(tokens: &[&str]) -> String {
    tokens.iter().map(|t| normal(t)).collect::<Vec<_>>().join(" ")
}

/// Tokens as a person would write them.
pub(super) fn shown(tokens: &[&str]) -> String {
    let mut text = String::new();
    for token in tokens {
        let tight = matches!(*token, ")" | "," | "(" | "." | ";") || text.ends_with(['(', '.']) || text.is_empty();
        if !tight {
            text.push(' ');
        }
        text.push_str(token);
    }
    text
}

/// The tokens inside the first parentheses, and those after them. None without a complete pair.
pub(super) fn parentheses<'t, 's>(tokens: &'t [&'s str]) -> Option<(&'t [&'s str], &'t [&'s str])> {
    let open = tokens.iter().position(|t| *t == "(")?;
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&tokens[open + 1..i], &tokens[i + 1..]));
        }
    }
    None
}

/// The parts between commas that are inside no parentheses.
pub(super) fn parts<'t, 's>(tokens: &'t [&'s str]) -> Vec<&'t [&'s str]> {
    let mut depth = 0i32;
    let mut all = Vec::new();
    let mut start = 0;
    for (i, token) in tokens.iter().enumerate() {
        match *token {
            "(" => depth += 1,
            ")" => depth -= 1,
            "," if depth == 0 => {
                all.push(&tokens[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    all.push(&tokens[start..]);
    all
}

/// The clauses of a column definition or table constraint that no pragma tells: CHECK, COLLATE, generated columns,
/// AUTOINCREMENT, ON CONFLICT, DEFERRABLE. Sorted.
pub(super) fn clauses(tokens: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at + 1..];
        if *token == "(" {
            at = tokens.len() - parentheses(&tokens[at..]).map_or(0, |(_, after)| after.len());
            continue;
        }
        match token.to_ascii_uppercase().as_str() {
            word @ ("CHECK" | "AS") => {
                if let Some((inner, _)) = parentheses(rest) {
                    found.push(format!("{word} ({})", joined(inner)));
                }
            }
            "COLLATE" => found.push(format!("COLLATE {}", joined(&rest[..rest.len().min(1)]))),
            "AUTOINCREMENT" => found.push("AUTOINCREMENT".to_owned()),
            "CONFLICT" => found.push(format!("ON CONFLICT {}", joined(&rest[..rest.len().min(1)]))),
            "DEFERRABLE" => found.push(format!("DEFERRABLE {}", joined(&rest[..rest.len().min(2)]))),
            _ => {}
        }
        at += 1;
    }
    found.sort();
    found
}

//! Path patterns as plans write them, checked once and matched against paths with `/`.
//!
//! Owns validation and the literal prefix of a pattern. Knows no file system.

use cutover_core::BuildError;
use fast_glob::glob_match;

/// Checks patterns of the field `field`.
pub(crate) fn check(field: &str, patterns: &[String]) -> Result<(), BuildError> {
    for (i, pattern) in patterns.iter().enumerate() {
        let at = format!("{field}[{i}]");
        let parts = || pattern.split('/');
        if pattern.starts_with('/') || parts().any(|p| p == ".." || p == "." || p.is_empty()) {
            return Err(BuildError::at(at, format!("`{pattern}` is no pattern of a path inside the folder"))
                .with_help("write it relative to the folder, without `.`, `..` or empty parts: \"logs/*.jsonl\""));
        }
        if pattern.starts_with('!') {
            return Err(BuildError::at(at, format!("`{pattern}` begins with `!`"))
                .with_help("name what is wanted; leave the rest out of the list"));
        }
        if let Err(e) = fast_glob::validate(pattern.as_str()) {
            return Err(BuildError::at(at, format!("`{pattern}` is no pattern: {e}"))
                .with_help("`*` matches within a name, `**` across folders, `{a,b}` and `[a-z]` as in a shell"));
        }
    }
    Ok(())
}

/// Whether any of the patterns matches the path, or one of the folders above it.
pub(crate) fn any_matches(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| {
        glob_match(pattern, path) || path.match_indices('/').any(|(at, _)| glob_match(pattern, &path[..at]))
    })
}

/// The leading parts of a pattern that have no wildcard: "logs" of "logs/*.jsonl", all of "config.json".
pub(crate) fn literal_prefix(pattern: &str) -> String {
    let literal = |part: &&str| !part.contains(['*', '?', '[', '{', '\\']);
    pattern.split('/').take_while(literal).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_folder_and_a_matched_folder_means_all_in_it() {
        let patterns = |p: &str| vec![p.to_owned()];
        assert!(any_matches(&patterns("*.jsonl"), "a.jsonl"));
        assert!(!any_matches(&patterns("*.jsonl"), "logs/a.jsonl"));
        assert!(any_matches(&patterns("**/*.jsonl"), "logs/old/a.jsonl"));
        assert!(any_matches(&patterns("logs"), "logs/old/a"));
        assert!(!any_matches(&patterns("logs"), "logs2/a"));
        assert_eq!(literal_prefix("logs/*.jsonl"), "logs");
        assert_eq!(literal_prefix("*.jsonl"), "");
        assert_eq!(literal_prefix("a/*/b"), "a");
        assert_eq!(literal_prefix("a/config.json"), "a/config.json");
    }

    #[test]
    fn every_wildcard_ends_the_literal_prefix() {
        for wild in ["*", "?", "[ab]", "{a,b}", "\\a"] {
            let pattern = format!("logs/x{wild}/y");
            assert_eq!(literal_prefix(&pattern), "logs", "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_leaves_the_folder_or_cannot_match_is_refused() {
        for bad in ["/etc/*", "../x", "a/../b", "a//b", "!x", "{a,b", "[a"] {
            assert!(check("include", &[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(check("include", &["a/**/*.{json,toml}".to_owned()]).is_ok());
    }
}

//! The closest known name, for "did you mean".

/// The known name closest to `wrong`, if one is close enough to be a likely typo.
///
/// ```
/// assert_eq!(cutover_core::closest("sqlite.scirpt", ["sqlite.script", "sqlite.check"]), Some("sqlite.script"));
/// assert_eq!(cutover_core::closest("zzz", ["sqlite.script"]), None);
/// ```
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, name)| name)
}

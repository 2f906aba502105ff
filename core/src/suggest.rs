//! The closest known name, for "did you mean".

/// Bytes of the longest name that is compared.
const LONGEST: usize = 200;

/// The known name closest to `wrong`, if one is close enough to be a likely typo.
///
/// ```
/// assert_eq!(cutover_core::closest("sqlite.scirpt", ["sqlite.script", "sqlite.check"]), Some("sqlite.script"));
/// assert_eq!(cutover_core::closest("zzz", ["sqlite.script"]), None);
/// ```
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a name of that length, and comparing costs the product of both.
    let short = |name: &str| name.len() <= LONGEST;
    let known = known.into_iter().filter(|name| short(name) && short(wrong));
    known
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, name)| name)
}

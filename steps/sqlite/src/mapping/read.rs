//! A mapping file on its way to its types: every mistake with its place.

use cutover_core::BuildError;
use cutover_core::plan::{Diagnostic, Diagnostics, Table, Text, read_beside};

use super::read_pair::pair;
use super::{Mapping, names};

/// Reads the file that `field` names.
pub(crate) fn mapping(field: &str, path: &str, text: &str) -> Result<Mapping, BuildError> {
    read_beside(field, (path, "a mapping"), text, |table, d| whole(path, table, d))
}

fn whole(path: &str, table: &mut Table<'_>, d: &mut Diagnostics) -> Option<Mapping> {
    let stem = path.rsplit(['/', '\\']).next().unwrap_or(path).split('.').next().unwrap_or("mapping");
    let name = table.text("name", d).map_or(Some(stem.to_owned()), |name| named(&name, "a mapping's name", d));
    let before = d.len();
    let tables = table.tables("table", ("a table of a mapping", "[[table]]"), d);
    if tables.is_empty() && d.len() == before {
        let mistake = Diagnostic::in_file(0..0, "the mapping has no table");
        d.push(mistake.help("add a `[[table]]` with `name`, `old`, `new` and `key`"));
    }
    let (mut pairs, mut headers) = (Vec::new(), Vec::new());
    for table in tables {
        let header = table.header.clone();
        let Some(found) = pair(table, d) else { continue };
        let same = pairs.iter().find_map(|other: &super::Pair| {
            let shared = [("name", &other.name, &found.name), ("old table", &other.old, &found.old)];
            shared.into_iter().find(|(_, a, b)| a.eq_ignore_ascii_case(b)).map(|(what, a, _)| (what, a.clone()))
        });
        if let Some((what, value)) = same {
            let mistake =
                Diagnostic::in_file(header.clone(), format!("two tables of the mapping have the {what} `{value}`"));
            d.push(mistake.help("map each old table once"));
        }
        headers.push(header);
        pairs.push(found);
    }
    // A pair with a mistake is not whole.
    if d.len() == before {
        pairs.iter().zip(headers).for_each(|(pair, header)| shared(pair, &pairs, header, d));
    }
    Some(Mapping { name: name?, pairs })
}

/// A pair whose new rows are parents of another pair's: what an old program deletes must leave them their children.
fn shared(pair: &super::Pair, pairs: &[super::Pair], header: std::ops::Range<usize>, d: &mut Diagnostics) {
    let parent = |other: &&super::Pair| other.parent.as_ref().is_some_and(|p| p.new.eq_ignore_ascii_case(&pair.new));
    let Some(other) = pairs.iter().find(parent).filter(|_| pair.gone.is_empty()) else { return };
    let message = format!(
        "`{}` is also the parent of `{}`, and an old row of `{}` that is deleted would take it away",
        pair.new, other.name, pair.name
    );
    let help = "say in `when_new` which of its rows are shown by this table, and below `[table.gone]` what is left of a \
        row that others need: `COLUMN = \"NULL\"`";
    d.push(Diagnostic::in_file(header, message).help(help));
}

/// A name of ours: it becomes part of the names of helper tables and triggers.
pub(crate) fn named(name: &Text, what: &str, d: &mut Diagnostics) -> Option<String> {
    let text = name.get_ref();
    let good = !text.is_empty()
        && text.len() <= 60
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if good {
        return Some(text.clone());
    }
    let mistake = Diagnostic::in_file(name.span(), format!("{what} cannot be `{text}`"));
    d.push(mistake.help("use lower-case letters, digits, `_` and `-`, at most 60 of them"));
    None
}

/// The name of a table or column of the user's.
pub(crate) fn theirs(name: Option<Text>, d: &mut Diagnostics) -> Option<String> {
    let name = name?;
    if name.get_ref().is_empty() {
        d.push(Diagnostic::in_file(name.span(), "a table or column has a name"));
        return None;
    }
    if names::is_helper(name.get_ref()) {
        let message = format!("`{}` begins like the names of Cutover's own tables", name.get_ref());
        d.push(Diagnostic::in_file(name.span(), message).help("name a table or column of the application"));
        return None;
    }
    Some(name.into_inner())
}

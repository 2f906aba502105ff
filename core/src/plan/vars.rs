//! The plan's variables: what `[vars]` declares, with the operator's `--var` in its place.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::table::Text;
use super::value;

/// The declared variables with their overrides.
pub(crate) fn resolve<'i>(
    declared: Vec<(Text, Spanned<DeValue<'i>>)>,
    overrides: &'i BTreeMap<String, String>,
    d: &mut Diagnostics,
) -> BTreeMap<String, DeValue<'i>> {
    let mut vars = BTreeMap::new();
    for (name, mut value) in declared {
        check_name(name.get_ref(), name.span(), d);
        // One that cannot be stored is declared all the same: its uses are not unknown.
        let storable = value::storable(&mut value, d);
        vars.insert(name.into_inner(), if storable { value.into_inner() } else { DeValue::Boolean(false) });
    }
    for (name, text) in overrides {
        if vars.contains_key(name) {
            vars.insert(name.clone(), override_of(text, d));
        } else {
            let message = format!("`--var {name}=...` names a variable that the plan does not declare");
            let diagnostic = Diagnostic::nowhere(codes::UNKNOWN_VAR, message);
            d.push(diagnostic.suggest(name, "variables", vars.keys().map(String::as_str)));
        }
    }
    vars
}

/// SQL binds a variable as `:name`, so it must be a name there.
fn check_name(name: &str, span: Range<usize>, d: &mut Diagnostics) {
    let word = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(word) || !name.chars().all(|c| word(c) || c.is_ascii_digit()) {
        let message = format!("a variable's name cannot be `{name}`");
        let help = "use letters, digits and `_`, beginning with a letter: SQL binds it as `:name`";
        d.push(Diagnostic::at(codes::BAD_NAME, span, message).help(help));
    }
}

/// A TOML value; a text that is none is taken as a string.
fn override_of<'i>(text: &'i str, d: &mut Diagnostics) -> DeValue<'i> {
    let Ok(mut value) = DeValue::parse(text) else { return DeValue::String(text.into()) };
    if value::storable(&mut value, &mut Diagnostics::default()) {
        return value.into_inner();
    }
    d.push(Diagnostic::nowhere(codes::NO_JSON, format!("`--var` cannot take `{text}`: it cannot be stored")));
    DeValue::Boolean(false)
}

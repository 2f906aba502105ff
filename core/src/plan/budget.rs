//! `[budget]`: how long it may take, once something went wrong, until it is assessed, decided upon and rolled back.
//!
//! Owns the table from its keys to the model. Like risks it is for people: no digest has it. All three are counted from the
//! failure, or from the trigger that fired, so that a later one cannot be shorter.

use toml::Spanned;
use toml::de::DeValue;

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::table::Table;
use crate::duration;
use crate::journal::Times;

const HELP: &str = "write a whole number and a unit: \"90s\", \"15m\" or \"4h\"";

/// Reads the plan's `[budget]`, if it has one.
pub(crate) fn read(plan: &mut Table<'_>, d: &mut Diagnostics) -> Option<Times> {
    let value: Spanned<DeValue<'_>> = plan.take("budget")?;
    let mut table = Table::new(value, "a budget", d)?;
    let (header, before) = (table.header.clone(), d.len());
    let mut longest: Option<(&str, f64)> = None;
    let mut one = |key: &'static str, d: &mut Diagnostics| {
        let text = table.text(key, d)?;
        let Some(time) = duration::parse(text.get_ref()) else {
            let message = format!("`{key}` is no time: `{}`", text.get_ref());
            d.push(Diagnostic::at(codes::BAD_VALUE, text.span(), message).help(HELP));
            return None;
        };
        let seconds = time.as_secs_f64();
        if let Some((earlier, most)) = longest.filter(|(_, most)| seconds < *most) {
            let message = format!("`{key}` ends before `{earlier}` does, after {most} s");
            let help = "each is counted from the failure: make it as long, or longer";
            d.push(Diagnostic::at(codes::BAD_VALUE, text.span(), message).help(help));
        }
        longest = Some((key, seconds));
        Some(seconds)
    };
    let times = Times { assess: one("assess", d), decide: one("decide", d), execute: one("execute", d) };
    table.finish(d);
    if times == Times::default() && d.len() == before {
        let help = "add `decide = \"30m\"`, `assess` or `execute`, or take the table away";
        d.push(Diagnostic::at(codes::MISSING_KEY, header, "a budget of nothing").help(help));
    }
    Some(times)
}

//! Pass 3, warnings: what a kind says of its step by the text alone, less what the plan allows. An `allow` that says
//! nothing is a mistake, for it would hide the warning that comes later.

use super::Warning;
use super::build::Built;
use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::draft::StepDraft;
use crate::{Later, Seen, StepDescriptor};

/// The warnings of one built step, before `later` ones.
pub(crate) fn of(
    draft: &StepDraft<'_>,
    kind: &StepDescriptor,
    built: &Built,
    later: &[Later],
    d: &mut Diagnostics,
) -> Vec<Warning> {
    let found = built.step.lint(later);
    for allowed in &draft.allow {
        let code = allowed.get_ref().as_str();
        match kind.lints.iter().find(|lint| lint.code == code) {
            None => {
                let message = format!("`{}` gives no warning `{code}`", kind.kind);
                let mut diagnostic = Diagnostic::at(codes::UNKNOWN_WARNING, allowed.span(), message);
                if kind.lints.is_empty() {
                    diagnostic = diagnostic.help("it gives none at all");
                }
                d.push(diagnostic.suggest(code, "warnings of it", kind.lints.iter().map(|lint| lint.code)));
            }
            Some(lint) if lint.seen == Seen::InText && !found.iter().any(|f| f.code == code) => {
                let message = format!("`{code}` is not the case here: {}", lint.meaning);
                let help = "take it out of `allow`: it would hide the warning when it is the case";
                d.push(Diagnostic::at(codes::IDLE_ALLOW, allowed.span(), message).help(help));
            }
            Some(_) => {}
        }
    }
    let Some(id) = &draft.id else { return Vec::new() };
    let place = draft.kind.as_ref().map_or_else(|| draft.header.clone(), toml::Spanned::span);
    let allowed = |code: &str| draft.allow.iter().any(|allowed| allowed.get_ref() == code);
    let found = found.into_iter().filter(|finding| !allowed(finding.code));
    found.map(|finding| Warning { step: id.get_ref().clone(), in_plan: place.clone(), finding }).collect()
}

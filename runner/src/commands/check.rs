//! `check`: compiles a plan and reports every mistake, and what is doubtful about what is no mistake.

use cutover_core::Registry;
use cutover_core::plan::Plan;
use serde_json::json;

use crate::cli::{Format, Out};
use crate::diagnostic::{github, github_warnings, sarif, sarif_warnings};
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::session::{Place, Purpose, load_plan};
use crate::style::count;
use crate::warned::Warned;

pub(crate) fn run(place: &Place, deny_warnings: bool, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json, Format::Sarif, Format::Github])?;
    let registry = crate::registry()?;
    let error = match load_plan(place, &registry, Purpose::Run) {
        Ok((plan, file, text)) => {
            let warned = Warned::of(&plan, &file, &text, plan.warnings.iter().cloned());
            say(&plan, &warned, &registry, out);
            return if deny_warnings { deny(&warned) } else { Ok(Exit::Done) };
        }
        Err(error) => error,
    };
    let Some(errors) = &error.diagnostics else { return Err(error) };
    match out.format {
        Format::Json => {
            let diagnostics: Vec<_> = errors
                .diagnostics
                .iter()
                .map(|d| {
                    let (line, column) = errors.position(d, d.span.as_ref().map_or(0, |s| s.start));
                    let mut one =
                        json!({ "code": d.code, "message": d.message, "line": line, "column": column, "help": d.help });
                    if let Some(beside) = &d.beside {
                        one["file"] = json!(beside.file);
                    }
                    one
                })
                .collect();
            out.json(&json!({ "ok": false, "file": errors.file, "diagnostics": diagnostics }));
        }
        Format::Sarif => out.json(&sarif(errors)),
        Format::Github => out.print(&github(errors)),
        _ => return Err(error),
    }
    Ok(Exit::InvalidPlan)
}

fn say(plan: &Plan, warned: &Warned, registry: &Registry, out: &Out) {
    let steps = plan.steps().count();
    match out.format {
        Format::Json => out.json(&json!({
            "ok": true, "plan": plan.name, "steps": steps, "diagnostics": [], "warnings": warned.as_json(),
        })),
        Format::Sarif => out.json(&sarif_warnings(&warned.0, registry)),
        Format::Github => out.print(&github_warnings(&warned.0)),
        _ => {
            let (phases, targets) = (count(plan.phases.len(), "phase"), count(plan.targets.len(), "target"));
            let warnings = match warned.len() {
                0 => String::new(),
                n => format!(", {}", out.style.warn(&count(n, "warning"))),
            };
            let steps = count(steps, "step");
            let shown = warned.render(out.style.color);
            out.print(&format!("{shown}{}: ok, {phases}, {steps}, {targets}{warnings}\n", plan.name));
        }
    }
}

/// With `--deny-warnings` one is enough.
pub(crate) fn deny(warned: &Warned) -> Result<Exit> {
    if warned.is_empty() {
        return Ok(Exit::Done);
    }
    let message = format!("{}, and `--deny-warnings` is given", count(warned.len(), "warning"));
    Err(RunnerError::new(Exit::InvalidPlan, message).with_help(
        "mend what is doubtful, or accept it in the step: `allow = [\"CODE\"]`, with a comment that says why",
    ))
}

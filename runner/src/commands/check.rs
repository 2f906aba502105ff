//! `check`: compiles a plan and reports every mistake.

use serde_json::json;

use crate::cli::{Format, Out};
use crate::diagnostic::{github, sarif};
use crate::error::Result;
use crate::exit::Exit;
use crate::session::{Place, Purpose, load_plan};
use crate::style::count;

pub(crate) fn run(place: &Place, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json, Format::Sarif, Format::Github])?;
    let registry = crate::registry()?;
    let error = match load_plan(place, &registry, Purpose::Run) {
        Ok((plan, file)) => {
            let steps = plan.steps().count();
            match out.format {
                Format::Json => out.json(&json!({ "ok": true, "plan": plan.name, "steps": steps, "diagnostics": [] })),
                Format::Sarif => out.json(&sarif(&cutover_core::plan::CompileErrors {
                    file: file.display().to_string(),
                    source: String::new(),
                    diagnostics: Vec::new(),
                })),
                Format::Github => {}
                _ => out.print(&format!(
                    "{}: ok, {}, {}, {}\n",
                    plan.name,
                    count(plan.phases.len(), "phase"),
                    count(steps, "step"),
                    count(plan.targets.len(), "target")
                )),
            }
            return Ok(Exit::Done);
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

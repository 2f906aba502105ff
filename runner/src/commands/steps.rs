//! `steps`: what is linked in, one kind in full, the JSON Schema of plan files, the reference in Markdown.

use cutover_core::{Field, Layer, Registry, StepDescriptor, TargetDescriptor};
use serde_json::json;

use super::table::columns;
use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::exit::Exit;

pub(crate) fn run(kind: Option<&str>, schema: bool, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json, Format::Markdown])?;
    let registry = crate::registry()?;
    if schema {
        out.json(&cutover_core::plan::schema(&registry));
        return Ok(Exit::Done);
    }
    match (kind, out.format) {
        (None, Format::Markdown) => out.print(&cutover_core::steps_markdown(&registry)),
        (None, Format::Json) => out.json(&json!({
            "steps": registry.steps().map(describe).collect::<Vec<_>>(),
            "targets": registry.targets().map(describe_target).collect::<Vec<_>>(),
        })),
        (None, _) => out.print(&listing(&registry)),
        (Some(kind), format) => {
            if let Some(target) = registry.target(kind) {
                match format {
                    Format::Json => out.json(&describe_target(target)),
                    Format::Markdown => out.print(&cutover_core::target_markdown(target)),
                    _ => out.print(&one_target(target)),
                }
                return Ok(Exit::Done);
            }
            let found = registry.step(kind).ok_or_else(|| unknown(kind, &registry))?;
            match format {
                Format::Json => out.json(&describe(found)),
                Format::Markdown => out.print(&cutover_core::step_markdown(found)),
                _ => out.print(&one(found)),
            }
        }
    }
    Ok(Exit::Done)
}

fn unknown(kind: &str, registry: &Registry) -> RunnerError {
    let error = RunnerError::usage(format!("no kind `{kind}` is linked in"));
    match cutover_core::closest(kind, registry.steps().map(|s| s.kind).chain(registry.targets().map(|t| t.kind))) {
        Some(near) => error.with_help(format!("did you mean `{near}`?")),
        None => error.with_help("`cutover steps` lists all"),
    }
}

fn layers(layers: &[Layer]) -> String {
    if layers.len() == Layer::ALL.len() {
        return "any layer".to_owned();
    }
    layers.iter().map(|l| l.name()).collect::<Vec<_>>().join(", ")
}

fn describe(step: &StepDescriptor) -> serde_json::Value {
    let mut generator = schemars::SchemaGenerator::default();
    let schema = (step.schema)(&mut generator);
    json!({
        "kind": step.kind, "aliases": step.aliases, "summary": step.summary, "layers": step.layers,
        "crate": step.krate, "version": step.version, "example": step.example, "schema": schema,
        "definitions": generator.definitions(),
    })
}

fn describe_target(target: &TargetDescriptor) -> serde_json::Value {
    let mut generator = schemars::SchemaGenerator::default();
    let schema = (target.schema)(&mut generator);
    json!({
        "kind": target.kind, "summary": target.summary, "facts": target.facts, "crate": target.krate,
        "version": target.version, "example": target.example, "schema": schema,
        "definitions": generator.definitions(),
    })
}

fn listing(registry: &Registry) -> String {
    let mut text = "steps\n".to_owned();
    text.push_str(&columns(
        &[],
        registry.steps().map(|s| vec![s.kind.to_owned(), s.summary.to_owned(), format!("({})", s.krate)]).collect(),
    ));
    text.push_str("\ntargets\n");
    text.push_str(&columns(
        &[],
        registry.targets().map(|t| vec![t.kind.to_owned(), t.summary.to_owned(), format!("({})", t.krate)]).collect(),
    ));
    text.push_str("\n`cutover steps KIND` shows one with its fields and an example.\n");
    text
}

fn one(step: &StepDescriptor) -> String {
    let mut text = format!(
        "{}: {}\n\nserves: {}\nfrom:   {} {}\n",
        step.kind,
        step.summary,
        layers(step.layers),
        step.krate,
        step.version
    );
    if !step.aliases.is_empty() {
        text.push_str(&format!("also:   {}\n", step.aliases.join(", ")));
    }
    with_and_example(&mut text, cutover_core::step_fields(step), "[[phase.step]]", step.example);
    text
}

fn one_target(target: &TargetDescriptor) -> String {
    let mut text = format!(
        "{}: {}\n\nfacts:  {}\nfrom:   {} {}\n",
        target.kind,
        target.summary,
        target.facts.join(", "),
        target.krate,
        target.version
    );
    with_and_example(&mut text, cutover_core::target_fields(target), "[targets.NAME]", target.example);
    text
}

fn with_and_example(text: &mut String, fields: Vec<Field>, heading: &str, example: &str) {
    if !fields.is_empty() {
        text.push_str("\nwith\n");
        let rows = fields
            .into_iter()
            .map(|f| {
                let needed = if f.required { "required" } else { "" };
                vec![f.name, f.kind, needed.to_owned(), f.doc]
            })
            .collect();
        text.push_str(&columns(&[], rows));
    }
    text.push_str(&format!("\nexample\n  {heading}\n"));
    for line in example.trim().lines() {
        text.push_str(&format!("  {line}\n"));
    }
}

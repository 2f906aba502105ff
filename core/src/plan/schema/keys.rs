//! The keys of the plan format itself, with the words that an editor shows for them. Knows no kind: names of kinds and
//! what their `with` holds are handed in.

use serde_json::{Value, json};

use crate::plan::{Likelihood, OnFailure};
use crate::{Layer, Occasion};

pub(super) fn plan() -> Value {
    let failures: Vec<&str> = OnFailure::ALL.iter().map(|(name, _)| *name).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cutover plan",
        "description": "A migration of a whole system as verified, reversible steps.",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "phase"],
        "properties": {
            "name": described("The plan's persistent name: with a step's id it is the identity in journals and ledgers."),
            "summary": { "type": "string", "description": "One sentence for listings." },
            "on-failure": {
                "enum": failures,
                "default": "rollback-phase",
                "description": "What happens when a step fails.",
            },
            "vars": {
                "type": "object",
                "description": "Variables: `${vars.NAME}` in `with`, `:NAME` in SQL; `--var NAME=VALUE` overrides one.",
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            },
            "targets": {
                "type": "object",
                "description": "The things that hold state, by name.",
                "propertyNames": { "$ref": "#/$defs/name" },
                "additionalProperties": { "$ref": "#/$defs/target" },
            },
            "risk": {
                "type": "array",
                "description": "What may go wrong, what is done about it, and which step watches it.",
                "items": { "$ref": "#/$defs/risk" },
            },
            "budget": { "$ref": "#/$defs/budget" },
            "notify": {
                "type": "array",
                "description": "Who is told of what. It never fails a run.",
                "items": { "$ref": "#/$defs/notify" },
            },
            "phase": {
                "type": "array",
                "minItems": 1,
                "description": "Phases in order; the end of each is a rollback point.",
                "items": { "$ref": "#/$defs/phase" },
            },
        },
    })
}

pub(super) fn risk() -> Value {
    let likelihoods: Vec<&str> = Likelihood::ALL.iter().map(|(name, _)| *name).collect();
    let said = |text: &str| json!({ "type": "string", "minLength": 1, "description": text });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["risk", "likelihood", "impact", "mitigation"],
        "properties": {
            "risk": said("What may go wrong."),
            "likelihood": { "enum": likelihoods, "description": "How likely that is." },
            "impact": said("What would follow."),
            "mitigation": said("What is done about it."),
            "watched-by": {
                "description": "Ids of the steps that would notice.",
                "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
            },
        },
    })
}

pub(super) fn budget() -> Value {
    let time = |text: &str| json!({ "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d)$", "description": text });
    json!({
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "description": "How long it may take, from a failure or a trigger on: measured, and told as kept or exceeded.",
        "properties": {
            "assess": time("Until somebody has looked: \"15m\"."),
            "decide": time("Until the way back is decided upon: \"30m\"."),
            "execute": time("Until it is rolled back: \"1h\"."),
        },
    })
}

pub(super) fn notify(kinds: &[Value], branches: Vec<Value>) -> Value {
    let occasions: Vec<&str> = Occasion::ALL.iter().map(|(name, _)| *name).collect();
    let occasion = json!({ "enum": occasions });
    let kind = if kinds.is_empty() { json!({ "type": "string" }) } else { json!({ "oneOf": kinds }) };
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["use", "on"],
        "properties": {
            "use": kind,
            "on": {
                "description": "Of what it is told.",
                "anyOf": [occasion, { "type": "array", "minItems": 1, "items": occasion }],
            },
            "with": { "type": "object", "description": "The notifier's own configuration." },
        },
    });
    schema["properties"]["use"]["description"] = "How it is told.".into();
    with_branches(schema, branches)
}

pub(super) fn name() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]*$", "maxLength": 100 })
}

fn described(text: &str) -> Value {
    json!({ "$ref": "#/$defs/name", "description": text })
}

pub(super) fn phase() -> Value {
    let layers: Vec<&str> = Layer::ALL.iter().map(|layer| layer.name()).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "layer", "step"],
        "properties": {
            "name": described("The phase's name, unique in the plan."),
            "layer": { "enum": layers, "description": "The layer that it works on." },
            "summary": { "type": "string", "description": "One sentence for listings." },
            "step": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" } },
        },
    })
}

pub(super) fn target(kinds: &[Value], branches: Vec<Value>) -> Value {
    with_branches(
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["kind", "path"],
            "properties": {
                "kind": { "oneOf": kinds, "description": "What sort of store it is." },
                "path": { "type": "string", "description": "Its path, relative to the root." },
                "ledger": {
                    "type": "string",
                    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                    "default": "cutover_ledger",
                    "description": "The name of its ledger table, where the kind keeps one.",
                },
                "with": { "type": "object", "description": "The kind's own configuration." },
            },
        }),
        branches,
    )
}

pub(super) fn when() -> Value {
    let facts = |text: &str| {
        json!({
            "description": text,
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        })
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["target"],
        "minProperties": 2,
        "properties": {
            "target": { "type": "string", "description": "The target that is looked at." },
            "has": facts("All of these facts hold: \"table:NAME\"."),
            "lacks": facts("None of these facts holds."),
        },
    })
}

pub(super) fn step(kinds: &[Value], branches: Vec<Value>) -> Value {
    let ids = |text: &str| json!({ "type": "array", "items": { "type": "string" }, "description": text });
    with_branches(
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["id", "use"],
            "properties": {
                "id": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
                    "maxLength": 100,
                    "description": "The step's id, unique in the plan and persistent.",
                },
                "use": { "oneOf": kinds, "description": "The step kind." },
                "target": { "type": "string", "description": "The target that it works on." },
                "summary": { "type": "string", "description": "One sentence for listings." },
                "when": { "$ref": "#/$defs/when", "description": "The step applies only when this is so." },
                "needs": ids("Ids of steps of this phase or an earlier one that must be done before."),
                "unit": described("Steps of one unit unwind only as a whole."),
                "atomic": {
                    "type": "boolean",
                    "default": true,
                    "description": "False: not inside a transaction shared with other steps.",
                },
                "irreversible": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Why it is accepted that this step cannot be undone.",
                },
                "supersedes": ids("Ids of earlier steps that this one undoes by design."),
                "allow": {
                    "type": "array",
                    "items": { "type": "string", "pattern": "^W[0-9]+$" },
                    "description": "Codes of warnings that are accepted here; say why in a comment.",
                },
                "with": { "type": "object", "description": "The kind's own configuration." },
            },
        }),
        branches,
    )
}

fn with_branches(mut schema: Value, branches: Vec<Value>) -> Value {
    if !branches.is_empty() {
        schema["allOf"] = Value::Array(branches);
    }
    schema
}

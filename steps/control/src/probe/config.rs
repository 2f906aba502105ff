//! The table of a probe in a plan: which kind, its unit and its time limit, and the keys of its kind.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_core::{BuildContext, BuildError, StepContext, StepError, closest, duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Probe, ProbeDescriptor};

/// How long a probe has to answer where the plan does not say.
const TIMEOUT: &str = "10s";

/// A probe as a plan writes it: `{ use = "measure", target = "app", query = "SELECT …", unit = "rows", timeout = "5s" }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct ProbeConfig(BTreeMap<String, Value>);

/// A probe with what the plan says of it.
#[derive(Debug, Clone)]
pub struct Asked {
    probe: Arc<dyn Probe>,
    unit: String,
    limit: Duration,
}

impl ProbeConfig {
    /// The probe, made by its kind. `field` is where the table stands, for errors.
    pub fn build(&self, field: &str, cx: &BuildContext<'_>) -> Result<Asked, BuildError> {
        let mut keys = self.0.clone();
        let known = ProbeDescriptor::all();
        let kind = match keys.remove("use") {
            Some(Value::String(kind)) => kind,
            _ => {
                let names: Vec<&str> = known.iter().map(|d| d.kind).collect();
                return Err(BuildError::at(field, "a probe needs `use = \"KIND\"`")
                    .with_help(format!("kinds of probes: {}", names.join(", "))));
            }
        };
        let Some(descriptor) = known.iter().find(|d| d.kind == kind) else {
            let error = BuildError::at(format!("{field}.use"), format!("no kind of probe `{kind}`"));
            return Err(match closest(&kind, known.iter().map(|d| d.kind)) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error.with_help("`cutover steps gate.metric` lists them"),
            });
        };
        let mut text = |key: &str, default: &str| match keys.remove(key) {
            None => Ok(default.to_owned()),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(BuildError::at(format!("{field}.{key}"), format!("`{other}` is no text"))),
        };
        let (unit, timeout) = (text("unit", "")?, text("timeout", TIMEOUT)?);
        let limit = duration::parse(&timeout).ok_or_else(|| {
            BuildError::at(format!("{field}.timeout"), format!("`{timeout}` is no duration"))
                .with_help("write a whole number and a unit: \"500ms\", \"60s\", \"5m\" or \"2h\"")
        })?;
        let probe = (descriptor.build)(Value::Object(keys.into_iter().collect()), cx).map_err(|e| {
            let at = if e.field.is_empty() { field.to_owned() } else { format!("{field}.{}", e.field) };
            BuildError { field: at, ..e }
        })?;
        Ok(Asked { probe, unit, limit })
    }
}

impl Asked {
    /// What is asked, for people.
    pub fn shown(&self) -> String {
        self.probe.shown()
    }

    /// Its unit; empty for a bare number.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// The targets that it reads.
    pub fn targets(&self) -> Vec<String> {
        self.probe.targets()
    }

    /// The figure as it is now. What comes too late, or is no number, counts as no answer.
    pub async fn read(&self, cx: &StepContext) -> Result<f64, StepError> {
        let begun = Instant::now();
        let unread = || StepError::failed(format!("{} gave no figure", cx.mask(&self.shown())));
        let figure = self.probe.read(cx, self.limit).await.map_err(|e| unread().caused_by(e))?;
        let taken = begun.elapsed();
        tracing::debug!(probe = self.shown(), figure, seconds = taken.as_secs_f64(), "probe read");
        if taken > self.limit {
            let (taken, limit) = (taken.as_secs_f64(), self.limit.as_secs_f64());
            let late = StepError::failed(format!("it took {taken:.1} s, and may take {limit} s"));
            return Err(unread().caused_by(late.with_help("give it more time: `timeout`")));
        }
        if figure.is_finite() { Ok(figure) } else { Err(unread().caused_by(StepError::failed("no finite number"))) }
    }
}

impl JsonSchema for ProbeConfig {
    fn schema_name() -> Cow<'static, str> {
        "Probe".into()
    }

    /// One object for each kind that is linked in.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<Value> = ProbeDescriptor::all().iter().map(|d| of_kind(d, generator)).collect();
        json_schema!({ "description": "Where the figure comes from.", "oneOf": kinds })
    }
}

fn of_kind(descriptor: &ProbeDescriptor, generator: &mut SchemaGenerator) -> Value {
    let mut schema = (descriptor.schema)(generator).to_value();
    let unit = "Of the figure, for people: \"ms\", \"%\".";
    let timeout = "How long it has to answer.";
    let mut properties = serde_json::Map::new();
    properties.insert("use".to_owned(), json!({ "const": descriptor.kind, "description": descriptor.summary }));
    if let Some(own) = schema.get("properties").and_then(Value::as_object) {
        properties.extend(own.clone());
    }
    properties.insert("unit".to_owned(), json!({ "type": "string", "description": unit }));
    properties.insert("timeout".to_owned(), json!({ "type": "string", "description": timeout, "default": TIMEOUT }));
    let mut required = vec![json!("use")];
    required.extend(schema.get("required").and_then(Value::as_array).into_iter().flatten().cloned());
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
        object.remove("description");
        object.insert("properties".to_owned(), Value::Object(properties));
        object.insert("required".to_owned(), Value::Array(required));
    }
    schema
}

//! The document of OTLP over HTTP: `ExportTraceServiceRequest` as JSON, ids in hex, times and counts as text.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::span::{Span, Status, Value};
use crate::lock::host_name;

/// The document that holds `spans`.
pub(super) fn write(spans: &[Span]) -> Json {
    let version = env!("CARGO_PKG_VERSION");
    let about = [
        ("service.name", Value::from("cutover")),
        ("service.version", Value::from(version)),
        ("host.name", Value::from(host_name().as_str())),
        ("process.pid", Value::from(u64::from(std::process::id()))),
    ];
    json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes(&about) },
            "scopeSpans": [{
                "scope": { "name": "cutover", "version": version },
                "spans": spans.iter().map(span).collect::<Vec<_>>(),
            }],
        }],
    })
}

fn span(span: &Span) -> Json {
    let happened = |event: &super::span::Happened| json!({ "timeUnixNano": nanos(event.at), "name": event.name, "attributes": attributes(&event.attributes) });
    let mut json = json!({
        "traceId": hex(&span.trace),
        "spanId": hex(&span.id),
        "name": span.name,
        // Internal: it neither serves nor asks anybody.
        "kind": 1,
        "startTimeUnixNano": nanos(span.began),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(happened).collect::<Vec<_>>(),
        "droppedEventsCount": span.dropped,
        "status": match &span.status {
            Status::Unset => json!({}),
            Status::Ok => json!({ "code": 1 }),
            Status::Error(why) => json!({ "code": 2, "message": why }),
        },
    });
    if let (Some(parent), Some(object)) = (span.parent, json.as_object_mut()) {
        object.insert("parentSpanId".to_owned(), hex(&parent).into());
    }
    json
}

fn attributes(attributes: &[(&'static str, Value)]) -> Json {
    let value = |value: &Value| match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Number(number) => json!({ "doubleValue": number }),
        Value::Count(count) => json!({ "intValue": count.to_string() }),
        Value::Flag(flag) => json!({ "boolValue": flag }),
    };
    attributes.iter().map(|(name, said)| json!({ "key": name, "value": value(said) })).collect()
}

fn nanos(at: Timestamp) -> String {
    at.as_nanosecond().to_string()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

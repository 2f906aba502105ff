"""Reads documents of OTLP over HTTP (JSON, one a line) as OpenTelemetry's messages, and prints each span as a line of JSON.

What the messages do not know is refused. Ids are hex there, and base64 in the JSON of protobuf at large."""

import base64
import json
import sys

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def plain(attributes):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


for line in sys.stdin:
    document = json.loads(line)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name, length in (("traceId", 16), ("spanId", 8), ("parentSpanId", 8)):
                    if name in span:
                        id = bytes.fromhex(span[name])
                        assert len(id) == length and any(id), span[name]
                        span[name] = base64.b64encode(id).decode()
    request = ParseDict(document, ExportTraceServiceRequest())
    for resource in request.resource_spans:
        about = plain(resource.resource.attributes)
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            assert span.start_time_unix_nano <= span.end_time_unix_nano, span.name
            print(json.dumps({
                "service": about["service.name"],
                "trace": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "name": span.name,
                "status": span.status.code,
                "message": span.status.message,
                "attributes": plain(span.attributes),
                "events": [[e.name, plain(e.attributes)] for e in span.events],
            }))

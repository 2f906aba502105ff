"""Reads metrics as Prometheus' client library does, and prints each sample as a line of JSON."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    if not family.documentation or family.type == "unknown":
        sys.exit(f"{family.name} says not what it is")
    for sample in family.samples:
        print(json.dumps([family.type, sample.name, sample.labels, str(float(sample.value))]))

"""Reads OpenMetrics with the public client and prints each family's type and number of samples as JSON."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

families = text_string_to_metric_families(sys.stdin.read())
print(json.dumps({family.name: {"type": family.type, "samples": len(family.samples)} for family in families}))

"""Every metric that the service can show, as the code declares it."""

import re
from pathlib import Path
from typing import NamedTuple

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import CollectorRegistry

from shared.telemetry import metrics
from tallybook.metrics import endpoint
from tallybook.metrics.lanes import LaneCollector

#: Names that Prometheus itself or its Python client bring along.
FOREIGN = frozenset({"up", "ALERTS", "process_resident_memory_bytes", "process_start_time_seconds"})


class Family(NamedTuple):
    """One metric: `name` as samples of it begin."""

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str


def families(folder: Path) -> dict[str, Family]:
    """All of them by name; `folder` is an empty one to look for lanes and metric files in."""
    found = []
    for item in vars(metrics).values():
        if isinstance(item, MetricWrapperBase):
            (family,) = item.describe()
            suffix = "_total" if family.type == "counter" else ""
            found.append(Family(family.name + suffix, family.type, tuple(item._labelnames), family.documentation))
    registry = CollectorRegistry(auto_describe=False)
    for collector in (LaneCollector(folder), endpoint.Host(), endpoint.Files(folder), endpoint.Journals(folder)):
        registry.register(collector)
    for family in registry.collect():
        suffix = "_total" if family.type == "counter" else ""
        labels = tuple(family.samples[0].labels)
        found.append(Family(family.name + suffix, family.type, labels, family.documentation))
    return {family.name: family for family in found}


def series(folder: Path) -> set[str]:
    """Names of samples: a histogram has three."""
    names = set()
    for family in families(folder).values():
        names |= (
            {family.name + end for end in ("_bucket", "_sum", "_count")}
            if family.kind == "histogram"
            else {family.name}
        )
    return names


def named_in(expression: str) -> set[str]:
    """Metrics that a PromQL expression asks for: `tallybook_...`, `process_...`, `up` and `ALERTS`."""
    return set(re.findall(r"\b(?:tallybook_\w+|process_\w+|up|ALERTS)\b(?=\s*[{\[)\s,]|$)", expression))

"""The committed dashboards and alert rules, as data."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy/prometheus/rules/tallybook.yml"
DASHBOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))

#: What Grafana puts in for its variables.
_VARIABLES = {"$__rate_interval": "10s", "$__interval": "1s", "$__range": "1m"}
#: A metric with or without a selector.
_SELECTOR = re.compile(r"\b(?:tallybook_\w+|process_\w+|up)\b(?:\{[^}]*\})?")


class Query(NamedTuple):
    """One query of a panel."""

    panel: str
    text: str
    legend: str


def dashboards() -> dict[str, dict[str, Any]]:
    """File name -> dashboard."""
    return {path.name: json.loads(path.read_text()) for path in DASHBOARDS}


def panels() -> list[dict[str, Any]]:
    """All panels of all dashboards, rows left out."""
    return [panel for board in dashboards().values() for panel in board["panels"] if panel["type"] != "row"]


def promql() -> list[Query]:
    """Every PromQL query, as Grafana would send it."""
    return [
        Query(panel["title"], substituted(target["expr"]), target.get("legendFormat", ""))
        for panel in panels()
        for target in panel["targets"]
        if "expr" in target
    ]


def sql(source: str) -> list[Query]:
    """Every SQL query for that data source, with Grafana's macros as they are."""
    return [
        Query(panel["title"], target["rawSql"], "")
        for panel in panels()
        for target in panel["targets"]
        if "rawSql" in target and target["datasource"]["uid"] == f"${{{source}}}"
    ]


def substituted(expression: str) -> str:
    """With values for Grafana's variables."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def alerts() -> list[dict[str, Any]]:
    """All alert rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def selectors(expression: str) -> set[str]:
    """What an expression reads: `name{label="value"}` without ranges."""
    return set(_SELECTOR.findall(re.sub(r"\b(?:by|on|without)\s*\([^)]*\)", "", expression)))

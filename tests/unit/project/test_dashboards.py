"""Dashboards and alerts: well formed, made for these metrics, and each alert with its instructions and tests."""

import hashlib
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.harness.subjects.dashboards import (
    DASHBOARDS,
    ROOT,
    RULES,
    alerts,
    dashboards,
    panels,
    promql,
    selectors,
    sql,
)
from tests.harness.subjects.metric_catalogue import FOREIGN, families, named_in, series

ALERTS = {alert["alert"]: alert for alert in alerts()}
CASES = yaml.safe_load(RULES.with_name("tallybook.test.yml").read_text())["tests"]
DATASOURCES = yaml.safe_load((ROOT / "grafana/provisioning/datasources/tallybook.yml").read_text())["datasources"]
#: Labels that Prometheus adds.
ADDED = {"job", "instance", "le"}


def expressions() -> dict[str, str]:
    """where -> PromQL, of panels and alerts."""
    found = {f"{query.panel}: {query.text}": query.text for query in promql()}
    return found | {name: alert["expr"] for name, alert in ALERTS.items()}


def base(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


# -- both --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", expressions().values(), ids=expressions())
def test_every_metric_that_is_named_exists(tmp_path: Path, expression: str) -> None:
    named = named_in(expression)
    assert named, "an expression without metrics"
    assert named <= series(tmp_path) | FOREIGN


@pytest.mark.parametrize("expression", expressions().values(), ids=expressions())
def test_every_label_that_is_named_exists(tmp_path: Path, expression: str) -> None:
    declared = families(tmp_path)
    for selector in selectors(expression):
        name, _, rest = selector.partition("{")
        if name not in FOREIGN:
            used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", rest))
            assert used <= set(declared[base(name)].labels) | ADDED, selector
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(", ")}
    assert grouped <= ADDED.union(*(declared[base(name)].labels for name in named_in(expression) - FOREIGN)), expression


def test_every_metric_is_shown_or_watched(tmp_path: Path) -> None:
    """A metric that nobody looks at is one too many. `tallybook_build_info` is for joins."""
    looked_at = {base(name) for expression in expressions().values() for name in named_in(expression)}
    assert set(families(tmp_path)) - looked_at == {"tallybook_build_info"}


# -- dashboards --------------------------------------------------------------------------------------------------------


def test_there_are_dashboards() -> None:
    assert [path.name for path in DASHBOARDS] == ["tallybook.json"]


@pytest.mark.parametrize("dashboard", dashboards().values(), ids=dashboards())
def test_a_dashboard_is_fixed(dashboard: dict[str, Any]) -> None:
    assert dashboard["uid"] == "tallybook"
    assert dashboard["editable"] is False
    assert dashboard["title"]
    assert "id" not in dashboard, "ids belong to one Grafana"


@pytest.mark.parametrize("dashboard", dashboards().values(), ids=dashboards())
def test_panels_fill_the_grid_without_overlap(dashboard: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below
    widths: dict[int, int] = {}
    for place in places:
        widths[place["y"]] = widths.get(place["y"], 0) + place["w"]
    assert set(widths.values()) == {24}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None
    assert panel["targets"]
    for source in [panel, *panel["targets"]]:
        assert source["datasource"]["uid"] in {"${prometheus}", "${postgres}", "${clickhouse}"}


def test_each_question_of_an_operator_has_a_panel() -> None:
    titles = " ".join(panel["title"] for panel in panels()).lower()
    for part in (
        "route and status",
        "percentile",
        "clicks a second",
        "top banners",
        "lane",
        "flush",
        "errors",
        "reads",
        "difference",
    ):
        assert part in titles


def test_sql_panels_are_bounded_in_time() -> None:
    of_postgres, of_clickhouse = sql("postgres"), sql("clickhouse")
    assert of_postgres
    assert of_clickhouse
    for query in of_postgres + of_clickhouse:
        assert "$__timeFilter(" in query.text
        assert "LIMIT" in query.text


# -- provisioning ------------------------------------------------------------------------------------------------------


def test_data_sources_are_those_that_the_variables_begin_with() -> None:
    provisioned = {source["uid"]: source["type"] for source in DATASOURCES}
    for dashboard in dashboards().values():
        variables = {item["name"]: item for item in dashboard["templating"]["list"]}
        assert {item["current"]["value"]: item["query"] for item in variables.values()} == provisioned
        assert set(variables) == {"prometheus", "postgres", "clickhouse"}


def test_nothing_provisioned_can_be_edited_in_the_browser() -> None:
    assert all(source["editable"] is False for source in DATASOURCES)
    (provider,) = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/tallybook.yml").read_text())["providers"]
    assert provider["allowUiUpdates"] is False
    assert provider["disableDeletion"] is True


def test_s2_no_password_stands_in_the_provisioning() -> None:
    for source in DATASOURCES:
        assert all(value.startswith("$__file{") for value in source.get("secureJsonData", {}).values())


def test_provisioned_paths_are_those_that_compose_mounts() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    mounts = [volume.split(":") for volume in compose["services"]["grafana"]["volumes"]]
    inside = {target for source, target, *_ in mounts if source.startswith("./")}
    (provider,) = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/tallybook.yml").read_text())["providers"]
    assert provider["options"]["path"] in inside
    assert "/etc/grafana/provisioning" in inside
    for source in DATASOURCES:
        for path in re.findall(r"\$__file\{/run/secrets/(\w+)\}", str(source)):
            assert path in compose["services"]["grafana"]["secrets"]
        host = source["jsonData"].get("host") or re.sub(r"^\w+://", "", source["url"]).split(":")[0]
        assert host in compose["services"]


def test_the_plugin_of_grafana_is_pinned_and_that_of_the_panels() -> None:
    built = (ROOT / "deploy/grafana/Dockerfile").read_text()
    plugin, version = re.findall(r"plugins install (\S+) (\d+\.\d+\.\d+)$", built, re.MULTILINE)[0]
    assert plugin in {source["type"] for source in DATASOURCES}
    targets = [target for panel in panels() for target in panel["targets"] if target["datasource"]["type"] == plugin]
    assert {target["pluginVersion"] for target in targets} == {version}
    grafana = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["grafana"]
    assert grafana["build"] == {"context": "deploy/grafana"}
    assert f"FROM grafana/grafana:{grafana['image'].rpartition(':')[2]}\n" in built


def test_grafana_may_read_the_tables_of_its_panels_and_nothing_else(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text((ROOT / "deploy/secrets.sh").read_text())
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = ElementTree.parse(tmp_path / "secrets/clickhouse_grafana.xml")  # noqa: S314 - our own
    assert made.findtext("users/grafana/profile") == "grafana"
    assert made.findtext("profiles/grafana/readonly") == "2"
    granted = {grant.text for grant in made.findall("users/grafana/grants/query")}
    read = {name for query in sql("clickhouse") for name in re.findall(r"\bFROM (\w+)", query.text)}
    assert granted == {f"GRANT SELECT ON tallybook.{name}" for name in read}
    password = (tmp_path / "secrets/clickhouse_grafana_password").read_bytes()
    assert made.findtext("users/grafana/password_sha256_hex") == hashlib.sha256(password).hexdigest()


def test_scrape_targets_are_services_of_compose() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    (job,) = [job for job in config["scrape_configs"] if job["job_name"] == "tallybook"]
    (found,) = job["dns_sd_configs"]  # a target for each replica
    assert found["names"] == ["ingest", "aggregator"]
    for name in found["names"]:
        assert services[name]["environment"]["TALLYBOOK_METRICS_PORT"] == str(found["port"])


# -- alerts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["labels"]["service"] == "tallybook"
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"].endswith(".")
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^### (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}


def test_instructions_stand_for_alerts_that_exist() -> None:
    section = (ROOT / "docs/operate.md").read_text().split("\n## Alerts\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^### (.+)$", section, re.MULTILINE)) == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_both_ways(name: str) -> None:
    outcomes = [
        bool(check["exp_alerts"]) for case in CASES for check in case["alert_rule_test"] if check["alertname"] == name
    ]
    assert set(outcomes) == {True, False}


def test_log_events_in_the_instructions_exist() -> None:
    known = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/logs.md").read_text(), re.MULTILINE))
    page = (ROOT / "docs/operate.md").read_text()
    for event in re.findall(r"`([a-z]+(?:_[a-z]+)+)` (?:in the log|lines|names)", page):
        assert event in known, event

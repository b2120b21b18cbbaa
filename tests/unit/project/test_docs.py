"""What the documents say is so: settings, errors, routes, commands, links and versions are compared with the code."""

import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared import configuration
from shared.errors import TallybookError
from shared.settings import NAMES, NOT_SETTINGS, PREFIX, REMOVED, Settings, variable

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()
API = (ROOT / "docs/api.md").read_text()


def errors(parent: type[TallybookError] = TallybookError) -> Iterator[type[TallybookError]]:
    """Every error that a client can meet."""
    for child in parent.__subclasses__():
        yield child
        yield from errors(child)


def between(text: str, begin: str, end: str) -> str:
    """What stands between two marks, which are there once each."""
    assert text.count(begin) == text.count(end) == 1
    return text.split(begin)[1].split(end)[0].strip() + "\n"


def anchors(page: Path) -> set[str]:
    """The fragments that headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make_targets() -> set[str]:
    """What `make` can be asked for."""
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


# -- settings ----------------------------------------------------------------------------------------------------------


def test_the_configuration_page_is_made_from_the_settings() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert page == configuration.page(), "run: python -m shared.configuration > docs/configuration.md"


def test_the_readme_holds_the_dozen_that_people_set() -> None:
    table = between(README, configuration.BEGIN, configuration.END)
    assert table == configuration.usual()
    assert len(table.splitlines()) == 2 + 12


def test_every_setting_stands_in_the_table_with_its_meaning() -> None:
    properties = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    assert set(properties) == set(Settings.__struct_fields__)
    page = configuration.page()
    for name in NAMES:
        assert f"| `{variable(name)}` |" in page
        assert properties[name]["description"] in page


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 65535}, "integer 1..65,535"),
        ({"type": "integer", "minimum": 2}, "integer from 2"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "number > 0, up to 0.5"),
        ({"type": "number", "minimum": 0, "maximum": 1e9}, "number 0..1,000,000,000"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "text"),
        ({"enum": ["lane", "redis"]}, "`lane` or `redis`"),
        ({"type": "boolean"}, "`true` or `false`"),
    ],
)
def test_a_setting_says_what_it_takes(schema: dict[str, Any], text: str) -> None:
    assert configuration.kind(schema) == text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {variable(name) for name in NAMES} | NOT_SETTINGS
    if page.name in {"ADR.md", "CHANGELOG.md"}:  # which also tell of what was
        known |= set(REMOVED)
    named = set(re.findall(rf"{PREFIX}[A-Z][A-Z0-9_]*[A-Z0-9]", page.read_text()))
    assert {name.removesuffix("_FILE") for name in named} <= known


# -- the HTTP interface ------------------------------------------------------------------------------------------------


def test_every_error_stands_in_the_interface_with_its_status_and_message() -> None:
    rows = between(API, "<!-- problems: begin -->", "<!-- problems: end -->").splitlines()[2:]
    expected = [
        f"| {error.status} | `{error.code}` | {'yes' if error.retryable else 'no'} | {error.title()} |"
        for error in errors()
        if error.__module__ == "shared.errors"
    ]
    assert rows == expected


def test_every_route_stands_in_the_interface() -> None:
    operations = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    methods = {"get", "post", "put", "patch", "delete"}
    routes = {f"{method.upper()} {path}" for path, item in operations.items() for method in methods & item.keys()}
    documented = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", API, re.MULTILINE))
    # The two that describe the interface are not part of the description.
    assert routes | {"GET /openapi.json", "GET /docs"} == documented


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"(?:^    |`)make ([a-z][a-z-]*)\b", page.read_text(), re.MULTILINE))
    assert named <= make_targets()


def test_the_readme_names_the_two_commands() -> None:
    assert re.findall(r"^    make ([a-z]+)", README, re.MULTILINE) == ["up", "test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    commands = importlib.import_module("tallybook.cli").main.commands
    named = set(re.findall(r"(?:^    (?:\$ )?|`)tallybook ([a-z][a-z-]*)\b", page.read_text(), re.MULTILINE))
    assert named <= set(commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_script_that_a_page_runs_is_in_the_repository(page: Path) -> None:
    scripts = re.findall(r"\bsh ((?:deploy|loadtest)/[\w./-]+)", page.read_text())
    assert all((ROOT / script).is_file() for script in scripts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    if page.name in ("ADR.md", "CHANGELOG.md"):  # what they tell of the past is not corrected
        return
    for path, name in re.findall(r"\b(tests/[\w./-]+\.py)(?:::(\w+))?", page.read_text()):
        assert (ROOT / path).is_file(), path
        assert not name or re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), name


# -- links and versions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_every_page_can_be_reached_from_the_readme(page: Path) -> None:
    assert f"docs/{page.name}" in README


def test_the_newest_change_is_of_this_version() -> None:
    newest = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_picture_stands_alone() -> None:
    picture = (ROOT / "docs/path.svg").read_text()
    assert "prefers-color-scheme: dark" in picture  # readable on both
    assert "<title" in picture
    assert "<desc" in picture
    assert not re.search(r"(href|src)\s*=|@import|<script", picture)  # loads nothing

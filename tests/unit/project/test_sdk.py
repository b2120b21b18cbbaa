"""What applications install stands alone: one version, and imports that every application can serve."""

import ast
import json
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SDK = ROOT / "sdk/python"
EXAMPLE = ROOT / "examples/django"
#: Modules of the SDK that a framework imports, or that need an extra, and what they import.
OF_FRAMEWORKS = {
    "django.py": {"asgiref"},
    "mcp/server.py": {"mcp", "mcp_types", "starlette"},
    "outbox/django/apps.py": {"django"},
    "outbox/django/migrations/0001_outbox.py": {"django"},
    "outbox/pytest_plugin.py": {"pytest"},
    "testing.py": {"pytest"},
}


def project(folder: Path) -> dict[str, Any]:
    """Return the table `project` of a pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def packages(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the top-level packages that these statements import."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_the_service_and_its_sdk_have_one_version_and_one_licence() -> None:
    service, sdk = project(ROOT), project(SDK)
    assert service["version"] == sdk["version"]
    assert f"tallybook-sdk=={sdk['version']}" in service["dependencies"]
    package = json.loads((ROOT / "sdk/js/package.json").read_text())
    assert (package["name"], package["version"]) == (sdk["name"], sdk["version"])
    assert f'VERSION = "{sdk["version"]}"' in (ROOT / "sdk/js/src/settings.ts").read_text()
    for folder in (SDK, ROOT / "sdk/js"):
        assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_sdk_loads_the_standard_library_and_msgspec_alone() -> None:
    source = SDK / "src/tallybook_sdk"
    modules = sorted(source.rglob("*.py"))
    assert len(modules) > 10
    for path in modules:
        loaded = packages(ast.parse(path.read_text()).body) - sys.stdlib_module_names
        allowed = OF_FRAMEWORKS.get(str(path.relative_to(source)), set())
        assert loaded <= {"msgspec", "tallybook_sdk"} | allowed, path


def test_the_shop_of_the_example_needs_nothing_of_the_service() -> None:
    service = {"aggregator", "gateway", "generator", "ingest", "shared", "tallybook"}
    users = [path for path in EXAMPLE.rglob("*.py") if packages(ast.walk(ast.parse(path.read_text()))) & service]
    assert users == [EXAMPLE / "relay.py"]

"""What the repository promises about itself: its layout, its pins, and the size of what has to be read."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("aggregator", "gateway", "generator", "ingest", "sdk/python/src/tallybook_sdk", "shared", "tallybook")
REQUIREMENTS = sorted(ROOT.glob("requirements*.txt"))
#: Lines of a module and of a function that a reader can be asked to follow.
_MODULE_LINES, _FUNCTION_LINES = 500, 60

#: Hosts of package registries; written apart, so that this file names none.
_REGISTRIES = tuple(".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("proxy", "golang", "org")))


def _modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git work tree")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _entries(path: Path) -> list[str]:
    """The requirements of a file, each with its continuation lines joined."""
    joined = path.read_text().replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=_name)
def test_requirements_name_no_address_and_no_index(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"https?://|git\+|file:", text)
    assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b", text, re.MULTILINE)


@pytest.mark.parametrize("path", REQUIREMENTS, ids=_name)
def test_s4_every_requirement_is_pinned_and_has_hashes(path: Path) -> None:
    entries = _entries(path)
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,]+\])?==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_what_runs_is_pinned_alike_in_both_files() -> None:
    def pins(name: str) -> set[tuple[str, str]]:
        return {tuple(entry.split()[0].split("==")) for entry in _entries(ROOT / name)}  # type: ignore[misc]

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


@pytest.mark.parametrize(
    "name",
    [
        *PACKAGES,
        *("deploy", "docs", "grafana", "loadtest", "tests", ".ci/run"),
        *("Makefile", "README.md", "compose.yaml", "pyproject.toml", "requirements.txt", "requirements-dev.txt"),
    ],
)
def test_everything_is_where_people_look_for_it(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= _MODULE_LINES
    for function in _functions(ast.parse(text)):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        assert lines <= _FUNCTION_LINES, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("path", [path for path in _modules() if path.stat().st_size], ids=_name)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_file_names_the_host_of_a_package_registry() -> None:
    for path in _tracked():
        text = path.read_bytes().decode(errors="replace").lower()
        assert not [host for host in _REGISTRIES if host in text], _name(path)


def test_an_audit_without_its_tools_says_so_aloud_and_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci/audit", tmp_path / ".ci/audit")
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    done = _ran(script, {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.returncode == 0
    assert "NOT AUDITED" in done.stderr


def test_compose_is_found_without_a_home(tmp_path: Path) -> None:
    compose = tmp_path / "docker-compose"
    compose.write_text("#!/bin/sh\necho 2.40.0\n")
    compose.chmod(0o755)
    done = _ran(ROOT / ".ci/compose", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (0, f"{compose}\n"), done.stderr


def _ran(script: Path, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["bash", script], env=environ, capture_output=True, text=True, check=False)

"""Where things are, what is never tracked, and that everything public says what it does."""

import ast
import re
import subprocess
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("aggregator", "gateway", "generator", "ingest", "shared", "tallybook", "loadtest")
SDK = "sdk/python/src/tallybook_sdk"
MODULES = sorted(path for package in (*PACKAGES, SDK) for path in (ROOT / package).rglob("*.py"))
#: Folders on top. A new one is a decision.
FOLDERS = {".ci", "deploy", "docs", "examples", "grafana", "sdk", "tests", "web", *PACKAGES}


def tracked() -> list[str]:
    """The files of the repository, with those that are not committed yet."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no git work tree")
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def test_every_folder_on_top_is_known() -> None:
    assert {name.split("/")[0] for name in tracked() if "/" in name} <= FOLDERS


def test_nothing_that_is_made_or_secret_is_tracked() -> None:
    made = re.compile(r"(^|/)(\.venv|__pycache__|data|\.env)(/|$)|\.(pyc|db|lane|pem|key)$")
    assert [name for name in tracked() if made.search(name)] == []


def test_tests_have_no_packages_of_their_own() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_tests_mirror_the_packages() -> None:
    """There is a folder a package, and one for the SDK."""
    for kind in ("unit", "integration"):
        folders = {path.parent.name for path in (ROOT / "tests" / kind).rglob("test_*.py")}
        assert folders <= {*PACKAGES, "project", "sdk"}, kind


def test_the_tests_have_one_way_to_wait_one_proxy_and_one_launcher() -> None:
    """Wherever else one begins, it belongs into tests/harness."""
    once = {
        r"def _?(until|wait_for|wait_until|eventually)\b": ["harness/wait.py"],
        r"^class \w*Proxy\b": ["harness/proxy.py"],
        r"http\.client\.HTTPConnection\(": ["harness/http.py"],
        r"startswith\(.TALLYBOOK_": ["conftest.py", "harness/process.py"],
        r"def free_ports?\b": ["harness/process.py"],
    }
    sources = {path: path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)}
    for pattern, places in once.items():
        found = {str(path.relative_to(ROOT / "tests")) for path in sources if re.search(pattern, sources[path], re.M)}
        assert sorted(found) == places, pattern


def test_a_folder_is_a_subject_that_can_be_overlooked() -> None:
    for package in {path.parent for path in MODULES}:
        modules = [path for path in package.glob("*.py") if not path.name.startswith("__")]
        assert len(modules) <= 14, package


def test_every_subject_says_what_it_is_about() -> None:
    for package in {path.parent for path in MODULES}:
        if package.parent == ROOT or (package.name == "migrations" and package.parent.name == "django"):
            continue
        assert ast.get_docstring(ast.parse((package / "__init__.py").read_text())), package


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "base.py", "common.py", "misc.py"}
    assert [path for path in MODULES if path.name in drawers] == []


def test_o3_the_hot_service_opens_no_url() -> None:
    """The linter of imports knows no submodules of the standard library."""
    for path in (ROOT / "ingest").rglob("*.py"):
        assert not re.search(r"urllib\.request|(?<!ingest\.)http\.client", path.read_text()), path


def test_the_shared_fixtures_stay_short() -> None:
    for name in ("conftest.py", "harness/services.py", "harness/process.py", "harness/subjects/clicks.py"):
        assert (ROOT / "tests" / name).read_text().count("\n") <= 150, name


def test_everything_public_says_what_it_does() -> None:
    silent = []
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not (
                node.name.startswith("_") or ast.get_docstring(node)
            ):
                silent.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert silent == []


def test_modules_stay_small_on_the_whole() -> None:
    sizes = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in MODULES}
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True)[:10]:
        print(f"{sizes[name]:5} {name}")
    assert median(size for size in sizes.values() if size > 3) <= 150


def test_make_targets_explain_themselves() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split())
    assert targets == set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    assert {"up", "test", "lint", "format", "load", "bench", "requirements", "clean"} <= targets

"""The source of the dashboard passes its own tests, and makes the bundle that is committed, byte for byte."""

import subprocess
from pathlib import Path

import pytest

from tests.harness.browser.chromium import node_modules
from tests.harness.process import ROOT
from tests.harness.services import require

SOURCE = ROOT / "web/dashboard"
UI = ROOT / "ingest/static/ui"

pytestmark = pytest.mark.timeout(300)  # the first may install


def node(*arguments: object) -> str:
    """Run Node in the folder of the source. Return what it printed."""
    node_modules(SOURCE)
    command = [require("node"), *map(str, arguments)]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_source_makes_the_committed_bundle(tmp_path: Path) -> None:
    node("build.mjs", tmp_path)
    assert contents(tmp_path) == contents(UI), "run: make web"


def test_the_types_are_those_of_the_interface(tmp_path: Path) -> None:
    node("scripts/types.mjs", tmp_path / "schema.d.ts")
    committed = (SOURCE / "src/api/schema.d.ts").read_text()
    assert (tmp_path / "schema.d.ts").read_text() == committed, "run: npm run types, in web/dashboard"


def test_the_source_is_well_formed_and_typed() -> None:
    node("node_modules/@biomejs/biome/bin/biome", "check", ".")
    node("node_modules/typescript/bin/tsc", "--noEmit")


def test_the_units_of_the_source_pass() -> None:
    assert "passed" in node("node_modules/vitest/vitest.mjs", "run", "--project", "unit")

"""The committed scripts of pages are those that their sources make."""

import json
import subprocess
from pathlib import Path

from tests.harness.browser.chromium import PACKAGES, node_modules
from tests.harness.process import ROOT
from tests.harness.services import require


def node(*arguments: object, folder: Path = PACKAGES) -> str:
    """What a program of Node printed."""
    command = [require("node"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_committed_snippet_is_what_its_source_makes(tmp_path: Path) -> None:
    node_modules()
    node("build.mjs", tmp_path)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(built) == 2
    for name, content in built.items():
        assert content == (ROOT / "ingest/static" / name).read_bytes(), "run: make web"


def test_the_sources_of_scripts_have_the_types_that_they_say() -> None:
    node(node_modules() / "typescript/bin/tsc", "--noEmit")


def test_the_core_starts_from_a_program_too(tmp_path: Path) -> None:
    """`start` is bundled by others: it takes the service and the site, and needs no tag."""
    node_modules()
    script = f"""
        import {{ buildSync }} from {json.dumps(str(PACKAGES / "node_modules/esbuild/lib/main.js"))};
        const [{{ text }}] = buildSync({{
            entryPoints: [{json.dumps(str(PACKAGES / "start.ts"))}],
            bundle: true, format: "iife", globalName: "bundled", target: "es2021", write: false,
        }}).outputFiles;
        console.log(text);
    """
    (tmp_path / "bundle.mjs").write_text(script)
    bundle = node(tmp_path / "bundle.mjs")
    assert "currentScript" not in bundle
    assert "start" in bundle


def test_no_lock_names_a_registry() -> None:
    locks = [path for folder in ("web", "sdk", "examples") for path in (ROOT / folder).glob("*/package-lock.json")]
    assert len(locks) >= 3
    for lock in locks:
        assert '"resolved": "http' not in lock.read_text()

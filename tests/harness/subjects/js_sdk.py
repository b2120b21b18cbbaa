"""The client for JavaScript: installed, built and run by Node."""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from tests.harness.browser.chromium import node_modules
from tests.harness.process import ROOT
from tests.harness.services import require

SDK = ROOT / "sdk/js"
#: What the build reads.
_SOURCES = ("sdk/js/src/*.ts", "sdk/js/*.mjs", "sdk/js/*.json", "web/snippet/*.ts", "web/dashboard/src/api/schema.d.ts")


def built() -> Path:
    """Return the folder of the client, built from what its sources are now; one process at a time."""
    node_modules(SDK)
    paths = sorted(path for source in _SOURCES for path in ROOT.glob(source) if path.name != "schema.d.ts")
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    made = SDK / "dist/.of-sources"
    with (SDK / ".install.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (made.exists() and made.read_text() == wanted):
            node("build.mjs", folder=SDK)
            made.write_text(wanted)
    return SDK


def node(*arguments: object, folder: Path = SDK, **environ: str) -> str:
    """Run Node to its end. Return what it printed."""
    return ran(require("node"), *arguments, folder=folder, **environ)


def ran(*command: object, folder: Path, **environ: str) -> str:
    """Run a program to its end. Return what it printed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout

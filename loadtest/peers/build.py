"""Build the Go peers into `loadtest/peers/bin`: `python -m loadtest.peers.build`."""

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
BINARIES = FOLDER / "bin"
PEERS = ("gin-memory", "gin-redis", "fiber-memory")

#: Where Go's own archive installs it, which is often not on PATH.
_USUAL = "/usr/local/go/bin/go"


class PeerError(Exception):
    """A peer cannot be built. The message says what to do."""


def go() -> str:
    """Return the path of the go command. Raises PeerError."""
    found = shutil.which("go") or shutil.which(_USUAL)
    if found is None:
        raise PeerError(
            "Go is not installed, and the peers of the benchmark are Go programs: see https://go.dev/doc/install"
        )
    return found


def version() -> str:
    """Return the version of Go, like `go1.26.8`. Raises PeerError."""
    return subprocess.run([go(), "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()


def build() -> dict[str, Path]:
    """Build the peers (seconds when nothing changed, a minute or two at first) and return their binaries."""
    compiler, built = go(), {}
    for peer in PEERS:
        built[peer] = BINARIES / peer
        command = [compiler, "build", "-trimpath", "-mod=readonly", "-o", str(built[peer]), "."]
        done = subprocess.run(command, cwd=FOLDER / peer, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerError(f"{peer} cannot be built: {done.stderr.strip()[-1000:]}")
    return built


def main() -> int:
    """Build, and print where the binaries are."""
    try:
        for peer, binary in build().items():
            print(f"{peer}: {binary}")
    except PeerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

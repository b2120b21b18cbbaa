"""Runs wrk and reads what it prints."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPTS = Path(__file__).parents[1] / "wrk"

#: Milliseconds in the units that wrk prints.
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}

#: Threads of the generator: wrk serves tens of thousands of requests a second with one.
THREADS = 2


class WrkError(Exception):
    """wrk is missing, failed, or printed what cannot be read."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of wrk saw. Latencies are in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    non_2xx: int
    socket_errors: int

    @property
    def acknowledged(self) -> int:
        """Requests answered by a 2xx (nothing here answers with 3xx)."""
        return self.requests - self.non_2xx

    @property
    def per_second(self) -> float:
        """Acknowledged requests a second."""
        return self.acknowledged / self.seconds


def run(url: str, script: str, connections: int, seconds: float, arguments: Sequence[object] = ()) -> Run:
    """Load the URL with a script of `loadtest/wrk/`. Raises WrkError."""
    if shutil.which("wrk") is None:
        raise WrkError("wrk is not installed; `apt install wrk` (or your system's package) brings it")
    command = ["wrk", f"-t{min(THREADS, connections)}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    command += ["-s", str(_SCRIPTS / script), url, "--", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise WrkError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    return parse(done.stdout)


def parse(text: str) -> Run:
    """Read the report of `wrk --latency`. Raises WrkError."""
    total = re.search(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m),", text, re.MULTILINE)
    if total is None:
        raise WrkError(f"wrk printed no total: {text[-500:]!r}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Run(
        requests=int(total[1]),
        seconds=float(total[2]) * _MS[total[3]] / 1000,
        p50_ms=_percentile(text, 50),
        p99_ms=_percentile(text, 99),
        non_2xx=int(refused[1]) if refused else 0,
        socket_errors=sum(map(int, errors.groups())) if errors else 0,
    )


def _percentile(text: str, percent: int) -> float:
    found = re.search(rf"^\s*{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    if found is None:
        raise WrkError(f"wrk printed no {percent} % line; is --latency set?")
    return float(found[1]) * _MS[found[2]]

"""Load tests: `python -m loadtest.run [steady|ramp|spike|soak ...]`.

Starts tallybook on a fresh folder unless `--host` names one that runs, lets Locust click, and fails if p95 or errors
are above their thresholds, or if any banner's count differs from what was acknowledged.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from loadtest.crowd import thresholds
from loadtest.crowd.shapes import SCENARIOS
from loadtest.tools.client import AnswerError, Client
from loadtest.tools.ledger import Ledger, read
from loadtest.tools.settled import settled
from loadtest.tools.stack import Stack, StartError, clicks

RESULTS = Path(__file__).parent / "results"
_LOCUSTFILE = Path(__file__).parent / "crowd/locustfile.py"

#: Banners of one run start at a random number below this, so that a service with older clicks can be tested as well;
#: all ids stay below 2^53.
_FIRST_BANNER_MAX = 1 << 52
#: Seconds that users get to finish their request at the end.
_STOP_S = 15

EXIT_FAILED, EXIT_UNUSABLE = 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run the scenarios one after the other; 0 if all kept what was promised."""
    options = _options(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    codes = []
    for scenario in options.scenarios or ["steady"]:
        with tempfile.TemporaryDirectory(prefix="tallybook-load-") as folder:
            try:
                codes.append(_scenario(scenario, options, Path(folder)))
            except (StartError, AnswerError, OSError) as error:
                print(f"{scenario}: {error}", file=sys.stderr)
                return EXIT_UNUSABLE
    return max(codes)


def _scenario(scenario: str, options: argparse.Namespace, folder: Path) -> int:
    own = {name: value for name, value in os.environ.items() if name.startswith("TALLYBOOK_")}
    stack = Stack(folder, settings=own)
    with nullcontext() if options.host else stack:
        url = options.host or stack.url
        hours = 2 + int((options.seconds or 0) / 3600)
        prefix = options.results / scenario
        code = _locust(scenario, options, url, prefix, folder / "ledger")
        ledger = read(folder.glob("ledger-*.json"))
        broken = _judge(json.loads(prefix.with_name(f"{scenario}-stats.json").read_text()), scenario)
        with Client(url) as client:
            settled(lambda: sum(clicks(client, banner, hours) for banner in ledger.acknowledged))
            broken += ledger.compare(lambda banner: clicks(client, banner, hours))
    _print_ledger(ledger)
    if code not in (0, EXIT_FAILED):  # 1 says that some requests failed, and the threshold judges that
        broken.append(f"locust ended with {code}")
    for text in broken[:20]:
        print(f"FAILED {scenario}: {text}")
    print(f"{scenario}: {'failed' if broken else 'passed'}; the reports are {prefix}-*")
    return EXIT_FAILED if broken else 0


def _locust(scenario: str, options: argparse.Namespace, url: str, prefix: Path, ledger: Path) -> int:
    command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--host", url]
    command += ["--scenario", scenario, "--scale", str(options.scale), "--ledger", str(ledger)]
    command += ["--first-banner", str(random.randrange(1, _FIRST_BANNER_MAX)), "--stop-timeout", str(_STOP_S)]
    command += [
        "--csv",
        str(prefix),
        "--html",
        f"{prefix}-report.html",
        "--json-file",
        f"{prefix}-stats",
    ]  # .json is added
    command += ["--only-summary", "--loglevel", "WARNING"]
    if options.seconds:
        command += ["--seconds", str(options.seconds)]
    if options.processes > 1:
        command += ["--processes", str(options.processes)]
    root = Path(__file__).parent.parent
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [environ.get("PYTHONPATH")])])
    return subprocess.run(command, env=environ, cwd=root, check=False).returncode


def _judge(stats: list[Mapping[str, Any]], scenario: str) -> list[str]:
    """The thresholds, over all routes together."""
    requests = sum(int(row["num_requests"]) for row in stats)
    failed = sum(int(row["num_failures"]) for row in stats)
    for row in stats:
        p50, p95, p99 = (thresholds.percentile_ms(_buckets([row]), share) or 0 for share in (0.5, 0.95, 0.99))
        print(
            f"{row['method']:<5} {row['name']:<24} {row['num_requests']:>8,} requests  {row['num_failures']:>6,} failed"
            f"  p50 {p50:.0f} ms  p95 {p95:.0f} ms  p99 {p99:.0f} ms"
        )
    p95_ms = thresholds.percentile_ms(_buckets(stats), 0.95)
    print(f"{scenario}: {requests:,} requests, {failed:,} failed, p95 {p95_ms or 0:.0f} ms")
    return thresholds.failures(p95_ms, requests, failed)


def _buckets(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, int]]:
    return [(float(ms), int(requests)) for row in rows for ms, requests in row["response_times"].items()]


def _print_ledger(ledger: Ledger) -> None:
    acknowledged, unknown = ledger.acknowledged.total(), ledger.unknown.total()
    print(f"{acknowledged:,} clicks acknowledged on {len(ledger.acknowledged):,} banners, {unknown:,} unknown")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.run", description="Load tests with Locust.")
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)} (default steady)", metavar="scenario")
    parser.add_argument("--host", help="URL of a running service; without it one is started for each scenario")
    parser.add_argument("--processes", type=int, default=1, help="Locust processes (default 1)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of users (default 1)")
    parser.add_argument("--seconds", type=float, help="stretch or squeeze each scenario to this length")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the reports")
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())

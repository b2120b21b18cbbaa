"""Page views a second from one generator into a local broker of Kafka.

    python -m loadtest.generator [--events 300000] [--rounds 3] [--kafka HOST:PORT]

The broker is one of the tests' own, on the same cores, unless an address is given. In each round a run with a ledger
and one without follow each other. The ledger of the last run is compared with what it says of itself: a line for each
event. Into loadtest/results/generator.json.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from loadtest.tools.servers import cores

RESULTS = Path(__file__).parent / "results"
#: Runs that are compared, and whether they keep a ledger.
_WAYS = {"with_ledger": True, "without_ledger": False}


def _run(address: str, events: int, number: int, ledger: Path | None) -> dict[str, float]:
    """What one run says of itself, and the seconds of a processor that it took."""
    words = ["generate", "--target", f"kafka://{address}", "--topic", f"speed_{os.getpid()}_{number}", "--mode", "max"]
    words += ["--events", str(events), "--seed", str(number), *(["--ledger", str(ledger)] if ledger else [])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "tallybook", *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = json.loads(done.stdout.splitlines()[-1])
    if not summary["complete"]:
        raise SystemExit(f"it did not send everything: {summary}")
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"per_s": summary["made"] / summary["seconds"], "us": used_s / events * 1e6}


def _measure(address: str, events: int, rounds: int, folder: Path) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
    ledger = folder / "sent.jsonl"
    for number in range(rounds):
        for place, (way, has_ledger) in enumerate(_WAYS.items()):
            if has_ledger:
                ledger.unlink(missing_ok=True)
            found[way].append(_run(address, events, number * len(_WAYS) + place, ledger if has_ledger else None))
        print(f"round {number + 1}: { ({way: round(runs[-1]['per_s']) for way, runs in found.items()}) }", flush=True)
    with ledger.open("rb") as lines:
        told = sum(1 for _ in lines)
    return {
        "events": events,
        "messages_per_s": {way: round(median(run["per_s"] for run in runs)) for way, runs in found.items()},
        "rounds": {way: [round(run["per_s"]) for run in runs] for way, runs in found.items()},
        "generator_cpu_us_per_message": {
            way: round(median(run["us"] for run in runs), 1) for way, runs in found.items()
        },
        "ledger_is_whole": told == events,
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.generator", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a broker; without it one is started")
    arguments = parser.parse_args()
    temporary = tempfile.TemporaryDirectory(prefix="tallybook-generator-", ignore_cleanup_errors=True)
    with temporary as folder, ExitStack() as stack:
        address = arguments.kafka
        if address is None:
            from tests.harness.kafka.broker import broker

            address = stack.enter_context(broker(Path(folder) / "kafka")).address
        figures = _measure(address, arguments.events, arguments.rounds, Path(folder))
    figures["machine"] = {"cores": cores(), "python": platform.python_version(), "kernel": platform.release()}
    (RESULTS / "generator.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    return 0 if figures["ledger_is_whole"] else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""The Python client against others: what a call costs, and what an event costs the process until it is sent.

    python -m loadtest.client.against_others [--rounds 5] [--events 20000] [--peers /path/of/python]

All clients send to one sink on loopback, which parses what comes and answers as the service does. Each round runs all
of them, one after the other and in random order, each in a process of its own; medians of the rounds' ratios count.
`call_us` is the time of a call, with what the client's own thread takes from it; `caller_us` is the processor time of
the calling thread alone, which other programs of the machine do not change; `cpu_us` is that of the process until all
is sent. `--peers` is a Python that has `posthog`, `segment-analytics-python`, `statsd` and `datadog`; without it the
client is measured alone. Into loadtest/results/client.json.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from loadtest.tools.machine import describe
from tallybook_sdk.testing import FakeServer

RESULTS = Path(__file__).parents[1] / "results/client.json"
#: Seconds that a program may take.
_PATIENCE_S = 300

_TIMED = """
import json, sys, time
url, count, folder, port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[1].rpartition(":")[2])
began = time.perf_counter()
{imports}
imported_s = time.perf_counter() - began
{make}
properties = {{"price": 12.5, "country": "UA", "step": 3}}
for n in range(100): {call}
{flush}
cpu, began, caller = time.process_time(), time.perf_counter(), time.thread_time()
for n in range(count): {call}
caller_s, called_s = time.thread_time() - caller, time.perf_counter() - began
{flush}
print(json.dumps({{"imported_s": imported_s, "call_us": called_s / count * 1e6,
                   "caller_us": caller_s / count * 1e6,
                   "cpu_us": (time.process_time() - cpu) / count * 1e6}}))
"""

_CLIENT = "from tallybook_sdk import Client"
_EVENT = "tally.event('purchase', 'u-17', properties)"
#: Side -> the program that measures it.
OWN: dict[str, Mapping[str, str]] = {
    "event": {
        "imports": _CLIENT,
        "make": "tally = Client(url, max_items=1_000_000, max_bytes=1 << 30)",
        "call": _EVENT,
        "flush": "assert tally.flush(120)",
    },
    "event_spooled": {
        "imports": _CLIENT,
        "make": "tally = Client(url, spool=folder)",
        "call": _EVENT,
        "flush": "assert tally.flush(120)",
    },
    "click": {
        "imports": _CLIENT,
        "make": "tally = Client(url)",
        "call": "tally.click(n % 20 + 1)",
        "flush": "assert tally.flush(120)",
    },
}
PEERS: dict[str, Mapping[str, str]] = {
    "posthog": {
        "imports": "import posthog",
        "make": "tally = posthog.Posthog('k', host=url, max_queue_size=1_000_000)",
        "call": "tally.capture('purchase', distinct_id='u-17', properties=properties)",
        "flush": "tally.flush()",
    },
    "segment": {
        "imports": "from segment.analytics.client import Client",
        "make": "tally = Client('k', host=url, max_queue_size=1_000_000)",
        "call": "tally.track('u-17', 'purchase', properties)",
        "flush": "tally.flush()",
    },
    "statsd": {
        "imports": "import statsd",
        "make": "tally = statsd.StatsClient('127.0.0.1', port)",
        "call": "tally.incr('banner.%d' % (n % 20 + 1))",
        "flush": "",
    },
    "statsd_pipeline": {
        "imports": "import statsd",
        "make": "tally = statsd.StatsClient('127.0.0.1', port).pipeline()",
        "call": "tally.incr('banner.%d' % (n % 20 + 1))",
        "flush": "tally.send()",
    },
    "dogstatsd": {
        "imports": "from datadog.dogstatsd import DogStatsd",
        "make": "tally = DogStatsd('127.0.0.1', port, disable_aggregation=False, disable_telemetry=True)",
        "call": "tally.increment('banner.%d' % (n % 20 + 1))",
        "flush": "tally.flush()",
    },
}

_AWAY = """
import json, os
from tallybook_sdk import Client
def resident(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
most = 8 << 20
tally = Client("http://127.0.0.1:1", max_bytes=most, max_items=10_000_000)
for n in range(100): tally.event("purchase", "u-17", {"price": 12.5})
before = resident()
for n in range(1_000_000): tally.event("purchase", "u-17", {"price": 12.5})
grown = resident() - before
report = tally.report()
assert report.difference == 0 and report.dropped["queue_full"] > 0
print(json.dumps({"grown_per_max_bytes": grown / most}))
tally.close(0)
"""

_IDLE = """
import json, resource, sys, time
from tallybook_sdk import Client
tally = Client(sys.argv[1])
tally.event("purchase", "u-17")
assert tally.flush(60)
time.sleep(0.5)
path = f"/proc/self/task/{tally._worker._thread.native_id}/status"
def switches(): return sum(int(line.split()[1]) for line in open(path) if "ctxt_switches" in line)
before = switches()
time.sleep(float(sys.argv[2]))
print(json.dumps({"wakeups": switches() - before}))
"""

_LAG = """
import asyncio, json, sys, time
from tallybook_sdk import AsyncClient

async def main():
    tally = AsyncClient(sys.argv[1]) if sys.argv[2] == "client" else None
    lags, until = [], time.monotonic() + 5
    async def record():
        while time.monotonic() < until:
            for _ in range(50):
                if tally: tally.event("purchase", "u-17", {"price": 12.5})
            await asyncio.sleep(0.01)
    task = asyncio.create_task(record())
    while time.monotonic() < until:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        lags.append(time.perf_counter() - began - 0.001)
    await task
    if tally: await tally.aclose()
    lags.sort()
    print(json.dumps({"p99_ms": lags[int(len(lags) * 0.99)] * 1e3}))

asyncio.run(main())
"""


def measured(python: str, program: str, *arguments: object) -> dict[str, float]:
    """Run a program in a process of its own; what it measured."""
    command = [python, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def one_round(url: str, events: int, peers: str | None) -> dict[str, dict[str, float]]:
    """Measure every side once, in random order."""
    sides = [(name, sys.executable, program) for name, program in OWN.items()]
    sides += [(name, peers, program) for name, program in PEERS.items() if peers]
    random.shuffle(sides)
    found = {}
    for name, python, program in sides:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measured(python, _TIMED.format(**program), url, events, folder)
    found["lag_without"] = measured(sys.executable, _LAG, url, "nothing")
    found["lag"] = measured(sys.executable, _LAG, url, "client")
    return found


def ratios(rounds: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Return the medians of the rounds' ratios."""
    pairs = {
        "event_call_per_posthog": ("event", "posthog", "call_us"),
        "event_call_per_segment": ("event", "segment", "call_us"),
        "posthog_cpu_per_event": ("posthog", "event", "cpu_us"),
        "segment_cpu_per_event": ("segment", "event", "cpu_us"),
        "event_caller_per_posthog": ("event", "posthog", "caller_us"),
        "event_caller_per_segment": ("event", "segment", "caller_us"),
        "statsd_call_per_click": ("statsd", "click", "call_us"),
        "statsd_pipeline_call_per_click": ("statsd_pipeline", "click", "call_us"),
        "dogstatsd_call_per_click": ("dogstatsd", "click", "call_us"),
        "spooled_call_per_event": ("event_spooled", "event", "call_us"),
        "import_per_posthog": ("event", "posthog", "imported_s"),
        "lag_per_none": ("lag", "lag_without", "p99_ms"),
    }
    return {
        name: round(median(one[first][what] / one[second][what] for one in rounds), 3)
        for name, (first, second, what) in pairs.items()
        if first in rounds[0] and second in rounds[0]
    }


class Sink(FakeServer):
    """The service as these clients know it: others get an empty answer."""

    def _answer(self, request: Any) -> Any:
        if request.path not in ("/stats", "/events", "/limits"):
            request.json()
            return type(self)._empty()
        answer = super()._answer(request)
        self.received.clear()
        self.events.clear()
        return answer

    @staticmethod
    def _empty() -> Any:
        from tallybook_sdk import Answer

        return Answer(200, {"content-type": "application/json"}, b'{"success":true,"status":1}')


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--idle", type=float, default=60.0)
    parser.add_argument("--peers")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        sink = Sink()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:  # what is not read is dropped
            datagrams.bind(("127.0.0.1", int(sink.url.rpartition(":")[2])))
            print(sink.url, flush=True)
            sys.stdin.read()
        return
    # a process of its own: it must not share the interpreter with what is measured
    with subprocess.Popen(
        [sys.executable, "-m", "loadtest.client.against_others", "--sink"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        rounds = [one_round(url, options.events, options.peers) for _ in range(options.rounds)]
        result = {
            "machine": describe(datetime.now(UTC).date().isoformat(), RESULTS.parent),
            "rounds": rounds,
            "ratios": ratios(rounds),
            "away": measured(sys.executable, _AWAY),
            "idle": measured(sys.executable, _IDLE, url, options.idle),
        }
        process.terminate()
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: one for name, one in result.items() if name not in ("machine", "rounds")}, indent=1))


if __name__ == "__main__":
    main()

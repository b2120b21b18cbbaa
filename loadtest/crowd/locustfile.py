"""What a crowd does to tallybook, for Locust. `python -m loadtest.run` starts it with everything that it needs."""

import itertools
import os
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task

from loadtest.crowd.shapes import SCENARIOS, stages, users_at
from loadtest.tools.ledger import Ledger
from loadtest.tools.stack import rfc3339

#: Requests that each user makes in a second, if the answers come in time.
_PER_SECOND = 10
#: Banners, of which the r-th most popular is clicked in proportion to 1/r (Zipf).
BANNERS = 1000
_WEIGHTS = list(itertools.accumulate(1 / rank for rank in range(1, BANNERS + 1)))
#: Items in one bulk request.
_BULK = 100
#: Seconds until an answer counts as missing.
_TIMEOUT_S = 10.0

ledger = Ledger()


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="steady", help="shape of the load")
    parser.add_argument("--seconds", type=float, default=None, help="length of the run, stretching the scenario")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of users")
    parser.add_argument("--first-banner", type=int, default=1, help="banners are this and the next ones")
    parser.add_argument("--ledger", default="", help="each process writes its ledger to <this>-<pid>.json")


@events.quitting.add_listener
@events.test_stop.add_listener
def _write(environment: Any, **_: Any) -> None:
    if prefix := environment.parsed_options.ledger:
        ledger.write(Path(f"{prefix}-{os.getpid()}.json"))


class Scenario(LoadTestShape):
    """Follows the stages of the scenario chosen on the command line, then ends the run."""

    def tick(self) -> tuple[int, float] | None:
        """Users wanted now."""
        assert self.runner is not None
        options: Any = self.runner.environment.parsed_options
        return users_at(stages(options.scenario, options.seconds, options.scale), time.perf_counter() - self.start_time)


class Crowd(FastHttpUser):
    """Mostly clicks, some reads, a few bulk requests."""

    wait_time = constant_throughput(_PER_SECOND)
    network_timeout = connection_timeout = _TIMEOUT_S
    max_retries = 0  # a repeated click would count twice

    def on_start(self) -> None:
        """Take the population from the command line."""
        first = self.environment.parsed_options.first_banner
        self._banners = range(first, first + BANNERS)

    @task(90)
    def click(self) -> None:
        """One click."""
        banner = self._popular()
        self._count({banner: 1}, f"/stats/{banner}", "POST /stats/{bannerId}", data=b"")

    @task(8)
    def read(self) -> None:
        """The last hour of one banner, by minutes."""
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        start, end = rfc3339(now - timedelta(hours=1)), rfc3339(now + timedelta(minutes=1))
        path = f"/stats/{self._popular()}?tsFrom={start}&tsTo={end}"
        self.client.get(path, name="GET /stats/{bannerId}")

    @task(2)
    def bulk(self) -> None:
        """A hundred clicks at once."""
        items = [{"bannerId": self._popular()} for _ in range(_BULK)]
        self._count(Counter(item["bannerId"] for item in items), "/stats", "POST /stats", json=items)

    def _popular(self) -> int:
        return random.choices(self._banners, cum_weights=_WEIGHTS)[0]

    def _count(self, clicks: dict[int, int], path: str, name: str, **body: Any) -> None:
        ledger.sending(clicks)
        answer = self.client.post(path, name=name, **body)
        ledger.answered(clicks, answer.status_code)

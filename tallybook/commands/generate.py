"""`tallybook generate`: send page views, some of them faulty, to a record log or to the HTTP interface."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tallybook.exits import Exit, Stop
from tallybook.options import configured

if TYPE_CHECKING:
    from generator.service import Order, Result
    from generator.targets.target import Target
    from shared.settings import Settings

_F = TypeVar("_F", bound=Callable[..., Any])

_WAYS = click.Choice(["sync", "async", "batch"])
#: Fields of the profile that have flags: (flag, field, type).
_PROFILE = (
    ("--mode", "mode", click.Choice(["regular", "bursts", "night", "max", "day"])),
    ("--schedule", "schedule", str),
    ("--zone", "zone", str),
    ("--diurnal/--no-diurnal", "is_diurnal", None),
    ("--low", "regular_low_per_s", float),
    ("--high", "regular_high_per_s", float),
    ("--burst-low", "burst_low", int),
    ("--burst-high", "burst_high", int),
    ("--burst-window", "burst_window_s", float),
    ("--burst-every", "burst_every_s", float),
    ("--night-every", "night_every_s", float),
    ("--max-rate", "max_per_s", int),
    ("--max-step", "max_step_ms", float),
    ("--bounces", "bounce_ratio", float),
    ("--faulty", "faulty_ratio", float),
    ("--duplicates", "duplicate_ratio", float),
)
_HELP = {
    "mode": "The pace: 1-10/s, bursts of 100-1,000 in 2 s, 1 in 10 s, as fast as possible, or by the time of day.",
    "schedule": "What the mode `day` does: '00:00 night, 07:00 regular, 12:00 bursts'.",
    "zone": "Time zone of the schedule and of the diurnal curve; UTC by default.",
    "is_diurnal": "Whether `regular` follows the hours of the day.",
    "regular_low_per_s": "Events a second of `regular` at the quietest hour [1].",
    "regular_high_per_s": "Events a second of `regular` at the busiest hour [10].",
    "burst_low": "Fewest events of a burst [100].",
    "burst_high": "Most events of a burst [1000].",
    "burst_window_s": "Seconds over which a burst is spread [2].",
    "burst_every_s": "Seconds from one burst to the next [60].",
    "night_every_s": "Seconds in which `night` makes one event [10].",
    "max_per_s": "Bound of `max`, events a second [none].",
    "max_step_ms": "Milliseconds between the timestamps of two events of `max` [0.01].",
    "bounce_ratio": "Part of the messages that are bounces [0.10].",
    "faulty_ratio": "Part that is faulty [0.05].",
    "duplicate_ratio": "Part that repeats an earlier event under its key [0.01].",
}


def _profile_flags(command: _F) -> _F:
    for flag, field, kind in reversed(_PROFILE):
        command = click.option(flag, field, type=kind, default=None, help=_HELP[field])(command)
    return command


@click.command()
@click.option(
    "--target", metavar="URL", help="kafka://host:port, redis://..., unix://..., http://.../events or /stats."
)
@_profile_flags
@click.option("--events", type=click.IntRange(1), help="How many; without end when not given.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds after which it stops.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed makes the same events.")
@click.option("--start", help="RFC 3339 instant at which the generator's clock begins; now when not given.")
@click.option("--speed", type=click.FloatRange(0.001, 1_000_000), default=1.0, help="How fast its clock goes [1].")
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="File that says what was sent.")
@click.option("--resume", is_flag=True, help="Go on with the run of the ledger, after a stop or kill -9.")
@click.option("--pages", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True)
@click.option("--users", type=click.IntRange(1, 10_000_000), default=50_000, show_default=True)
@click.option("--page-exponent", type=click.FloatRange(0, 5), default=1.0, show_default=True, help="Zipf, of pages.")
@click.option("--user-exponent", type=click.FloatRange(0, 5), default=0.7, show_default=True, help="Zipf, of users.")
@click.option("--topic", default="page_views", show_default=True)
@click.option("--spread", type=click.Choice(["key", "round_robin", "random"]), default="key", help="Partitions [key].")
@click.option("--way", type=_WAYS, default="async", show_default=True, help="Wait for each, for none, or by batches.")
@click.option("--way-of", "ways_of", multiple=True, metavar="KIND=WAY", help="Another way for a kind: faulty=sync.")
@click.option("--batch", type=click.IntRange(1, 100_000), default=500, show_default=True, help="Messages of a batch.")
@click.option("--batch-wait", type=click.FloatRange(0.001, 600), default=1.0, help="Seconds that a batch waits [1].")
@click.option("--first-wait", type=click.FloatRange(0.001, 60), default=0.1, help="Seconds before a repeat [0.1].")
@click.option("--longest-wait", type=click.FloatRange(0.001, 600), default=10.0, help="The same, at most [10].")
@click.option("--give-up", type=click.FloatRange(0), default=0.0, help="Seconds until a message is given up [never].")
@click.option("--idempotent/--not-idempotent", default=True, help="Kafka's idempotent producer [on].")
@click.option("--transactions", is_flag=True, help="Each batch is a transaction of Kafka.")
@click.option("--aborts", type=click.FloatRange(0, 1), default=0.0, help="Part of transactions aborted once [0].")
@click.option("--compression", type=click.Choice(["none", "gzip"]), default="none", show_default=True)
@click.option("--linger", type=click.FloatRange(0, 10_000), default=5.0, help="Milliseconds that Kafka collects [5].")
@click.option("--control", "port", type=click.IntRange(0, 65_535), help="Port of the control endpoint; 0 is any.")
@click.option("--control-host", "host", default="127.0.0.1", show_default=True, help="Address that it binds.")
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="API key for HTTP.")
@click.option("--drain", type=click.FloatRange(0, 3600), default=30.0, help="Seconds that a stop waits [30].")
def generate(target: str | None, events: int | None, port: int | None, **flags: Any) -> None:
    """Send page views, good and faulty. Ctrl-C ends it in order; the summary is one line of JSON.

    \b
    Examples:
      tallybook generate --target kafka://127.0.0.1:9092 --control 9470
      tallybook generate --target redis://127.0.0.1 --mode day --way sync
      tallybook generate --target kafka://127.0.0.1:9092 --mode max --events 1000000 --seed 7 --ledger sent.jsonl
      tallybook generate --ledger sent.jsonl --resume
    """
    settings = configured("generator")
    try:
        from generator.ledger import LedgerUnusable
        from generator.service import planned
        from generator.targets import target as targets
        from generator.targets.sender import TargetUnusable
        from shared.errors import Invalid

        order = _order(target, events, port, flags)
        plan, before = planned(order, settings.log_partitions)
        targets.check(plan.target)
        where = _target(plan.target, plan.run, plan.seed, plan.spread, plan.topic, flags)
        result = asyncio.run(_run(order, where, plan, before, settings))
    except ModuleNotFoundError as error:
        raise Stop(Exit.SETTINGS, f"{error.name} is not installed: pip install 'tallybook[generator]'.") from None
    except Invalid as error:
        raise click.UsageError(error.detail) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except LedgerUnusable as error:
        raise Stop(Exit.FAILED, f"{error}.") from None
    except TargetUnusable as error:
        raise Stop(Exit.UNREACHABLE, str(error)) from None
    except OSError as error:
        raise Stop(Exit.FAILED, f"{error.filename or 'The control endpoint'}: {error.strerror}.") from None
    click.echo(json.dumps(result.summary | {"complete": result.is_complete, "settled": result.is_settled}))
    if not result.is_settled:
        where_to = "run it again with --resume" if order.ledger else "only a --ledger can tell"
        raise Stop(Exit.UNREACHABLE, f"Some messages may have arrived or not: {where_to}.")


async def _run(order: "Order", target: "Target", plan: Any, before: Any, settings: "Settings") -> "Result":
    from rich.console import Console

    from generator.service import generate

    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():  # a second Ctrl-C leaves what is in flight to --resume
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return await generate(order, target, plan, before, settings, Console(stderr=True), stop)


def _order(target: str | None, events: int | None, port: int | None, flags: dict[str, Any]) -> "Order":
    from generator.service import Order
    from generator.targets.ways import BatchLimit
    from generator.traffic.profile import Profile, changed
    from generator.traffic.traffic import Audience

    if flags["resume"] is (target is not None):
        raise click.UsageError("name a --target, or --resume a run, which has one")
    wishes = {field: flags[field] for _, field, _ in _PROFILE if flags[field] is not None}
    start_ms = None if flags["start"] is None else _instant(flags["start"])
    if flags["speed"] > 1 and start_ms is None:
        raise click.UsageError("--speed above 1 needs a --start in the past: timestamps would lie in the future")
    if flags["transactions"] and (flags["way"] != "batch" or flags["ways_of"]):
        raise click.UsageError("--transactions needs --way batch: each batch is one")
    if flags["aborts"] and not flags["transactions"]:
        raise click.UsageError("--aborts needs --transactions")
    return Order(
        target=target or "",
        profile=changed(Profile(), wishes),
        events=events,
        seed=flags["seed"],
        start_ms=start_ms,
        speed=flags["speed"],
        ledger=flags["ledger"],
        is_resumed=flags["resume"],
        audience=Audience(flags["pages"], flags["users"], flags["page_exponent"], flags["user_exponent"]),
        topic=flags["topic"],
        spread=flags["spread"],
        ways=_ways(flags["way"], flags["ways_of"]),
        batch=BatchLimit(flags["batch"], flags["batch_wait"]),
        duration_s=flags["duration"],
        drain_s=flags["drain"],
        host=flags["host"],
        port=port,
    )


def _target(url: str, run: str, seed: int, spread: Any, topic: str, flags: dict[str, Any]) -> "Target":
    from generator.targets.sender import Patience
    from generator.targets.target import Producing, Target

    token = flags["token_file"]
    return Target(
        url=url,
        run=run,
        seed=seed,
        spread=spread,
        topic=topic,
        patience=Patience(flags["first_wait"], flags["longest_wait"], flags["give_up"]),
        producing=Producing(
            flags["idempotent"], flags["transactions"], flags["aborts"], flags["compression"], flags["linger"]
        ),
        token=token.read_text().strip() if token else None,
    )


def _ways(way: str, others: tuple[str, ...]) -> dict[str, str]:
    from generator.traffic.kinds import GROUPS, KINDS

    ways = dict.fromkeys(KINDS, way)
    for text in others:
        group, _, other = text.partition("=")
        if group not in GROUPS or other not in _WAYS.choices:
            raise click.UsageError(f"--way-of is KIND=WAY; kinds are {', '.join(GROUPS)}, and not {text!r}")
        ways.update(dict.fromkeys(GROUPS[group], other))
    return ways


def _instant(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--start is an instant as 2026-11-21T08:00:00Z, and not {text!r}") from None
    if at.tzinfo is None:
        raise click.UsageError("--start needs a zone, as in 2026-11-21T08:00:00Z")
    return int(at.timestamp() * 1000)

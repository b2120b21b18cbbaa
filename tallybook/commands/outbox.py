"""`tallybook outbox`: the state of the outbox, its dead letters, and the rebase after a restore."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import IO, TYPE_CHECKING, TypeVar
from uuid import UUID

import click

from shared.settings import Settings, load
from tallybook.exits import Exit, Stop
from tallybook.options import DATA_DIR, JSON, JSON_LINES, YES
from tallybook.output import printable

if TYPE_CHECKING:
    from aggregator.outbox.dead_letters import Letter
    from aggregator.outbox.relay import Outbox

_T = TypeVar("_T")

#: Letters of one event that are read at most.
_LETTERS_OF_ONE = 100


@click.group()
def outbox() -> None:
    """Watch and mend the outbox: event logs of applications on their way into ClickHouse (TALLYBOOK_OUTBOX_URL).

    \b
    Examples:
      tallybook outbox status
      tallybook outbox dead list
      tallybook outbox dead replay --all
      tallybook outbox rebase --opened-at 2026-03-01T12:00:00Z
    """


@outbox.command()
@DATA_DIR
@JSON
def status(as_json: bool, data_dir: str | None) -> None:
    """Show what waits, which relay moves it, and what is wrong."""
    import msgspec

    from aggregator.outbox import status as outbox_status

    found = _with_outbox(outbox_status.status, _settings(data_dir))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(f"waiting: {found.waiting}, the oldest for {found.oldest_s:.1f} s")
    click.echo(f"stored: {found.stored}, dead-lettered: {found.dead_lettered}, dead letters: {found.dead_letters}")
    click.echo(f"relay: {found.relay or 'none'}, pending: {found.pending}, astray: {found.astray}")
    if found.held_by is not None:
        click.echo(f"oldest writing transaction: {found.held_s:.1f} s, process {found.held_by}")
    if found.is_younger:
        click.echo("the cluster is younger than the outbox: `tallybook outbox rebase`")
    click.echo(f"trouble: {printable(found.trouble or 'none')}")


@outbox.group()
def dead() -> None:
    """List, replay and drop dead letters: events that ClickHouse refused for good.

    \b
    Examples:
      tallybook outbox dead list
      tallybook outbox dead show 0195a1b2-0000-4000-8000-000000000001 > context.json
      tallybook outbox dead replay 0195a1b2-0000-4000-8000-000000000001 --file context.json
    """


@dead.command("list")
@DATA_DIR
@click.option("--settled", is_flag=True, help="Include letters that were published again.")
@click.option("--most", default=100, show_default=True, type=click.IntRange(1), help="Letters, the oldest first.")
@JSON_LINES
def listed(settled: bool, most: int, as_json: bool, data_dir: str | None) -> None:
    """List waiting letters: id of the event, time and reason."""
    from aggregator.outbox import dead_letters

    letters = _with_outbox(lambda one: dead_letters.listed(one, most, settled=settled), _settings(data_dir))
    for letter in letters:
        click.echo(json.dumps(_plain(letter)) if as_json else _line(letter))


@dead.command()
@DATA_DIR
@click.argument("event_id", type=click.UUID)
def show(event_id: UUID, data_dir: str | None) -> None:
    """Write the context of an event to stdout, as it was published, and the details of its letters to stderr."""
    from aggregator.outbox import dead_letters

    letters = _with_outbox(
        lambda one: dead_letters.listed(one, _LETTERS_OF_ONE, event_id=event_id, settled=True), _settings(data_dir)
    )
    if not letters:
        raise Stop(Exit.FAILED, f"There is no dead letter of the event {event_id}.")
    for letter in letters:
        click.echo(json.dumps(_plain(letter), indent=1), err=True)
    click.echo(letters[-1].event_context)


@dead.command()
@DATA_DIR
@click.argument("event_ids", nargs=-1, type=click.UUID)
@click.option("--all", "are_all", is_flag=True, help="All letters that wait.")
@click.option("--file", "context", type=click.File("rb"), help="A mended context of the only event; - is stdin.")
def replay(event_ids: tuple[UUID, ...], are_all: bool, context: IO[bytes] | None, data_dir: str | None) -> None:
    """Publish events again under their ids, behind all others. Repeating is safe: each letter is published once.

    Remove the cause first, or they become dead letters again.
    """
    from aggregator.outbox import dead_letters
    from aggregator.outbox.relay import replay_dead

    if bool(event_ids) == are_all:
        raise click.UsageError("name events, or say --all")
    if context is not None and len(event_ids) != 1:
        raise click.UsageError("--file is the context of one event")
    mended = None if context is None else _context(context)

    async def work(one: "Outbox") -> int:
        if mended is not None:
            return await dead_letters.replay_mended(one, event_ids[0], mended)
        return await replay_dead(one, None if are_all else list(event_ids))

    click.echo(f"replayed: {_with_outbox(work, _settings(data_dir))}")


@dead.command()
@DATA_DIR
@click.argument("event_ids", nargs=-1, required=True, type=click.UUID)
def drop(event_ids: tuple[UUID, ...], data_dir: str | None) -> None:
    """Delete letters. The outbox still counts them as dead-lettered."""
    from aggregator.outbox import dead_letters

    click.echo(f"dropped: {_with_outbox(lambda one: dead_letters.drop(one, event_ids), _settings(data_dir))}")


@outbox.command()
@DATA_DIR
@click.option("--opened-at", required=True, help="When applications could first write to the restored database.")
@YES
def rebase(opened_at: str, is_sure: bool, data_dir: str | None) -> None:
    """Sort waiting events before all new ones, after a restore into a younger cluster.

    Stop every relay first. A cluster that is not younger than the outbox stays as it is.

    \b
    Example:
      tallybook outbox rebase --opened-at 2026-03-01T12:00:00Z
    """
    moment, settings = _moment(opened_at), _settings(data_dir, needs_clickhouse=True)
    if not is_sure:
        click.confirm(f"Rebase the outbox, opened at {moment.isoformat()}?", abort=True, err=True)

    async def work(one: "Outbox") -> int:
        from aggregator.outbox import status as outbox_status
        from aggregator.outbox.relay import rebase

        now = await outbox_status.status(one)
        if now.relay is not None:
            raise Stop(
                Exit.FAILED, f"The relay {printable(now.relay)} has the outbox: stop it, then wait for its lease."
            )
        if not now.is_younger:
            raise Stop(Exit.FAILED, "This cluster is not younger than the outbox: there is nothing to rebase.")
        return await rebase(one, moment)

    click.echo(f"waiting: {_with_outbox(work, settings)}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.BadParameter(f"{text!r} is no time with a zone, as 2026-03-01T12:00:00Z", param_hint="--opened-at")
    return moment


def _context(file: IO[bytes]) -> str:
    """Read a context that the outbox accepts. Raises BadParameter."""
    import msgspec

    from tallybook.imports.file_bytes import Foreign, text_bytes
    from tallybook_sdk.outbox.event import CONTEXT_MAX_BYTES

    try:
        raw = text_bytes(file, CONTEXT_MAX_BYTES)
    except (Foreign, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--file") from None
    try:
        is_object = isinstance(msgspec.json.decode(raw), dict)
    except (msgspec.DecodeError, RecursionError):
        is_object = False
    if not is_object:
        raise click.BadParameter("it is no JSON object", param_hint="--file")
    return msgspec.json.format(raw, indent=-1).decode()


def _line(letter: "Letter") -> str:
    moment, detail = f"{letter.buried_at:%Y-%m-%dT%H:%M:%SZ}", printable(letter.detail)[:120]
    return f"{letter.event_id}\t{moment}\t{printable(letter.event_type)}\t{letter.reason}\t{detail}"


def _plain(letter: "Letter") -> dict[str, object]:
    return {
        "eventId": str(letter.event_id),
        "eventType": letter.event_type,
        "eventDateTime": letter.event_date_time.isoformat(),
        "environment": letter.environment,
        "metadataVersion": letter.metadata_version,
        "reason": letter.reason,
        "detail": letter.detail,
        "bytes": len(letter.event_context.encode()),
        "buriedAt": letter.buried_at.isoformat(),
        "replayedAt": letter.replayed_at.isoformat() if letter.replayed_at else None,
    }


def _settings(data_dir: str | None, *, needs_clickhouse: bool = False) -> Settings:
    """Return the settings, with addresses of the running stack where they are needed. Raises Stop."""
    from tallybook.stack.running_stack import reached

    settings = load(data_dir=data_dir)
    if settings.outbox_url is None or (needs_clickhouse and settings.clickhouse_url is None):
        settings = reached(settings)
    if needs_clickhouse and settings.clickhouse_url is None:
        raise Stop(Exit.NOT_RUNNING, "There is no ClickHouse: set TALLYBOOK_CLICKHOUSE_URL.")
    return settings


def _with_outbox(work: "Callable[[Outbox], Awaitable[_T]]", settings: Settings) -> _T:
    """Do the work with the outbox of the settings. Raises Stop."""
    from contextlib import AsyncExitStack

    import asyncpg

    from aggregator.outbox.relay import Damaged, Outbox
    from shared.stores.clickhouse import CLICKHOUSE_ERRORS, connect
    from shared.stores.postgres import POSTGRES_ERRORS, create_pool

    async def run() -> _T:
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(create_pool(settings, settings.outbox_url))
            # Commands that need no ClickHouse work without one.
            clickhouse = await stack.enter_async_context(connect(settings)) if settings.clickhouse_url else None
            return await work(Outbox(pool, clickhouse))  # type: ignore[arg-type]

    try:
        return asyncio.run(run())
    except Damaged as error:
        raise Stop(Exit.FAILED, f"Look at what was pending first (docs/outbox.md): {error}.") from None
    except asyncpg.UndefinedTableError:
        raise Stop(
            Exit.FOREIGN_DATA, "There is no outbox: run `tallybook migrate`, or `python -m tallybook_sdk.outbox`."
        ) from None
    except (*POSTGRES_ERRORS, *CLICKHOUSE_ERRORS) as error:
        raise Stop(Exit.UNREACHABLE, f"A store fails ({type(error).__name__}): run the same command later.") from None

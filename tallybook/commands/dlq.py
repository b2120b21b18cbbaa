"""`tallybook dlq`: list, replay and drop records that a sink refused for good."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO, TYPE_CHECKING, TypeVar

import click

from shared.settings import Settings
from tallybook.commands.database import connected, settings_of
from tallybook.exits import Exit, Stop
from tallybook.options import DATA_DIR, JSON_LINES
from tallybook.output import printable

if TYPE_CHECKING:
    import asyncpg

    from shared.record_log.dead_letters import Letter, Place

    Connection = asyncpg.Connection[asyncpg.Record]

_T = TypeVar("_T")


@click.group()
def dlq() -> None:
    """List, replay and drop dead letters: records that a sink refused for good.

    \b
    Examples:
      tallybook dlq list
      tallybook dlq show streams/hits/0/1795262195747-3/tracker_events
      tallybook dlq replay --all
      tallybook dlq replay streams/hits/0/1795262195747-3/tracker_events --file mended.json
    """


@dlq.command("list")
@DATA_DIR
@click.option("--settled", is_flag=True, help="Include replayed and dropped letters.")
@click.option(
    "--most", type=click.IntRange(1), default=100, show_default=True, help="Letters to show, the oldest first."
)
@JSON_LINES
def listed(settled: bool, most: int, as_json: bool, data_dir: str | None) -> None:
    """List waiting letters: id, time and reason. If there are more, stderr says how many."""
    from shared.record_log import dead_letters

    async def work(connection: "Connection") -> "tuple[list[Letter], int]":
        letters = await dead_letters.listed(connection, most, settled=settled)
        is_all = len(letters) < most
        return letters, len(letters) if is_all else await dead_letters.counted(connection, settled=settled)

    letters, there = _with_database(work, settings_of(data_dir))
    for letter in letters:
        click.echo(json.dumps(_plain(letter)) if as_json else _line(letter))
    if there > len(letters):
        click.echo(f"shown: {len(letters):,} of {there:,}; --most {there} shows all", err=True)


@dlq.command()
@DATA_DIR
@click.argument("letter")
def show(letter: str, data_dir: str | None) -> None:
    """Write the record of a letter to stdout, byte for byte, and its details to stderr."""
    from shared.record_log import dead_letters

    where = _place(letter)
    found = _with_database(lambda one: dead_letters.found(one, where), settings_of(data_dir))
    if found is None:
        raise Stop(Exit.FAILED, f"There is no letter {letter}.")
    click.echo(json.dumps(_plain(found), indent=1), err=True)
    sys.stdout.buffer.write(found.value or b"")
    sys.stdout.buffer.flush()


@dlq.command()
@DATA_DIR
@click.argument("letters", nargs=-1)
@click.option("--all", "are_all", is_flag=True, help="All letters that wait at the start.")
@click.option(
    "--file", "record", type=click.File("rb"), help="A mended record in place of the only letter's; - is stdin."
)
def replay(letters: tuple[str, ...], are_all: bool, record: IO[bytes] | None, data_dir: str | None) -> None:
    """Append records to their topic again, as new ones. After an interruption, repeat the command: each comes once.

    Remove the cause first, or they become dead letters again.
    """
    if are_all == bool(letters):
        raise click.UsageError("name letters, or say --all")
    if record is not None and len(letters) != 1:
        raise click.UsageError("--file is the record of one letter")
    settings, value = settings_of(data_dir), None if record is None else _record(record)

    named = [_place(one) for one in letters]

    async def work(connection: "Connection") -> int:
        from shared.record_log import dead_letters
        from shared.record_log.factory import chosen_log

        replayed = 0
        async with chosen_log(settings) as log:
            async for where in dead_letters.waiting(connection) if are_all else _each(named):
                if where.log != log.name:
                    raise Stop(Exit.SETTINGS, f"{where} is of another log than TALLYBOOK_LOG_URL names.")
                replayed += await dead_letters.replay(connection, log, where, value)
        return replayed

    click.echo(f"replayed: {_with_database(work, settings)}")


def _record(file: IO[bytes]) -> bytes:
    from shared.record_log.record_log import RECORD_MAX_BYTES
    from tallybook.imports.file_bytes import Foreign, text_bytes

    try:
        return text_bytes(file, RECORD_MAX_BYTES)
    except (Foreign, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--file") from None


async def _each(places: "list[Place]") -> "AsyncIterator[Place]":
    for where in places:
        yield where


@dlq.command()
@DATA_DIR
@click.argument("letters", nargs=-1, required=True)
def drop(letters: tuple[str, ...], data_dir: str | None) -> None:
    """Drop letters and delete their records. Accounting still counts them as dead-lettered."""
    from shared.record_log import dead_letters

    places = [_place(one) for one in letters]

    async def work(connection: "Connection") -> int:
        return sum([await dead_letters.drop(connection, where) for where in places])

    click.echo(f"dropped: {_with_database(work, settings_of(data_dir))}")


def _place(text: str) -> "Place":
    from shared.record_log import dead_letters

    try:
        return dead_letters.place(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no id of a letter; `tallybook dlq list` shows them") from None


def _line(letter: "Letter") -> str:
    return f"{letter.place}\t{letter.created_at:%Y-%m-%dT%H:%M:%SZ}\t{letter.reason}\t{printable(letter.detail)[:120]}"


def _plain(letter: "Letter") -> dict[str, object]:
    settled_at = letter.replayed_at or letter.dropped_at
    return {
        "id": str(letter.place),
        "reason": letter.reason,
        "detail": letter.detail,
        "version": letter.version,
        "bytes": len(letter.value or b""),
        "createdAt": letter.created_at.isoformat(),
        "state": "replayed" if letter.replayed_at else "dropped" if letter.dropped_at else "waiting",
        "settledAt": settled_at.isoformat() if settled_at else None,
    }


def _with_database(work: "Callable[[Connection], Awaitable[_T]]", settings: Settings) -> _T:
    from shared.errors import TallybookError, TooLarge
    from shared.record_log.dead_letters import Begun

    try:
        return connected(work, settings.database_url)
    except (Begun, TooLarge) as error:
        raise Stop(Exit.FAILED, f"Not replayed: {error}") from None
    except TallybookError as error:
        raise Stop(
            Exit.UNREACHABLE, f"The record log takes no records ({error.code}): run the same command later."
        ) from None

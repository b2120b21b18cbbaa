"""`tallybook import-events`: import product events from CSV files."""

import asyncio
import glob
import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from shared.settings import Settings
from tallybook.exits import Exit, Stop
from tallybook.options import DATA_DIR, configured

if TYPE_CHECKING:
    from tallybook.imports.event_file import FileBatch, Reading
    from tallybook.imports.importer import Counts, Progress

#: Seconds between two lines of progress, where there is no terminal.
_LINE_S = 5.0
#: Seconds after which the reading thread yields to the inserting one, which wants to run seventy times per batch. With
#: Python's default, 5 ms, the insert would wait longer than it works.
_SWITCH_S = 0.0002

log = structlog.get_logger()


@click.command("import-events")
@DATA_DIR
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--column", "columns", multiple=True, metavar="NAME=THEIRS", help="What a column is called in the files.")
@click.option("--zone", metavar="ZONE", help="Time zone of times that have none, as UTC or Europe/Kyiv.")
@click.option("--foreign-ids", metavar="NAME", help="Make UUIDs of ids that are none; NAME is whose ids they are.")
@click.option("--json", "as_json", is_flag=True, help="The summary for machines.")
def import_events(
    paths: tuple[str, ...],
    columns: tuple[str, ...],
    zone: str | None,
    foreign_ids: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Import product events from CSV files (plain or gzip; `-` is stdin), without the HTTP service.

    The columns are event_id, occurred_at, user_id, event_type and properties_json, or what other products call them.
    Rejected rows go into PATH.rejected.csv, with line and reason: mend them there and import that file. After a stop or
    a kill, run the same command again to continue. Repeating is safe: an id is stored once.

    \b
    Examples:
      tallybook import-events events.csv 'archive/*.csv.gz'
      zcat events.csv.gz | tallybook import-events -
      tallybook import-events mysql.csv --zone Europe/Kyiv
      tallybook import-events mixpanel.csv --foreign-ids mixpanel --column user_id=distinct_id
    """
    from shared.runtime.gc_tuning import collect_seldom

    collect_seldom()  # before imports that make half a million objects
    from tallybook.imports.event_file import Reading
    from tallybook.imports.importer import Counts
    from tallybook.interrupt import Interrupt, Interrupted
    from tallybook.stack.running_stack import reached

    sys.setswitchinterval(_SWITCH_S)
    settings = reached(configured("import", **flags))
    if settings.clickhouse_url is None:
        raise Stop(Exit.SERVER_MISSING, "Events need ClickHouse: set TALLYBOOK_CLICKHOUSE_URL.")
    reading = Reading(_columns(columns), _zone(zone), foreign_ids)
    interrupt, total, began = Interrupt(), Counts(), time.monotonic()
    interrupt.install()
    try:
        for path in _files(paths):
            counts = _imported(settings, path, reading, interrupt.check)
            for name in counts.__struct_fields__:
                setattr(total, name, getattr(total, name) + getattr(counts, name))
    except Interrupted:
        raise Stop(Exit.INTERRUPTED, "Stopped. Run the same command again to go on.") from None
    _say(total, time.monotonic() - began, as_json=as_json)
    sys.exit(Exit.REJECTED if total.rejected else Exit.OK)


def _columns(given: tuple[str, ...]) -> dict[str, str]:
    from tallybook.imports.event_layout import COLUMNS

    pairs = {name: theirs for name, _, theirs in (one.partition("=") for one in given)}
    if any(name not in COLUMNS or not theirs for name, theirs in pairs.items()):
        raise click.BadParameter(f"it is NAME=THEIRS, and NAME one of {', '.join(COLUMNS)}", param_hint="--column")
    return pairs


def _zone(name: str | None) -> str | None:
    from zoneinfo import available_timezones

    if name is not None and name not in available_timezones():
        raise click.BadParameter(f"{name!r} is no time zone, as UTC or Europe/Kyiv are", param_hint="--zone")
    return name


def _files(paths: tuple[str, ...]) -> list[str]:
    from tallybook.imports.importer import REJECTED

    found: list[str] = []
    for path in paths:
        names = [path] if path == "-" or Path(path).is_file() else sorted(glob.glob(path))
        if not names:
            raise click.BadParameter(f"there is no file {path}")
        found += names
    if found == list(paths[:1]):
        return found
    written = [name for name in found if name.endswith(REJECTED)]
    for name in written:
        click.echo(f"skipped: {name}, which an import wrote; to import it, name it alone", err=True)
    if len(written) == len(found):
        raise click.BadParameter("there are no other files")
    return [name for name in found if name not in written]


def _imported(settings: Settings, path: str, reading: "Reading", check: Callable[[], None]) -> "Counts":
    from shared.stores import clickhouse
    from shared.stores.postgres import create_pool
    from tallybook.imports.csv_file import shown
    from tallybook.imports.event_file import READ_ERRORS, EventFile
    from tallybook.imports.importer import EventImport, ImportFailed, Progress

    async def work(progress: "Progress", file: EventFile, moved: "Callable[[FileBatch], None]") -> None:
        async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
            one = EventImport(pool, tables, settings.clickhouse_timeout_s, check)
            await one.all(file.batches(progress.note.lines), progress, moved)

    try:
        file = EventFile(settings, path, reading)
        try:
            if file.said:
                click.echo(f"{path}: {file.said}", err=True)
            progress = Progress(path, reading)
            with _shown(path, progress) as moved:
                asyncio.run(work(progress, file, moved))
        finally:
            file.close()
        if file.renamed:
            names = [f"{name} to {made}" for name, made in sorted(file.renamed.items())]
            click.echo(f"{path}: event types renamed: {shown(names)}", err=True)
        progress.finish()
    except ImportFailed as error:
        raise Stop(Exit.FAILED, f"{path}: {error}. Run the same command again when that is mended.") from None
    except READ_ERRORS as error:
        raise Stop(Exit.FAILED, f"{path} cannot be read: {error}") from None
    return progress.note.counts


def _shown(path: str, progress: "Progress") -> "AbstractContextManager[Callable[[FileBatch], None]]":
    """Show the progress: a bar on a terminal, else a line every five seconds."""
    from tallybook.imports.importer import can_be_resumed

    began, at_first = time.monotonic(), progress.note.counts.read

    def rate() -> float:
        return (progress.note.counts.read - at_first) / max(time.monotonic() - began, 0.001)

    if sys.stderr.isatty() and can_be_resumed(path):
        return _Bar(path, Path(path).stat().st_size, lambda: f"{progress.note.counts.read:,} rows, {rate():,.0f}/s")
    said_at = began

    def line(batch: "FileBatch") -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _LINE_S:
            said_at = time.monotonic()
            figures = {"rows": progress.note.counts.read, "rows_per_s": round(rate()), "bytes": batch.position}
            log.info("import_goes_on", path=path, **figures)

    return nullcontext(line)


class _Bar:
    """A progress bar that moves by bytes of the file."""

    def __init__(self, path: str, size: int, text: Callable[[], str]) -> None:
        self._bar: Any = click.progressbar(
            length=size, label=Path(path).name, file=sys.stderr, show_eta=True, item_show_func=lambda _: text()
        )
        self._position = 0

    def __enter__(self) -> "Callable[[FileBatch], None]":
        self._bar.__enter__()
        return self._move

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def _move(self, batch: "FileBatch") -> None:
        self._bar.update(batch.position - self._position, batch)
        self._position = batch.position


def _say(counts: "Counts", seconds: float, *, as_json: bool) -> None:
    figures = {name: getattr(counts, name) for name in counts.__struct_fields__}
    figures |= {"seconds": round(seconds, 1), "rows_per_s": round(counts.read / max(seconds, 0.001))}
    click.echo(json.dumps(figures) if as_json else "  ".join(f"{name} {value:,}" for name, value in figures.items()))

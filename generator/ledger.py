"""Keep the ledger: one JSON line for each message that the target has, with its kind, key, position and content.

    {"n":17,"kind":"normal","key":"page-00042","position":{"partition":2,"offset":6},"event":{...}}
    {"n":18,"kind":"broken_json","key":"page-00001","position":{"partition":0,"offset":3},"text":"{\\"page_id\\":\\"pa"}
    {"n":19,"kind":"duplicate","key":"page-00042","of":17,"position":{"partition":2,"offset":7},"event":{...}}

A line is written when the target has acknowledged its message. The file `<file>.ahead` is written **before** messages
are sent: the plan of the run, each change of the profile, and the number up to which messages may be in flight. A plan
makes the same messages each time, so that number suffices. After kill -9, numbers below it without a line have an
unknown outcome; `--resume` asks the target about them.

Both files are written with plain `write`, which outlives the process. The death of the machine may cost the last
seconds.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from generator.traffic.kinds import BROKEN_JSON
from generator.traffic.profile import Profile
from generator.traffic.traffic import Audience, Message
from shared.telemetry.metrics import GENERATOR_SENT

#: What became of a message, where it is not just there: sent in a transaction that was aborted on purpose, refused by
#: the target, or given up without an answer.
Outcome = Literal["aborted", "refused", "unknown"]


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that determines the messages of a run and their target. The first line of the file ahead."""

    #: A name that no other run has.
    run: str
    seed: int
    target: str
    topic: str
    partitions: int
    #: Unix milliseconds at which the generator's clock began.
    start_ms: int
    #: How many there are to be; None is until it is stopped.
    events: int | None
    audience: Audience
    profile: Profile
    spread: str
    #: Kind -> its way of sending.
    ways: dict[str, str]
    #: Where the partitions of the target ended, where it can tell: in front of all messages of the run.
    ends: dict[int, int] = {}


class Change(Struct, frozen=True, tag="change"):
    """A new profile from message `number` on, whose instant is later than `after_s`."""

    number: int
    after_s: float
    profile: Profile


class Reach(Struct, frozen=True, tag="reach"):
    """Messages below `number` may be in flight."""

    number: int


class Past(NamedTuple):
    """The remains of an interrupted process of the run."""

    plan: Plan
    changes: list[Change]
    reach: int
    settled: frozenset[int]


class _Line(Struct):
    """The fields that are read back of a line."""

    n: int
    outcome: str = ""


class LedgerUnusable(Exception):
    """The files of a ledger exist already, are missing, or cannot be read. The message says what to do."""


_AHEAD: Final = ".ahead"
_plan = msgspec.json.Decoder(Plan)
_note = msgspec.json.Decoder(Change | Reach)
_line = msgspec.json.Decoder(_Line)


class Ledger:
    """The ledger of a run. Without a path it only counts."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._file = self._ahead = -1
        self._counts: dict[str, int] = {}
        #: Settled messages of this life by kind, and how many of them were refused or given up.
        self.sent: dict[str, int] = {}
        self.not_sent = 0

    def begin(self, plan: Plan) -> None:
        """Start the files of a new run. Raises LedgerUnusable, or OSError."""
        if self._path is None:
            return
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            raise LedgerUnusable(
                f"{self._path} is there already: name another file, or continue with --resume"
            ) from None
        self._ahead = os.open(_ahead(self._path), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o644)
        self._write_ahead(plan)

    def go_on(self) -> None:
        """Open the files of an interrupted run."""
        if self._path is not None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            self._ahead = os.open(_ahead(self._path), os.O_WRONLY | os.O_APPEND)

    def reach(self, number: int) -> None:
        """Note that messages below the number are about to be sent."""
        if self._ahead >= 0:
            self._write_ahead(Reach(number))

    def change(self, change: Change) -> None:
        """Note that the profile changes."""
        if self._ahead >= 0:
            self._write_ahead(change)

    def note(self, message: Message, position: bytes, outcome: Outcome | None = None) -> None:
        """Note the outcome of a message; `position` is JSON. `write` brings it into the file."""
        if outcome is None:
            self._counts[message.kind] = self._counts.get(message.kind, 0) + 1
        elif outcome != "aborted":
            self.not_sent += 1
        if self._file >= 0:
            self._lines.append(_rendered(message, position, outcome))

    def write(self) -> None:
        """Write all lines, and add the counts to the metrics."""
        for kind, count in self._counts.items():
            GENERATOR_SENT.labels(kind).inc(count)
            self.sent[kind] = self.sent.get(kind, 0) + count
        self._counts.clear()
        if self._lines:
            lines, self._lines = b"".join(self._lines), []
            _write(self._file, lines)

    def close(self, *, is_complete: bool) -> None:
        """Close the files. A complete run loses its file ahead."""
        self.write()
        for number in (self._file, self._ahead):
            if number >= 0:
                os.close(number)
        self._file = self._ahead = -1
        if is_complete and self._path is not None:
            _ahead(self._path).unlink(missing_ok=True)

    def _write_ahead(self, note: Plan | Change | Reach) -> None:
        _write(self._ahead, msgspec.json.encode(note) + b"\n")


def past(path: Path) -> Past:
    """Read what an interrupted run has left, and cut off an incomplete last line. Raises LedgerUnusable."""
    try:
        first, *notes = _whole_lines(_ahead(path))
        plan = _plan.decode(first)
        decoded = [_note.decode(note) for note in notes]
        settled = frozenset(line.n for line in map(_line.decode, _whole_lines(path)) if line.outcome != "aborted")
    except FileNotFoundError:
        raise LedgerUnusable(f"{path} is no ledger of a run that was interrupted: there is nothing to resume") from None
    except (ValueError, msgspec.DecodeError) as error:
        raise LedgerUnusable(f"{path} or {_ahead(path).name} cannot be read: {error}") from None
    changes = [note for note in decoded if isinstance(note, Change)]
    reach = max((note.number for note in decoded if isinstance(note, Reach)), default=0)
    return Past(plan, changes, reach, settled)


def _ahead(path: Path) -> Path:
    return path.with_name(path.name + _AHEAD)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Truncate a file behind its last newline, and yield its lines."""
    with path.open("r+b") as file:
        size = whole = file.seek(0, os.SEEK_END)
        while whole > 0:
            begin = max(0, whole - 4096)
            file.seek(begin)
            found = file.read(whole - begin).rfind(b"\n")
            if found >= 0:
                whole = begin + found + 1
                break
            whole = begin
        if whole < size:
            file.truncate(whole)
        file.seek(0)
        yield from file


def _rendered(message: Message, position: bytes, outcome: Outcome | None) -> bytes:
    number, kind, key, value, of = message
    middle = b"" if of is None else b',"of":%d' % of
    if outcome is not None:
        middle += b',"outcome":"%b"' % outcome.encode()
    content = b'"text":' + msgspec.json.encode(value.decode()) if kind == BROKEN_JSON else b'"event":' + value
    return b'{"n":%d,"kind":"%b","key":"%b"%b,"position":%b,%b}\n' % (
        number,
        kind.encode(),
        key,
        middle,
        position,
        content,
    )


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def summary(ledger: Ledger) -> Mapping[str, int]:
    """Return the messages of this process that the target has, by kind."""
    return dict(sorted(ledger.sent.items()))

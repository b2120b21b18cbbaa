"""Mend the logs of block ids before the engine opens its folder.

MergeTree appends the id of a block to `deduplication_logs/*.txt` of the table, and *then* gives its part the final
name. A process that is killed between the two leaves an id without rows: the repeat of that insert is acknowledged,
and dropped as a duplicate. The rows would be lost for ever.

    store/<3 digits>/<uuid>/<part>/...                                  partition_first_last_level[_mutation]
    store/<3 digits>/<uuid>/deduplication_logs/deduplication_log_1.txt  operation \t part \t block id, one per line

Both happen under one lock that also gives out the numbers of blocks (ClickHouse, MergeTreeSink.cpp and
MergeTreeDeduplicationLog.cpp), and these only grow within a table. So an id can be an orphan only if its part is newer
than the newest one on disk.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

#: The folder of a part; those that begin with `tmp_` or `delete_tmp_` are none yet, or none any more.
_PART = re.compile(r"^(?!tmp_|delete_tmp_).+_\d+_(?P<last>\d+)_\d+(?:_\d+)?$")
_ADDED, _DROPPED = "1", "2"


class RepairError(Exception):
    """The folder of ClickHouse cannot be looked through: another process has it open, or another version made it."""


def repair(folder: Path, *others: Path) -> int:
    """Forget the ids whose rows are missing, and return how many. Parts may also be in `others`, which are laid out
    like the folder. Raises RepairError."""
    with _no_engine(folder):
        return sum(
            _mend(logs, [other / logs.parent.relative_to(folder) for other in others])
            for logs in sorted(folder.glob("store/*/*/deduplication_logs"))
        )


@contextlib.contextmanager
def _no_engine(folder: Path) -> Iterator[None]:
    """Hold the lock that the engine takes, because its last id may belong to an insert that is under way. The engine
    takes the file away when it closes in order."""
    try:
        status = os.open(folder / "status", os.O_RDWR)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RepairError(f"{folder} is open in another process: stop that one first") from None
    finally:
        os.close(status)


def _mend(logs: Path, elsewhere: Iterable[Path]) -> int:
    files = sorted(logs.glob("deduplication_log_*.txt"), key=_number)
    tables = [logs.parent, *(table for table in elsewhere if table.is_dir())]
    newest = max(
        (_last_block(entry.name) for table in tables for entry in os.scandir(table) if entry.is_dir()), default=0
    )
    remembered: dict[str, str] = {}
    for file in files:
        for operation, part, block_id in _records(file):
            if operation == _DROPPED:
                remembered.pop(block_id, None)
            else:
                remembered[block_id] = part
    orphans = {block_id: part for block_id, part in remembered.items() if _last_block(part) > newest}
    if orphans:
        with files[-1].open("a") as log:
            log.writelines(f"{_DROPPED}\t{part}\t{block_id}\n" for block_id, part in orphans.items())
            log.flush()
            os.fsync(log.fileno())
    return len(orphans)


def _number(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def _last_block(part: str) -> int:
    """Return the newest block of a part; 0 if the name is not that of a part."""
    named = _PART.match(part)
    return int(named["last"]) if named else 0


def _records(file: Path) -> Iterator[tuple[str, str, str]]:
    """Return the records of a log. It loses an incomplete last line: the engine would ignore the log from there."""
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        os.truncate(file, len(whole))
    for line in whole.decode(errors="replace").splitlines():
        fields = line.split("\t")
        if len(fields) != 3 or fields[0] not in (_ADDED, _DROPPED) or not _last_block(fields[1]):
            raise RepairError(f"{file} has a form that this version does not know: {line[:80]!r}")
        yield fields[0], fields[1], fields[2]

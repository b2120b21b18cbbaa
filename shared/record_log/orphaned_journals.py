"""Journals of dead workers: whoever finds one that nobody holds sends what is in it, in order, and removes it.

The appends keep their (producer, seq). What the dead worker's log had taken already is a repeat to it.
"""

import asyncio
import random
from pathlib import Path

import structlog

from shared.errors import TooLarge
from shared.record_log import journal as journals
from shared.record_log.journal import Append, BadJournal, Journal
from shared.record_log.record_log import Log, ProducerRewound
from shared.runtime.backoff import Backoff
from shared.runtime.tasks import end
from shared.stores.failures import noted
from shared.telemetry.metrics import APPENDS, LOOP_ERRORS

#: Seconds between two looks at the folder.
_LOOK_S = (0.5, 1.0)
#: Seconds of the first and of the longest wait before an append is sent again.
_BACKOFF_S = (0.05, 1.0)

log = structlog.get_logger()


class Unsendable(Exception):
    """The log will never take an append as it is. The message is the log's own."""


class Orphans:
    """Send the journals of one folder that nobody holds. Await `start` in an event loop."""

    def __init__(self, folder: Path, to: Log) -> None:
        self._folder = folder
        self._log = to
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """End. A journal that was being sent is let go of, for the next one who looks."""
        if self._task is not None:
            await end(self._task)

    async def _follow(self) -> None:
        while True:
            for path in journals.paths(self._folder):
                try:
                    if (orphan := await asyncio.to_thread(Journal.adopt, path)) is not None:
                        await self._send_all(orphan)
                except Exception as error:  # whatever it is, it must not keep the others from being found
                    LOOP_ERRORS.labels("journals").inc()
                    log.exception("journals_failed", file=path.name, error=type(error).__name__)
            await asyncio.sleep(random.uniform(*_LOOK_S))  # noqa: S311 - jitter

    async def _send_all(self, orphan: Journal) -> None:
        sent = 0
        try:
            if any(append.partition >= self._log.partitions for append in orphan.appends()):
                journals.put_aside(orphan.path, "of more partitions than TALLYBOOK_LOG_PARTITIONS")
                return
            for append in orphan.appends():
                await self._send(append)
                sent += 1
            orphan.clear()
        except (BadJournal, Unsendable) as error:
            journals.put_aside(orphan.path, str(error))
        finally:
            orphan.close()
        if sent:
            log.info("journal_replayed", file=orphan.path.name, appends=sent)

    async def _send(self, append: Append) -> None:
        """Repeat the append until the log has it. Raises Unsendable."""
        backoff = Backoff(*_BACKOFF_S)
        while True:
            is_prepared = False
            try:
                await self._log.prepare(append.topic)
                is_prepared = True
                await self._log.append(
                    append.topic, append.partition, append.records, producer=append.producer, seq=append.seq
                )
            except ProducerRewound:  # the log has a later one, and those of a producer went there in order
                return
            except Exception as error:
                if is_prepared and isinstance(error, ValueError | TooLarge):
                    raise Unsendable(str(error)) from error
                APPENDS.labels("error").inc()
                log.debug("journal_waits", error=type(error).__name__, code=noted(error).code)
            else:
                APPENDS.labels("replayed").inc()
                return
            await asyncio.sleep(backoff.next_s())

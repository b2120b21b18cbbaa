"""Read an answer of the service: what it means for a batch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from tallybook_sdk.errors import is_retryable, problem_of, retry_after
from tallybook_sdk.models import Counted, Taken
from tallybook_sdk.sending.batch import CLICKS, Batch, Instant


class Answer(NamedTuple):
    """An answer of the service: names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Failure(NamedTuple):
    """No answer. `is_attempt` is False if the request cannot have reached the service."""

    is_attempt: bool
    detail: str


class Settled(NamedTuple):
    """Every item has an outcome. Duplicates and rejected items are named by their index."""

    duplicates: list[int]
    rejected: list[tuple[int, str, str, str]]


class Split(NamedTuple):
    """The batch as a whole was refused, because of an item or its size."""

    code: str
    detail: str


class Paused(NamedTuple):
    """The route takes nothing until the settings are mended."""

    state: str
    detail: str


class Repeat(NamedTuple):
    """Nobody knows, or it is too early: send the same bytes again."""

    retry_after_s: float | None
    is_attempt: bool
    detail: str


Verdict = Settled | Split | Paused | Repeat

_COUNTED, _TAKEN = msgspec.json.Decoder(Counted), msgspec.json.Decoder(Taken)


def verdict(batch: Batch, answer: Answer | Failure, now: Instant) -> Verdict:
    """Return what an answer means for a batch."""
    if isinstance(answer, Failure):
        return Repeat(None, answer.is_attempt, answer.detail)
    status = answer.status
    if 200 <= status < 300:
        try:
            return _settled(batch, answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, IndexError) as error:
            return Repeat(retry_after(answer.headers, now.wall), True, f"{status} with an unreadable body: {error}")
    problem = problem_of(status, answer.headers, answer.body, now.wall)
    if is_retryable(status):
        is_attempt = status >= 500 and problem.code != "busy"
        return Repeat(problem.retry_after_s, is_attempt, str(problem))
    if status == 422 and (named := _named(batch, problem.errors)):
        return named
    if status in (413, 422) or problem.code == "malformed":
        return Split(problem.code or ("too_large" if status == 413 else "invalid"), problem.detail)
    return Paused("unauthorized" if status in (401, 403) else "misconfigured", str(problem))


def _settled(batch: Batch, body: bytes) -> Settled:
    """Return the outcome of a 2xx. Raises ValueError for an answer to something else."""
    if batch.route is CLICKS:
        counted = _COUNTED.decode(body)
        rejected = [(fault.index, fault.code, fault.pointer, fault.detail) for fault in counted.errors]
        if (
            counted.items != batch.items
            or counted.accepted + len(counted.duplicates) + len(rejected) != batch.items
            or not all(0 <= index < batch.items for index in (*counted.duplicates, *(r[0] for r in rejected)))
        ):
            raise ValueError("the numbers do not fit to what was sent")
        return Settled(counted.duplicates, rejected)
    results = _TAKEN.decode(body).results
    if len(results) != batch.items:
        raise ValueError(f"{len(results)} results for {batch.items} events")
    settled = Settled([], [])
    for index, result in enumerate(results):
        if result.status == "duplicate":
            settled.duplicates.append(index)
        elif result.status != "accepted":
            settled.rejected.append((index, result.code or result.status, result.pointer, result.detail))
    return settled


def _named(batch: Batch, errors: list[Mapping[str, Any]]) -> Settled | None:
    """Return the outcome of a 422 that names every item, or None."""
    found = {}
    for error in errors:
        index = error.get("index")
        if type(index) is not int or not 0 <= index < batch.items:
            return None
        found[index] = (index, *(str(error.get(name, "")) for name in ("code", "pointer", "detail")))
    return Settled([], list(found.values())) if len(found) == batch.items else None  # type: ignore[arg-type]

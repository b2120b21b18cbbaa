"""The errors that this package raises.

TallybookError
|-- NotConfigured      no URL was given, or one that cannot be used
|-- QueueFull          the queue is full, and `on_full="raise"`
|-- Unreachable        no answer of the service: nobody knows whether it did the request
`-- Problem            the service answered with an error: decide by `code`
    |-- Unauthorized   401
    |-- Forbidden      403
    |-- Invalid        400, 413 and 422: correct the request
    |-- Limited        429: repeat after `retry_after_s`
    `-- Unavailable    408, 409 and 5xx: repeat later

Recording raises none of them, except QueueFull where it was asked for. Reads and `upload` raise the others.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

#: Seconds that a `Retry-After` is believed at most.
RETRY_AFTER_MAX_S = 600.0


class TallybookError(Exception):
    """Something went wrong; the message says what to do."""


class NotConfigured(TallybookError):
    """No usable URL: give `url`, or set TALLYBOOK_URL. `off` makes a client that drops everything."""


class QueueFull(TallybookError):
    """The queue is full, so the record was dropped. It is in the report under `queue_full`."""


class Unreachable(TallybookError):
    """The service did not answer. It may have done the request or not."""


class Problem(TallybookError):
    """The service refused the request. `code` is the stable name of the reason, `detail` is for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.request_id, self.retry_after_s = list(errors), request_id, retry_after_s
        super().__init__(f"{status} {code}: {detail}" + (f" (request {request_id})" if request_id else ""))

    @property
    def retryable(self) -> bool:
        """Return whether the same request may succeed later."""
        return is_retryable(self.status)


class Unauthorized(Problem):
    """The key is missing or no good."""


class Forbidden(Problem):
    """The key is good, but not for this route."""


class Invalid(Problem):
    """The request is at fault. Correct it; repeating it does not help."""


class Limited(Problem):
    """Too many requests. Repeat this one after `retry_after_s`."""


class Unavailable(Problem):
    """The service cannot do it now. Repeat the request after `retry_after_s`."""


class _Body(msgspec.Struct):
    """The members of RFC 9457 that are used here."""

    code: str
    detail: str = ""
    errors: list[dict[str, Any]] = []
    request_id: str = msgspec.field(name="requestId", default="")


_BODY = msgspec.json.Decoder(_Body)
_BY_STATUS: dict[int, type[Problem]] = {401: Unauthorized, 403: Forbidden, 429: Limited, 408: Unavailable}
_BY_STATUS |= {409: Unavailable, 400: Invalid, 413: Invalid, 422: Invalid}


def is_retryable(status: int) -> bool:
    """Return whether a request that was answered with this status is worth repeating."""
    return status in (408, 409, 429) or status >= 500


def problem_of(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Problem:
    """Return the error of an answer, also of a proxy's that is no problem+json. `now` is in Unix seconds."""
    try:
        read = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        read = _Body("", f"The answer is no problem+json: {body[:100].decode('ascii', 'replace')}")
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else Problem)
    return kind(
        status,
        read.code,
        read.detail,
        errors=read.errors,
        request_id=read.request_id or headers.get("x-request-id", ""),
        retry_after_s=retry_after(headers, now),
    )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of `Retry-After`, which may be a number or a date; None if there is none."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            moment = parsedate_to_datetime(text)
            seconds = _aware(moment).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)

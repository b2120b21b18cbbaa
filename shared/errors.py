"""Every error that a user of tallybook can meet.

    TallybookError                     status  code                   retryable
      Malformed                        400     malformed
        ForeignHost                    400     foreign_host
      Unauthorized                     401     unauthorized
      Forbidden                        403     forbidden
        ForeignRequest                 403     foreign_request
      UnknownSite                      403     unknown_site
      NotFound                         404     not_found
        UnknownBanner                  404     unknown_banner
        UnknownTracker                 404     unknown_tracker
        UnknownLink                    404     unknown_link
      MethodNotAllowed                 405     method_not_allowed
      BodyTimeout                      408     body_timeout            yes
      Conflict                         409     conflict                yes
      LinkGone                         410     link_gone
      TooLarge                         413     too_large
      UnsupportedMediaType             415     unsupported_media_type
      Invalid                          422     invalid
      Limited                          429     limited                 yes
        TooManyNewBanners              429     too_many_new_banners    yes
      Unexpected                       500     unexpected              yes
      Unavailable                      503     unavailable             yes
        LanesFull                      503     lanes_full              yes
        RedisUnavailable               503     redis_unavailable       yes
        PostgresUnavailable            503     postgres_unavailable    yes
        LogFull                        503     log_full                yes
        LogUnavailable                 503     log_unavailable         yes
        JournalFull                    503     journal_full            yes
        ClickHouseUnavailable          503     clickhouse_unavailable  yes
        Busy                           503     busy                    yes

A class docstring is the message that a client reads and says what to do; `detail` adds the particulars of one case.
`ingest.http.problems` turns this tree into RFC 9457 `application/problem+json`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

#: Seconds a client is asked to wait before it repeats a request that could not be served now.
RETRY_AFTER_S = 1


class TallybookError(Exception):
    """Something went wrong. Report it with the request id."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or self.title()
        self.errors = list(errors)
        self.retry_after_s = retry_after_s if retry_after_s is not None or not self.retryable else RETRY_AFTER_S
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    @classmethod
    def title(cls) -> str:
        """The docstring as one line."""
        return " ".join((cls.__doc__ or "").split())

    def problem(self) -> dict[str, Any]:
        """The members of RFC 9457, the type relative to the root of the service."""
        problem: dict[str, Any] = {
            "type": f"docs/errors#{self.code}",
            "title": self.title(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return {**problem, "errors": self.errors} if self.errors else problem


class Malformed(TallybookError):
    """The request cannot be read as what this route takes. Correct it; repeating it will not help."""

    status, code = 400, "malformed"


class ForeignHost(Malformed):
    """Without keys this route answers under names of loopback. Name another host in TALLYBOOK_ALLOWED_HOSTS."""

    code = "foreign_host"


class Unauthorized(TallybookError):
    """This route needs a key. Send it in the Authorization header."""

    status, code = 401, "unauthorized"


class Forbidden(TallybookError):
    """The key is good, but not for this route. Use one with the scope that it needs."""

    status, code = 403, "forbidden"


class ForeignRequest(Forbidden):
    """Without keys this route answers programs of this host only. Set TALLYBOOK_KEYS=required and use a key."""

    code = "foreign_request"


class UnknownSite(TallybookError):
    """No site has the origin of this page, so nothing was counted. Add its host with `tallybook sites add` or `set`."""

    status, code = 403, "unknown_site"


class NotFound(TallybookError):
    """There is nothing at this address. See /docs for the routes."""

    status, code = 404, "not_found"


class UnknownBanner(NotFound):
    """This banner is not registered, so the click was not counted. Add it with `tallybook banners add`."""

    code = "unknown_banner"


class UnknownTracker(NotFound):
    """There is no tracker of this id, so the hit was not counted. Add it with `tallybook trackers add`."""

    code = "unknown_tracker"


class UnknownLink(NotFound):
    """There is no link of this name. Add it with `tallybook links add`."""

    code = "unknown_link"


class MethodNotAllowed(TallybookError):
    """This address does not answer this method. The Allow header names those that it answers."""

    status, code = 405, "method_not_allowed"


class BodyTimeout(TallybookError):
    """The body did not arrive in time, so nothing was counted. Send it again over a better connection."""

    status, code, retryable = 408, "body_timeout", True


class Conflict(TallybookError):
    """Another request with the same key is being answered. Repeat this one after Retry-After seconds."""

    status, code, retryable = 409, "conflict", True


class LinkGone(TallybookError):
    """This link leads nowhere any more: it is switched off or over, or its clicks are used up. Nothing was counted."""

    status, code = 410, "link_gone"


class TooLarge(TallybookError):
    """The body is larger than this route takes, so nothing was counted. Send less at once."""

    status, code = 413, "too_large"


class UnsupportedMediaType(TallybookError):
    """This route does not read bodies of this type or encoding. Send one that it takes; `detail` says which."""

    status, code = 415, "unsupported_media_type"


class Invalid(TallybookError):
    """The request is well formed, but a value is outside what is allowed. `errors` says which."""

    status, code = 422, "invalid"


class Limited(TallybookError):
    """Too many requests. Repeat this one after Retry-After seconds."""

    status, code, retryable = 429, "limited", True


class TooManyNewBanners(Limited):
    """Too many different banners in this minute, so the click was not counted. Repeat it after Retry-After seconds."""

    code = "too_many_new_banners"


class Unexpected(TallybookError):
    """Something broke on our side. Repeat the request; if it fails again, report it with the request id."""

    status, code, retryable = 500, "unexpected", True


class Unavailable(TallybookError):
    """The promise cannot be kept now. Repeat the request after Retry-After seconds; a click only under its key."""

    status, code, retryable = 503, "unavailable", True


class LanesFull(Unavailable):
    """The click buffer is full, because Redis has been away for long. The click was not counted; repeat it later."""

    code = "lanes_full"


class RedisUnavailable(Unavailable):
    """Redis does not answer. Repeat later: a click only under its key, as it may be counted; a read with partial."""

    code = "redis_unavailable"


class PostgresUnavailable(Unavailable):
    """Postgres does not answer, so an exact result is not possible now. Repeat later, or read with partial=true."""

    code = "postgres_unavailable"


class LogFull(Unavailable):
    """The record log is full, because a store behind it has been away for long. Nothing was stored; repeat it later."""

    code = "log_full"


class LogUnavailable(Unavailable):
    """The record log does not answer, so the records may be stored or not. Repeat later, under the same ids."""

    code = "log_unavailable"


class JournalFull(Unavailable):
    """The record log is away and its journal on the disk is full, so nothing was stored. Repeat it later."""

    code = "journal_full"


class ClickHouseUnavailable(Unavailable):
    """ClickHouse does not answer, so its rows cannot be counted now. None is lost by that; repeat the request later."""

    code = "clickhouse_unavailable"


class Busy(Unavailable):
    """As many requests as allowed are being worked on. Repeat this one after Retry-After seconds."""

    code = "busy"


class SchemaError(Exception):
    """The schema of this database was made by another version of tallybook. Run the version that made it, or a newer
    one."""

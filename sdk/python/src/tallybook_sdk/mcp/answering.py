"""Ask the routes of a tool, bound the answer, and say whether it is complete.

A result is `{"request": "GET /stats/...", "answer": <the JSON of the route>, "complete": true}`, or has several of
these pairs under `parts`. Nothing is left out silently: `left_out` says what and how to get it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec
from msgspec import structs

from tallybook_sdk import calls
from tallybook_sdk.calls import Call
from tallybook_sdk.errors import Problem, TallybookError
from tallybook_sdk.mcp import tools
from tallybook_sdk.mcp.catalogue import METRICS
from tallybook_sdk.mcp.text import harmless
from tallybook_sdk.mcp.tools import Query, Tool

#: Characters of an answer, as a model reads it.
TEXT_MAX = 24_000
#: How often a list that is too long is asked for again, shorter.
_SHORTER_MAX = 4

Ask = Callable[[Call[Any]], Awaitable[Any]]


class Refused(Exception):
    """An error as the service gives them: `code`, `detail`, and more where there is more."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem, _ = harmless(dict(problem))
        super().__init__(problem["code"])


async def result_of(name: str, arguments: Mapping[str, Any], ask: Ask) -> dict[str, Any]:
    """Return the result of a tool. Raises Refused."""
    given = {key: one for key, one in arguments.items() if one is not None}
    try:
        tool = msgspec.convert(given, tools.TOOLS[name])
    except msgspec.ValidationError as error:
        raise Refused({"code": "invalid", "status": 422, "detail": str(error)}) from None
    for _ in range(_SHORTER_MAX):
        found = await _Asked(tool, ask).result()
        size = len(encoded(found))
        if size <= TEXT_MAX:
            return found
        tool = _shorter(tool, found, size)
    raise _too_large(tool, size)


def encoded(value: Any) -> str:
    """Return the text of a result: compact, as indentation would be a quarter of it."""
    return msgspec.json.encode(value).decode()


async def scopes_of(ask: Ask) -> frozenset[str] | None:
    """Return what the key is good for; None if no key is needed, or nobody knows."""
    try:
        scopes = (await ask(Call(dict[str, Any], "/limits"))).get("scopes")
    except TallybookError:
        return None
    return None if scopes is None else frozenset(scopes)


class _Asked:
    """One call of a tool under way."""

    def __init__(self, tool: Tool, ask: Ask) -> None:
        self._tool, self._ask = tool, ask
        self._left_out: list[str] = []
        self._cut = 0

    async def result(self) -> dict[str, Any]:
        """Return the result. Raises Refused."""
        if isinstance(self._tool, tools.ListMetrics):
            return {"answer": METRICS, "complete": True}
        try:
            queries = self._tool.queries(datetime.now(timezone.utc))
        except tools.Invalid as error:
            raise Refused({"code": "invalid", "status": 422, "detail": str(error)}) from None
        if isinstance(self._tool, tools.DataQuality):
            queries = await self._allowed(queries)
        parts = dict(zip(queries, await asyncio.gather(*map(self._part, queries.values())), strict=True))
        if isinstance(self._tool, tools.ListBanners):
            parts |= await self._names(parts)
        found = parts[""] if "" in parts else {"parts": parts, **self._more(parts)}
        if self._cut:
            self._left_out.append(f"texts were cut ({self._cut}); each says how much")
        return {**found, "complete": not self._left_out} | ({"left_out": self._left_out} if self._left_out else {})

    async def _part(self, query: Query) -> dict[str, Any]:
        call = Call(dict[str, Any], query.path, query.parameters, also=_ALSO.get(query.path, frozenset()))
        request = f"GET {call.path}"
        try:
            answer = await self._ask(call)
        except TallybookError as error:
            problem = _problem(error)
            if not isinstance(self._tool, tools.DataQuality):
                raise Refused(problem) from None
            self._left_out.append(f"{query.path} did not answer")
            return {"request": request, "problem": harmless(problem)[0]}
        following = answer.pop("next", None)
        answer, cut = harmless(answer)
        self._cut += cut
        if following is not None:  # a cursor is no text of a user, and has to stay whole
            answer["next"] = following
        self._look(query, answer)
        return {"request": request, "answer": answer}

    def _look(self, query: Query, answer: Mapping[str, Any]) -> None:
        """Note what the answer itself leaves out."""
        limit = dict(query.parameters).get("limit")
        if "next" in answer:
            self._left_out.append(f"more {query.many or 'entries'} follow: go on with `cursor` = `next`")
        elif query.many and limit is not None and len(answer.get(query.many, ())) == limit:
            self._left_out.append(f"{query.many} beyond the first {limit}, if there are any: raise `limit`")
        if answer.get("partial"):
            self._left_out.append(f"what is in {', '.join(answer.get('missing', ['a store']))}, which is away")

    async def _allowed(self, queries: dict[str, Query]) -> dict[str, Query]:
        scopes = await scopes_of(self._ask)
        denied = {name: scope for name, scope in tools.PARTS.items() if not tools.is_allowed(scope, scopes)}
        self._left_out += [f"{queries[name].path} needs the scope {scope}" for name, scope in denied.items()]
        return {name: one for name, one in queries.items() if name not in denied}

    async def _names(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the names of the banners that were clicked."""
        clicked = [one["bannerId"] for one in parts.get("clicks", {}).get("answer", {}).get("banners", ())]
        if not clicked:
            return {}
        ids = ",".join(map(str, clicked))
        return {"names": await self._part(Query("/banners", [("ids", ids), ("limit", len(clicked))]))}

    def _more(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `compare` adds: difference and ratio of every total."""
        if not isinstance(self._tool, tools.Compare):
            return {}
        now, former = (totals(parts[name]["answer"]) for name in ("range", "former"))
        both = [name for name in now if name in former]
        return {
            "difference": {name: round(now[name] - former[name], 6) for name in both},
            "ratio": {name: round(now[name] / former[name], 6) if former[name] else None for name in both},
        }


#: Statuses beside 2xx whose bodies are answers, by path.
_ALSO = {"/health/ready": calls.ready().also}
#: Numbers of an answer that are no totals.
_NO_TOTALS = ("bannerId", "error")


def totals(answer: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the totals of an answer by name: its numbers, those of `total` and `totals`, and those of each banner."""
    found: dict[str, float] = {}
    for name, one in answer.items():
        if type(one) in (int, float) and name not in _NO_TOTALS:
            found[prefix + name] = one
        elif name in ("total", "totals") and isinstance(one, dict):
            found |= totals(one, f"{prefix}{name}.")
        elif name == "banners" and isinstance(one, list):
            for banner in one:
                found |= totals(banner, f"banner {banner['bannerId']}: ")
    return found


# -- what is too much --------------------------------------------------------------------------------------------------


def _longest(found: Mapping[str, Any]) -> tuple[str, int, int]:
    """Return the list that takes the most room: its name, its length and its characters."""
    parts = found.get("parts", {"": found})
    lists = [
        (name, len(one), len(encoded(one)))
        for part in parts.values()
        for name, one in part.get("answer", {}).items()
        if isinstance(one, list)
    ]
    return max(lists, key=lambda one: one[2], default=("", 0, 0))


def _shorter(tool: Tool, found: Mapping[str, Any], size: int) -> Tool:
    """Return the tool with a limit that fits. Raises Refused if `limit` does not bound what is long."""
    name, length, room = _longest(found)
    bounds = {query.many for query in tool.queries(datetime.now(timezone.utc)).values()}
    if name not in bounds or length < 2:
        raise _too_large(tool, size)
    fits = int(length * max(0.0, 0.95 * (TEXT_MAX - (size - room)) / room))
    if not fits:
        raise _too_large(tool, size)
    return structs.replace(tool, limit=min(fits, length - 1))


def _too_large(tool: Tool, size: int) -> Refused:
    """Return the error of an answer that does not fit, with what does."""
    advice = f"ask for about {max(1, int(95 * TEXT_MAX / size))} % of it at a time"
    step = getattr(tool, "step", None)
    if step in _COARSER:
        advice = f"use step={_COARSER[step]}, or {advice}"
    detail = f"The answer has {size:,} characters, and {TEXT_MAX:,} are allowed: {advice}."
    return Refused({"code": "too_large", "status": 413, "detail": detail})


_COARSER = {"minute": "hour", "hour": "day"}


def _problem(error: TallybookError) -> dict[str, Any]:
    """Return an error in the words of the service."""
    if not isinstance(error, Problem):
        return {"code": "unreachable", "detail": f"The service did not answer. {error}", "retryable": True}
    found = {"code": error.code, "status": error.status, "detail": error.detail, "retryable": error.retryable}
    more = {"errors": error.errors, "requestId": error.request_id, "retryAfterS": error.retry_after_s}
    return found | {name: one for name, one in more.items() if one}

"""Count the clicks and impressions of a request, each once.

Their keys are remembered for one to two windows (`TALLYBOOK_IDEMPOTENCY_WINDOW_S`). An item that is older than half a
window is refused, so its last attempt comes well before the first one is forgotten.
"""

from collections.abc import Collection, Sequence

from ingest.clicks.bulk import keyed_click
from ingest.collect.items import AGE_MAX_MS, BannerItem, Click, ItemFault, Served, Viewable, fault
from ingest.state import State
from shared.counting import cells
from shared.counting.keyed import KeyedClick
from shared.settings import Settings

#: The kind of each type of item, and what names an item of it beside the banner and the view.
_KINDS: dict[type, tuple[int, bytes]] = {
    Click: (cells.CLICK, b"web.click"),
    Served: (cells.SERVED, b"web.served"),
    Viewable: (cells.VIEWABLE, b"web.viewable"),
}


def age_max_ms(settings: Settings) -> int:
    """Return the largest age of an item, in milliseconds."""
    return min(AGE_MAX_MS, settings.idempotency_window_s * 500)


async def refused(state: State, items: Sequence[tuple[int, BannerItem]]) -> list[ItemFault]:
    """Return the items whose banners do not count. Raise PostgresUnavailable or Busy if nobody can say."""
    refusals = await state.banners.refusals({item.banner for _, item in items})
    for error in refusals.values():
        if error.retryable:
            raise error
    return [
        fault(index, refusals[item.banner].code, "/b", refusals[item.banner].detail)
        for index, item in items
        if item.banner in refusals
    ]


async def count(state: State, items: Collection[BannerItem], now: float, *, is_machine: bool) -> list[bool]:
    """Count the items. Return for each whether it is new; the others were counted before, or stand here twice.

    Raise TooManyNewBanners, and then nothing was counted. Raise RedisUnavailable, and then some may have been; a repeat
    counts the others.
    """
    minute = state.counter.minute()
    for item in items:
        state.counter.admit(minute, item.banner)
    minute_s = state.settings.minute_s
    return await state.keyed.count([_named(item, now, minute_s, is_machine=is_machine) for item in items])


def _named(item: BannerItem, now: float, minute_s: int, *, is_machine: bool) -> KeyedClick:
    """Return an item under its name: a click by its number in the view, an impression by the view alone."""
    kind, source = _KINDS[type(item)]
    cell = cells.cell(kind + cells.MACHINE * is_machine, int(now - item.t / 1000) // minute_s)
    name = f"{item.v}.{item.n}" if kind == cells.CLICK else str(item.v)
    return keyed_click(source, cell, item.banner, 1, name)

"""Return the sites whose pages may report, page by page."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.http.json_answers import as_json
from ingest.registries.page import Page
from ingest.registries.words import pattern
from ingest.state import Request
from shared.collect.sites import HOST_MAX, SiteSettings
from shared.stores.postgres import rows, statement

#: Characters of a text to search for.
WORDS_MOST = HOST_MAX

_PAGE_SQL = statement("ingest/registries/sites.page.sql")
#: The place of a cursor: the last name of a page.
_Last = Annotated[str, Meta(max_length=64)]


class Site(Struct, kw_only=True, rename="camel"):
    """A site."""

    site: str
    timezone: Annotated[str, Meta(description="The zone in which its days begin")]
    hosts: Annotated[list[str], Meta(description="Hosts whose pages may report; `*.` stands for subdomains")]
    visitors: (
        Annotated[Literal["daily", "none"], Meta(description="Whether visitors of a day are told apart")] | UnsetType
    )
    created_at: Annotated[datetime, Meta(tz=True, description="When it was added, in UTC")]


class Sites(Struct):
    """A page of sites, in the order of their names."""

    sites: list[Site]
    next: Annotated[str, Meta(description="The `cursor` of the next page; absent on the last one")] | UnsetType = UNSET


async def sites(request: Request) -> Response:
    """Return a page of the sites."""
    asked = Page(request, WORDS_MOST, _Last, "")
    of = asked.words
    found = await rows(request.state.pool, _PAGE_SQL, asked.last, of, pattern(of), asked.limit + 1)
    return as_json(Sites(*asked.cut(found, _site, lambda site: site.site)))


def _site(row: Any) -> Site:
    return Site(
        site=row["site"],
        timezone=row["timezone"],
        hosts=row["hosts"],
        visitors=_visitors(row["settings"]),
        created_at=row["created_at"],
    )


def _visitors(settings: str) -> Literal["daily", "none"] | UnsetType:
    """Return what settings say of visitors; nothing for settings that are none, which workers refuse as well."""
    try:
        return msgspec.json.decode(settings, type=SiteSettings).visitors
    except msgspec.ValidationError:
        return UNSET

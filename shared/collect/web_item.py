"""Hold an item of a web page as a record: ingest writes it, the aggregator reads it."""

from msgspec import Struct

#: The topic of views, leaves, events and links out.
TOPIC = "web"


class WebItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The columns of `web_items`, without the place in the record log that the row came from.

    No address and no user agent is among them. `day` is of the site's zone and `date` of UTC. `visitor` is a pseudonym
    of one day and one site, 0 where nobody is known; `visitor_before` is that of the day before, in the first half hour
    of a day. `bot` says why it is taken for a machine's, and is empty for a person.
    """

    date: str
    day: str
    time: str
    site: str
    kind: str
    view: str
    n: int
    visitor: int
    visitor_before: int
    bot: str
    host: str = ""
    path: str = ""
    referrer: str = ""
    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""
    ad: str = ""
    click_id: str = ""
    banner: int = 0
    name: str = ""
    properties: str = ""
    target: str = ""
    engaged_ms: int = 0
    country: str = ""
    device: str = ""
    browser: str = ""
    os: str = ""

"""Hold a hit of a tracker as a record: ingest writes it, the aggregator reads it."""

from msgspec import Struct

#: The topic of hits.
TOPIC = "hits"


class Hit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The columns of `tracker_events`, without the place in the record log that the row came from. Texts are left to
    ClickHouse, which reads them anyhow."""

    date: str
    date_time: str
    event_id: str
    tracker_id: str
    ip: str
    user_id: str
    user_agent: str
    url: str
    value: str
    is_bot: bool

"""Say of each variable that is no setting any more what became of it."""

_LIMIT = "The HTTP interface fixes this limit"
_WAIT = "Set TALLYBOOK_SINK_WAIT_S, which holds for all records."
_UNSET = "Unset it"
_COOKIE = "Set TALLYBOOK_COOKIE, which has all attributes: Max-Age=34560000; Secure; HttpOnly; SameSite=None."
_KEPT = "Set {}=... in TALLYBOOK_RETENTION_DAYS, which has the days of every kind."
_BURST = "A second's worth may come at once, and {} at least"

#: Sentences by variable: the value that holds now, and what to set instead.
REMOVED = {
    "TALLYBOOK_BODIES_MAX": f"A worker reads 512 bodies at a time per kind of route. {_UNSET}.",
    "TALLYBOOK_BODY_MAX_BYTES": f"{_LIMIT} at 65,536 bytes. {_UNSET}.",
    "TALLYBOOK_BODY_TIMEOUT_S": f"A body has 10 seconds to arrive. {_UNSET}.",
    "TALLYBOOK_BULK_BODY_MAX_BYTES": f"{_LIMIT} at 1 MiB. Unset it, and send larger requests in parts.",
    "TALLYBOOK_BULK_ITEMS_MAX": f"{_LIMIT} at 10,000 items. Unset it, and send larger requests in parts.",
    "TALLYBOOK_CLICKHOUSE_THREADS": "The embedded ClickHouse runs 4 statements at a time. "
    "For more set TALLYBOOK_CLICKHOUSE_URL to a server.",
    "TALLYBOOK_COOKIE_DOMAIN": _COOKIE,
    "TALLYBOOK_COOKIE_HTTP_ONLY": _COOKIE,
    "TALLYBOOK_COOKIE_MAX_AGE_S": _COOKIE,
    "TALLYBOOK_COOKIE_SAME_SITE": _COOKIE,
    "TALLYBOOK_COOKIE_SECURE": _COOKIE,
    "TALLYBOOK_DRAIN_INTERVAL_MS": f"A busy lane is drained every 50 milliseconds. {_UNSET}.",
    "TALLYBOOK_DRAIN_TIMEOUT_S": f"A stop waits up to 30 seconds for requests and the last drain. {_UNSET}.",
    "TALLYBOOK_EVENTS_BLOCKS_MAX": "A partition holds a tenth of TALLYBOOK_LOG_RECORDS_MAX blocks of events. Set that.",
    "TALLYBOOK_EVENTS_BODY_MAX_BYTES": f"{_LIMIT} at 5 MiB. Unset it, and send larger uploads in parts.",
    "TALLYBOOK_EVENTS_COLD_CACHE_BYTES": f"What was read from S3 is cached in 4 GiB of the data folder. {_UNSET}.",
    "TALLYBOOK_EVENTS_MAX": f"{_LIMIT} at 10,000 events. Unset it, and send larger uploads in parts.",
    "TALLYBOOK_EVENTS_WINDOW_S": f"Repeated events are reported for 3,600 seconds, and stored once for ever. {_UNSET}.",
    "TALLYBOOK_EVENT_DEPTH_MAX": f"Properties have at most 4 levels. {_UNSET}.",
    "TALLYBOOK_EVENT_FUTURE_S": f"An event may lie 86,400 seconds ahead. {_UNSET}.",
    "TALLYBOOK_EVENT_PROPERTIES_MAX": "Properties have 64 names and items, or more: one per 128 bytes. "
    "Set TALLYBOOK_EVENT_PROPERTIES_BYTES_MAX.",
    "TALLYBOOK_EVENT_RETENTION_DAYS": _KEPT.format("events"),
    "TALLYBOOK_GRACE_S": f"A minute is closed 2 seconds after its end. {_UNSET}.",
    "TALLYBOOK_JWT_SECRET": "The secret of HS256 is in TALLYBOOK_JWT_KEYS. Set that, or it with _FILE.",
    "TALLYBOOK_KEYED_LIMIT_PER_S": "An address without an API key may send a worker 1,000 clicks with a key or an "
    "id per second. Set TALLYBOOK_KEYS, and give an API key to a client that sends more.",
    "TALLYBOOK_KEY_RATE_LIMIT_BURST": f"{_BURST.format('1,000')}. Set TALLYBOOK_KEY_RATE_LIMIT_PER_S.",
    "TALLYBOOK_LANE_ENTRIES": "A page of a lane has 1,024 entries. Set TALLYBOOK_LANE_PAGES.",
    "TALLYBOOK_LOG_WAITING_BYTES_MAX": f"Records that wait for the record log may have 16 MiB per worker. {_UNSET}.",
    "TALLYBOOK_LOG_WAITING_MAX": f"10,000 records per worker may wait for the record log. {_UNSET}.",
    "TALLYBOOK_MINUTE_S": f"A minute has 60 seconds. {_UNSET}.",
    "TALLYBOOK_OUTBOX_ROWS": f"An insert has at most 10,000 entries of the outbox. {_UNSET}.",
    "TALLYBOOK_OUTBOX_WAIT_S": _WAIT,
    "TALLYBOOK_PAGES_WAIT_S": _WAIT,
    "TALLYBOOK_POSTGRES_TIMEOUT_S": f"A query of Postgres fails after 15 seconds. {_UNSET}.",
    "TALLYBOOK_RATE_LIMIT_BURST": f"{_BURST.format(100)}. Set TALLYBOOK_RATE_LIMIT_PER_S.",
    "TALLYBOOK_REDIS_TIMEOUT_S": f"A call of Redis fails after 2 seconds. {_UNSET}.",
    "TALLYBOOK_SENTRY_TRACES_SAMPLE_RATE": "One batch in a hundred becomes a trace. Sample further in Sentry itself.",
    "TALLYBOOK_SINK_LEASE_S": f"Partitions of a silent aggregator change hands after 10 seconds. {_UNSET}.",
    "TALLYBOOK_SINK_ROWS": "An insert has at most 25,000 records of a partition. Set TALLYBOOK_SINK_WAIT_S.",
    "TALLYBOOK_SKEW_MAX_S": f"The timestamp of a bulk item may lie 60 seconds ahead. {_UNSET}.",
    "TALLYBOOK_TRACKER_RETENTION_DAYS": _KEPT.format("hits"),
    "TALLYBOOK_WEB_RETENTION_DAYS": _KEPT.format("web"),
}

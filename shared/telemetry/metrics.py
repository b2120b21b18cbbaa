"""Define every metric of every process.

Labels are closed sets: a route's template, an outcome, a reason; never an id or anything that a client sent. Processes
that `tallybook up` starts keep their figures in files (`shared/telemetry/metric_slots.py`), which the parent merges and
serves; any other process keeps them in memory. What the lanes themselves know is in `tallybook/metrics/lanes.py`.
"""

import os
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from shared.telemetry.metric_slots import use_slots

use_slots(os.environ)

#: Reasons for which a click was not counted.
REASONS: Final = (
    "malformed",
    "too_large",
    "unknown_banner",
    "limited",
    "too_many_new_banners",
    "lanes_full",
    "redis",
    "timeout",
    "invalid",
)

#: Reasons for which a hit was not counted.
HIT_REASONS: Final = (
    "malformed",
    "unknown_tracker",
    "limited",
    "busy",
    "log_full",
    "log_unavailable",
    "journal_full",
    "postgres",
)

#: Kinds of items that pages report.
COLLECT_KINDS: Final = ("click", "served", "viewable", "view", "leave", "event", "out")
#: What becomes of a request for a redirect link: counted as a click of a person or of a machine, or not counted.
LINK_OUTCOMES: Final = ("person", "machine", "head", "prefetch", "unknown", "gone", "refused")

#: What becomes of a request to a route that needs a key.
KEY_OUTCOMES: Final = ("ok", "missing", "invalid", "forbidden", "limited", "unavailable")

#: Upper bounds in seconds: of a request, where a click takes tens of microseconds on the server and a read some
#: milliseconds; the alert on the 95th percentile needs 0.2.
_HTTP_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5)
#: Of a page on its way to Redis, with its repeats: about 1 ms with an fsync, hours when Redis is away.
_DRAIN_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300)
#: Of a flush into Postgres: 100,000 rows take about a second.
_FLUSH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: Rows: a batch is cut by time when little comes, and by 25,000 rows when much does.
_BATCH_BUCKETS = (1, 10, 100, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000)

HTTP_REQUESTS = Counter(
    "tallybook_http_requests_total", "HTTP requests by route template, method and status", ["route", "method", "status"]
)
HTTP_SECONDS = Histogram(
    "tallybook_http_request_duration_seconds",
    "Seconds from a request's headers to the end of its answer; of plain clicks a sample of 1 in 64",
    ["route"],
    buckets=_HTTP_BUCKETS,
)
CLICKS_REJECTED = Counter("tallybook_clicks_rejected_total", "Clicks that were not counted, by reason", ["reason"])
CLICKS_DUPLICATE = Counter(
    "tallybook_clicks_duplicate_total", "Clicks not counted again because their key had been counted before"
)
DRAIN_PAGES = Counter(
    "tallybook_drain_pages_total",
    "Lane pages sent to Redis: taken (ok), known before (duplicate), behind what Redis knows (past), failed (error)",
    ["outcome"],
)
DRAIN_SECONDS = Histogram(
    "tallybook_drain_duration_seconds",
    "Seconds until Redis has a page on disk, repeats included",
    buckets=_DRAIN_BUCKETS,
)
FLUSHES = Counter("tallybook_flushes_total", "Flushes of closed minutes from Redis into Postgres", ["outcome"])
FLUSH_SECONDS = Histogram(
    "tallybook_flush_duration_seconds", "Seconds of a flush that moved something", buckets=_FLUSH_BUCKETS
)
FLUSH_ROWS = Counter("tallybook_flush_rows_total", "Rows of minutes written to Postgres")
FLUSH_CLICKS = Counter("tallybook_flush_clicks_total", "Clicks and impressions that became persistent in Postgres")
LAST_FLUSH = Gauge(
    "tallybook_last_flush_timestamp_seconds",
    "Unix time at which the last round of flushing ended well, also if nothing was due",
    multiprocess_mode="mostrecent",
)
OPEN_MINUTES = Gauge(
    "tallybook_open_minutes",
    "Parts of minutes in Redis that are not yet known to be in Postgres",
    multiprocess_mode="mostrecent",
)
OLDEST_OPEN_SECONDS = Gauge(
    "tallybook_oldest_open_seconds",
    "Seconds since the end of the oldest closed minute that is not in Postgres; 0 when none waits",
    multiprocess_mode="mostrecent",
)
OVERDUE = Gauge(
    "tallybook_overdue_incarnations",
    "Parts of minutes in Redis, open or sealed, whose minute has been over for more than ten minutes",
    multiprocess_mode="mostrecent",
)
REDIS_USED = Gauge(
    "tallybook_redis_used_bytes",
    "Bytes that a use of Redis takes; `total` is all that the fullest server has",
    ["use"],
    multiprocess_mode="mostrecent",
)
REDIS_BOUND = Gauge(
    "tallybook_redis_bound_bytes",
    "Bytes at which that use stops; of `total`, maxmemory",
    ["use"],
    multiprocess_mode="mostrecent",
)
LIVE_STREAMS = Gauge("tallybook_live_streams", "Streams of live clicks that are open", multiprocess_mode="livesum")
LIVE_FRAMES = Counter(
    "tallybook_live_frames_total",
    "Frames of live streams by what they were; of slow, the client read none",
    ["outcome"],
)
READS = Counter("tallybook_reads_total", "Reads of statistics: complete, partial as asked for, or failed", ["outcome"])
SINK_LAG = Gauge(
    "tallybook_sink_lag_records",
    "Records in the log that the sink of the table has not stored yet",
    ["table"],
    multiprocess_mode="mostrecent",
)
SINK_OLDEST_SECONDS = Gauge(
    "tallybook_sink_oldest_seconds",
    "Seconds since the oldest record that this process has read and not stored came into the log; 0 when none waits",
    ["table"],
    multiprocess_mode="mostrecent",
)
SINK_PARTITIONS = Gauge(
    "tallybook_sink_partitions",
    "Partitions by what their sink does in this process: moves on, or is stopped until somebody mends something",
    ["table", "state"],
    multiprocess_mode="mostrecent",
)
SINK_INSERTS = Counter(
    "tallybook_sink_inserts_total",
    "Inserts into ClickHouse: acknowledged (ok), or failed, by class of the error",
    ["table", "result"],
)
SINK_SECONDS = Histogram(
    "tallybook_sink_insert_duration_seconds",
    "Seconds of an insert that was acknowledged",
    ["table"],
    buckets=_FLUSH_BUCKETS,
)
SINK_BATCH_ROWS = Histogram(
    "tallybook_sink_batch_rows", "Rows of a batch that was stored", ["table"], buckets=_BATCH_BUCKETS
)
SINK_ROWS = Counter("tallybook_sink_rows_total", "Records of the log that were stored", ["table"])
SINK_DEAD_LETTERS = Counter(
    "tallybook_sink_dead_letters_total", "Records that can be no row of the table, by who says so", ["table", "reason"]
)
LETTER_TRANSACTIONS = Counter(
    "tallybook_letter_transactions_total",
    "Transactions of dead letters in Kafka: committed, found to be there already (known), or of unknown outcome",
    ["result"],
)
SINK_RETRIES = Counter("tallybook_sink_retries_total", "Steps of a sink that were repeated, by store", ["store"])
ACCOUNTING_RECORDS = Gauge(
    "tallybook_accounting_records",
    "Records by where they are; difference = accepted - all others and should be 0",
    ["table", "state"],
    multiprocess_mode="mostrecent",
)
DOUBLES = Gauge(
    "tallybook_sink_doubles",
    "Rows of the last days, of the slice that was looked at last, from a place in the log of another row; should be 0",
    ["table"],
    multiprocess_mode="mostrecent",
)
OUTBOX_LAG = Gauge(
    "tallybook_outbox_lag_events",
    "Events in the outbox that are not in ClickHouse yet, up to a million",
    multiprocess_mode="mostrecent",
)
OUTBOX_OLDEST_SECONDS = Gauge(
    "tallybook_outbox_oldest_seconds",
    "Seconds since the oldest of them was published; 0 when none waits",
    multiprocess_mode="mostrecent",
)
OUTBOX_HELD_SECONDS = Gauge(
    "tallybook_outbox_held_seconds",
    "Seconds for which the oldest writing transaction has been open while events wait for its end",
    multiprocess_mode="mostrecent",
)
OUTBOX_ASTRAY = Gauge(
    "tallybook_outbox_astray_events",
    "Events in the DEFAULT partition, where none belongs; should be 0",
    multiprocess_mode="mostrecent",
)
OUTBOX_WAITING_DEAD = Gauge(
    "tallybook_outbox_dead_letters_waiting",
    "Dead letters of the outbox that were not published again",
    multiprocess_mode="mostrecent",
)
OUTBOX_ROWS = Counter("tallybook_outbox_events_total", "Events of the outbox that were stored in ClickHouse")
OUTBOX_DEAD_LETTERS = Counter("tallybook_outbox_dead_letters_total", "Events that ClickHouse refused for good")
OUTBOX_FAILURES = Counter(
    "tallybook_outbox_failures_total",
    "Batches of the outbox that failed and are repeated, by class of the error",
    ["result"],
)
OUTBOX_BATCH_ROWS = Histogram(
    "tallybook_outbox_batch_rows", "Events of a batch that was stored", buckets=_BATCH_BUCKETS
)
OUTBOX_BATCH_SECONDS = Histogram(
    "tallybook_outbox_batch_duration_seconds",
    "Seconds from the read of a batch to the move of the cursor behind it",
    buckets=_FLUSH_BUCKETS,
)
COLLECT_ITEMS = Counter(
    "tallybook_collect_items_total",
    "Items that pages reported: counted (accepted), counted before, refused, or to be sent again",
    ["kind", "outcome"],
)
HITS = Counter(
    "tallybook_hits_total", "Hits of trackers that were taken, by where they were when answered", ["outcome"]
)
HITS_BOT = Counter("tallybook_hits_bot_total", "Hits among them whose user agent is a machine's")
HITS_REJECTED = Counter("tallybook_hits_rejected_total", "Hits that were not counted, by reason", ["reason"])
LINKS = Counter(
    "tallybook_links_total",
    "Requests for redirect links: counted (person, machine), answered without a count (head, prefetch), of no link "
    "(unknown), of one that leads nowhere (gone), or not served now (refused)",
    ["outcome"],
)
KEY_CHECKS = Counter("tallybook_key_checks_total", "Requests to routes that need a key, by outcome", ["outcome"])
EVENTS = Counter("tallybook_events_total", "Events of uploads that were answered, by result", ["outcome"])
UPLOADS_REFUSED = Counter(
    "tallybook_event_uploads_refused_total", "Uploads of events that were refused as a whole, by code", ["reason"]
)
SINK_DUPLICATES = Counter(
    "tallybook_sink_duplicates_total",
    "Events that were left out because the table or the batch has the same one before them",
    ["table"],
)
APPENDS = Counter(
    "tallybook_log_appends_total",
    "Appends to the record log: taken at once (ok), taken after the journal (replayed), refused (full), failed (error)",
    ["outcome"],
)
APPEND_SECONDS = Histogram(
    "tallybook_log_append_duration_seconds",
    "Seconds until the log had an append, of those that it took",
    buckets=_DRAIN_BUCKETS,
)
GENERATOR_SENT = Counter(
    "tallybook_generator_sent_total", "Page views that the generator's target has acknowledged, by kind", ["kind"]
)
GENERATOR_ERRORS = Counter(
    "tallybook_generator_errors_total",
    "What went wrong between the generator and its target: requests, transactions or messages",
    ["reason"],
)
GENERATOR_RETRIES = Counter("tallybook_generator_retries_total", "Requests that the generator sent again")
GENERATOR_SECONDS = Histogram(
    "tallybook_generator_delivery_duration_seconds",
    "Seconds until the target had what the generator sent, repeats included; to Kafka a sample of 1 message in 64",
    buckets=_DRAIN_BUCKETS,
)
GENERATOR_QUEUE = Gauge(
    "tallybook_generator_queue_messages",
    "Page views that the generator has made and its target has not acknowledged",
    multiprocess_mode="mostrecent",
)
EVENTS_STORED_ROWS = Gauge(
    "tallybook_events_stored_rows",
    "Rows of product events in ClickHouse, repeats that are not merged yet included: hot, or moved to the cold place",
    ["place"],
    multiprocess_mode="mostrecent",
)
EVENTS_STORED_BYTES = Gauge(
    "tallybook_events_stored_bytes", "Bytes that they take there", ["place"], multiprocess_mode="mostrecent"
)
EVENTS_DUE = Gauge(
    "tallybook_events_due_bytes",
    "Bytes of hot events that should have moved to the cold place by now",
    multiprocess_mode="mostrecent",
)
STORE_REFUSALS = Counter(
    "tallybook_store_refusals_total",
    "Errors of a store that repeating does not mend: a wrong password, a missing right or table, unreadable records",
    ["store"],
)
LOOP_ERRORS = Counter("tallybook_loop_errors_total", "Failed rounds of background loops", ["loop"])
ACCOUNTING = Gauge(
    "tallybook_accounting_clicks",
    "Clicks by where they are; difference = accepted - persisted - open - in_lanes and should be 0",
    ["state"],
    multiprocess_mode="mostrecent",
)

# Counters that exist from the start show 0, so that their first increment is seen as one.
for _reason in REASONS:
    CLICKS_REJECTED.labels(_reason)
for _reason in HIT_REASONS:
    HITS_REJECTED.labels(_reason)
for _outcome in ("accepted", "duplicate", "conflict", "rejected"):
    EVENTS.labels(_outcome)
for _outcome in LINK_OUTCOMES:
    LINKS.labels(_outcome)
for _outcome in KEY_OUTCOMES:
    KEY_CHECKS.labels(_outcome)
for _outcome in ("log", "journal"):
    HITS.labels(_outcome)
for _kind in (*COLLECT_KINDS, "unknown"):
    for _outcome in ("accepted", "duplicate", "rejected", "unavailable"):
        COLLECT_ITEMS.labels(_kind, _outcome)
for _outcome in ("ok", "replayed", "full", "error"):
    APPENDS.labels(_outcome)
for _outcome in ("ok", "duplicate", "past", "error"):
    DRAIN_PAGES.labels(_outcome)
for _outcome in ("committed", "known", "unknown"):
    LETTER_TRANSACTIONS.labels(_outcome)
for _outcome in ("ok", "error"):
    FLUSHES.labels(_outcome)
for _reason in ("unavailable", "full", "refused", "aborted", "given_up"):
    GENERATOR_ERRORS.labels(_reason)
for _store in ("log", "postgres", "clickhouse"):
    SINK_RETRIES.labels(_store)
for _store in ("redis", "postgres", "clickhouse", "kafka", "unknown"):
    STORE_REFUSALS.labels(_store)
for _outcome in ("ok", "partial", "error"):
    READS.labels(_outcome)

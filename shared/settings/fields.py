"""Every setting of every process, in one frozen struct. `docs/configuration.md` is made from it."""

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from shared.api_keys import KeyScope
from shared.masking import MASK, masked_text
from shared.runtime.machine import cores

PREFIX = "TALLYBOOK_"
#: Variables of the tests and of applications, which are no settings of the service.
NOT_SETTINGS = frozenset(
    {
        *("TALLYBOOK_TEST_REQUIRE", "TALLYBOOK_CRASH", "TALLYBOOK_METRICS_DIR", "TALLYBOOK_METRICS_ROLE"),
        "TALLYBOOK_CLICKHOUSE_FD",  # of the gateway (gateway/server.py)
        # Of the SDKs, whose programs may share an environment with the service.
        *("TALLYBOOK_URL", "TALLYBOOK_API_KEY", "TALLYBOOK_API_KEY_FILE", "TALLYBOOK_SPOOL_DIR"),
        "TALLYBOOK_ENVIRONMENT",  # of applications (tallybook_sdk/outbox/event.py), which may share an environment
    }
)
#: Settings that are secrets as a whole; of a URL only the password is one.
SECRETS = frozenset({"jwt_keys", "events_cold_s3_key", "sentry_dsn"})

_DAY_S = 86_400


class SettingsError(ValueError):
    """A setting cannot be used. The message names the variable and says what was wanted."""


def _of(subject: str) -> Callable[..., Meta]:
    """Return what describes the settings of a subject. `often` puts one into the README."""

    def about(description: str, *, often: bool = False, **bounds: Any) -> Meta:
        return Meta(description=description, extra_json_schema={"subject": subject, "often": often}, **bounds)

    return about


_stores = _of("Stores and folders")
_http = _of("HTTP service")
_keys = _of("Keys and tokens")
_clicks = _of("Clicks")
_hits = _of("Hits and privacy")
_log = _of("Record log")
_sink = _of("From the record log into ClickHouse")
_events = _of("Product events")
_views = _of("Page views")
_outbox = _of("Event logs of applications")
_operation = _of("Operation")


class Fixed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values that the service fixes. Only tests change them: as `TALLYBOOK_TEST_<FIELD>`, or as an argument."""

    #: Seconds in one counted minute, and seconds after its end at which it is closed.
    minute_s: Annotated[int, Meta(ge=1, le=60)] = 60
    grace_s: Annotated[float, Meta(ge=0, le=3600)] = 2.0
    #: (minute, banner) entries in a page of a lane; milliseconds between two drains of a busy lane into Redis.
    lane_entries: Annotated[int, Meta(ge=2, le=4096)] = 1024
    drain_interval_ms: Annotated[float, Meta(ge=0.5, le=1000)] = 50.0
    #: Bytes of a request body without a limit of its own (64 KiB: what browsers send of a beacon). More is 413.
    body_max_bytes: Annotated[int, Meta(ge=0, le=1 << 20)] = 65_536
    #: Writes of one client address, and requests under one key, that may come at once under their limits, at least.
    rate_limit_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    key_rate_limit_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    #: Clicks with an idempotency key or an id per second that an address without an API key may send to a worker.
    keyed_limit_per_s: Annotated[float, Meta(ge=0, le=1e9)] = 1000.0
    #: Seconds in which a body must arrive (408). Bodies read at a time by a worker, per kind of route (503).
    body_timeout_s: Annotated[float, Meta(gt=0, le=600)] = 10.0
    bodies_max: Annotated[int, Meta(ge=1, le=100_000)] = 512
    #: Items of one bulk request of clicks, and events of one upload; more is 422.
    bulk_items_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    events_max: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    #: Records of one worker that wait for the record log; more is 503.
    log_waiting_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    #: Seconds after which a stream of live clicks ends, and seconds that one of its frames may take to go.
    live_s: Annotated[float, Meta(gt=0, le=25)] = 25.0
    live_slow_s: Annotated[float, Meta(gt=0, le=10)] = 10.0
    #: Seconds without a heartbeat before another aggregator takes over the partitions of this one.
    sink_lease_s: Annotated[float, Meta(ge=1, le=600)] = 10.0
    #: Records of a partition in one insert, and entries of the outbox in one.
    sink_rows: Annotated[int, Meta(ge=1, le=500_000)] = 25_000
    outbox_rows: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    #: Seconds until a call of Redis or a query of Postgres counts as failed.
    redis_timeout_s: Annotated[float, Meta(gt=0, le=60)] = 2.0
    postgres_timeout_s: Annotated[float, Meta(gt=0, le=600)] = 15.0
    #: Seconds that a stop waits for requests and the last drain.
    drain_timeout_s: Annotated[int, Meta(ge=1, le=600)] = 30
    #: Bytes of the data folder that cache what was read from S3. 0 caches nothing.
    events_cold_cache_bytes: Annotated[int, Meta(ge=0, le=1 << 44)] = 4 << 30


class Settings(Fixed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold what an operator decides. Every default suits one machine."""

    data_dir: Annotated[
        str, _stores("Folder of lanes, sockets and the files of embedded servers. Use a local disk.", often=True)
    ] = "data"
    redis_url: Annotated[
        str | None,
        _stores(
            "Redis 7.0 or later, or Valkey: `redis://`, `rediss://` or `unix://`; for a cluster `redis+cluster://` or "
            "`rediss+cluster://`, with one or more `host:port`. Unset starts the embedded Valkey.",
            often=True,
        ),
    ] = None
    redis_memory_bytes: Annotated[
        int,
        _stores(
            "Bytes of Redis memory that all uses share (docs/operate.md): `maxmemory` of the embedded Valkey. Set at "
            "most that of your own server, or of each master of a cluster.",
            ge=64 << 20,
            le=1 << 44,
        ),
    ] = 384 << 20
    database_url: Annotated[
        str | None,
        _stores("Postgres 14 or later: `postgresql://...`. Unset starts the embedded Postgres.", often=True),
    ] = None
    postgres_statement_cache: Annotated[
        int,
        _stores("Prepared statements that a connection keeps. Set 0 behind a pooler of transactions.", ge=0, le=10_000),
    ] = 100
    clickhouse_url: Annotated[
        str | None,
        _stores(
            "ClickHouse 25.8 or later: `http://user:password@host:8123/database` or `https://...`. Unset starts the "
            "embedded engine, if chdb is installed.",
            often=True,
        ),
    ] = None
    clickhouse_read_url: Annotated[
        str | None,
        _stores("The same ClickHouse as a user that may only read, for queries of the API. Unset uses the user above."),
    ] = None
    clickhouse_timeout_s: Annotated[
        float, _stores("Seconds until a statement of ClickHouse counts as failed.", ge=1, le=3600)
    ] = 30.0
    clickhouse_memory_bytes: Annotated[
        int, _stores("Bytes of memory that the embedded ClickHouse may use.", ge=256 << 20, le=1 << 40)
    ] = 1_500_000_000
    retention_days: Annotated[
        tuple[str, ...],
        _stores(
            "Days for which data are kept, at least: `clicks=400,hits=90,web=90,events=365`. Minutes of clicks go in "
            "whole months. `web` is what pages report. What is not named is kept for ever."
        ),
    ] = ()

    host: Annotated[str, _http("Address that the HTTP service binds.", often=True)] = "127.0.0.1"
    port: Annotated[int, _http("Port of the HTTP service.", often=True, ge=1, le=65535)] = 8080
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        _http("Worker processes of the HTTP service. Unset starts one per core.", often=True),
    ] = None
    trusted_proxies: Annotated[
        tuple[str, ...],
        _http("Networks (CIDR, separated by commas) whose `X-Forwarded-For` is believed.", often=True),
    ] = ()
    web_prefix: Annotated[
        str | None, _http("Path, as `/x7`, under which pages find `/t.js` and `/c`. Unset is the root.")
    ] = None
    rate_limit_per_s: Annotated[
        float, _http("Writes per second that one client address may make. 0 sets no limit.", ge=0, le=1e9)
    ] = 0.0

    dashboard: Annotated[
        Literal["on", "off"],
        _http("Whether `/` is the dashboard. Switch it off on hosts that only count (docs/dashboard.md)."),
    ] = "on"

    keys: Annotated[
        Literal["auto", "off", "required"],
        _keys(
            "When routes need a key: never (`off`), always (`required`), or unless only this host reaches the service "
            "(`auto`).",
            often=True,
        ),
    ] = "auto"
    keys_for: Annotated[
        tuple[KeyScope, ...],
        _keys(
            "Scopes that then need a key. Add `clicks:write`, `hits:write` and `collect:write` to include what "
            "browsers send."
        ),
    ] = ("events:write", "stats:read", "logs:read", "admin")
    allowed_hosts: Annotated[
        tuple[str, ...],
        _keys("Host names without port, beside loopback, that routes answer while `auto` asks for no key."),
    ] = ()
    read_origins: Annotated[
        tuple[str, ...],
        _keys(
            "Origins (`https://example.org`, separated by commas) whose pages may read statistics and logs with a key."
        ),
    ] = ()
    key_rate_limit_per_s: Annotated[
        float,
        _keys("Requests per second under one key, instead of the limit of its address. 0 sets no limit.", ge=0, le=1e9),
    ] = 0.0
    jwt_algorithm: Annotated[
        Literal["HS256", "RS256", "PS256", "ES256", "EdDSA"] | None,
        _keys("The one algorithm of tokens (JWT) that the service accepts as keys. Unset accepts none."),
    ] = None
    jwt_issuer: Annotated[str | None, _keys("Issuer that a token must name in its claim `iss`.")] = None
    jwt_audience: Annotated[str | None, _keys("Audience that a token must name in its claim `aud`.")] = None
    jwt_keys: Annotated[
        str | None,
        _keys(
            "Public keys of the issuer as a JWKS; with `HS256` the secret, 32 bytes or longer. Use a file: "
            "`TALLYBOOK_JWT_KEYS_FILE`."
        ),
    ] = None

    ack: Annotated[
        Literal["lane", "redis"],
        _clicks(
            "When a click is acknowledged: in shared memory (`lane`), or once Redis has it on disk (`redis`).",
            often=True,
        ),
    ] = "lane"
    allow_unsafe_redis: Annotated[
        bool, _clicks("Start with a Redis that may lose acknowledged clicks: no AOF, or not `appendfsync always`.")
    ] = False
    banners: Annotated[
        Literal["open", "registered"],
        _clicks("Banners that count: any id (`open`), or those of the table `banners` (`registered`).", often=True),
    ] = "open"
    new_banners_per_minute: Annotated[
        int, _clicks("Different banners that one worker counts in a minute. More is 429.", ge=1, le=100_000_000)
    ] = 100_000
    idempotency_window_s: Annotated[
        int,
        _clicks(
            "Seconds for which an `Idempotency-Key` or the id of an item counts once, if memory suffices.",
            ge=1,
            le=7 * _DAY_S,
        ),
    ] = 600
    backdate_max_s: Annotated[
        int, _clicks("Seconds that the timestamp of a bulk item may lie in the past.", ge=0, le=366 * _DAY_S)
    ] = _DAY_S
    lane_pages: Annotated[
        int,
        _clicks("Pages in the lane of a worker, which bridge an outage of Redis. Full is 503.", ge=4, le=1 << 20),
    ] = 512
    shards: Annotated[
        int,
        _clicks("Hash slots that spread the open minutes over a Redis Cluster. Never lower it.", ge=1, le=1024),
    ] = 1
    link_hosts: Annotated[
        tuple[str, ...],
        _clicks(
            "Hosts that redirect links may lead to: `shop.example`, or `*.shop.example` for all below it. Unset allows "
            "all."
        ),
    ] = ()
    ledger_days: Annotated[
        int,
        _clicks("Days for which ledger rows are kept. Set more than the age of any Redis backup to restore.", ge=2),
    ] = 35

    track_origins: Annotated[
        tuple[str, ...],
        _hits("Origins (`https://example.org`, separated by commas) whose pages may read answers to hits and clicks."),
    ] = ()
    track_ip: Annotated[
        Literal["full", "truncated"],
        _hits("What is kept of a client address: all of it, or its network (/24 of IPv4, /48 of IPv6)."),
    ] = "full"
    honour_dnt: Annotated[
        bool, _hits("Treat `DNT: 1` as `Sec-GPC: 1`: set no cookie, store no user id, truncate the address.")
    ] = False
    cookie: Annotated[
        str,
        _hits("Attributes of the cookie `user_id`, as browsers read them. `SameSite=None` needs `Secure`."),
    ] = "Max-Age=34560000; Secure; HttpOnly; SameSite=None"

    country_db: Annotated[
        str | None,
        _hits(
            "File of a country database in MaxMind's format (`.mmdb`), for what pages report. Unset uses the tables of "
            "the internet registries."
        ),
    ] = None

    log_url: Annotated[
        str | None,
        _log("Record log of hits, events and views: `kafka://host:port,...`, or a Redis. Unset uses the Redis above."),
    ] = None
    log_partitions: Annotated[
        int, _log("Partitions of each topic. Never lower it while records are unread.", ge=1, le=1024)
    ] = 4
    log_records_max: Annotated[
        int,
        _log(
            "Records that one partition holds, and ten times the blocks of events. Full is 503.", ge=1, le=1_000_000_000
        ),
    ] = 100_000
    journal_bytes_max: Annotated[
        int,
        _log("Bytes that one worker keeps on disk while the record log is away. More is 503.", ge=0, le=1 << 40),
    ] = 64 << 20
    dead_letters_topic: Annotated[
        str | None, _log("Kafka topic that receives a copy of each dead letter. Needs a record log in Kafka.")
    ] = None

    sink_wait_s: Annotated[
        float,
        _sink(
            "Seconds that a record, page view or outbox entry waits for others before an insert, at most.",
            gt=0,
            le=600,
        ),
    ] = 1.0

    event_past_days: Annotated[
        int, _events("Days that an event may lie in the past. Older ones are rejected.", ge=1, le=2800)
    ] = 1830
    event_properties_bytes_max: Annotated[
        int,
        _events(
            "Bytes of the properties of an event. They may have 64 names and items, or more: one per 128 bytes.",
            ge=2,
            le=256 << 10,
        ),
    ] = 8192
    events_cold_days: Annotated[
        int, _events("Days after which events move to cold storage, in whole parts. 0 moves none.", ge=0, le=36_500)
    ] = 0
    events_cold_dir: Annotated[
        str | None,
        _events("Folder of cold events of the embedded ClickHouse. Unset is `cold` in the data folder."),
    ] = None
    events_cold_s3_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^/@]+/[^?#]+$")] | None,
        _events("S3 for cold events of the embedded ClickHouse: `https://host/bucket/prefix`. Unset uses the folder."),
    ] = None
    events_cold_s3_key: Annotated[
        Annotated[str, Meta(pattern="^[^:]+:.+$")] | None,
        _events("Key of that S3 as `id:secret`. Use a file: `TALLYBOOK_EVENTS_COLD_S3_KEY_FILE`."),
    ] = None

    pages_cut: Annotated[
        Literal["batch", "time", "hybrid"],
        _views("When page views are inserted: by number (`batch`), by age (`time`), or whichever comes first."),
    ] = "hybrid"
    pages_batch: Annotated[
        int, _views("Page views of a partition in one insert. Ignored with `time`.", ge=100, le=10_000)
    ] = 10_000
    pages_delivery: Annotated[
        Literal["exactly_once", "at_least_once"],
        _views(
            "Delivery guarantee of page views. `at_least_once` saves a Postgres round trip per batch, and a kill may "
            "double a batch."
        ),
    ] = "exactly_once"
    pages_drop_repeats: Annotated[
        bool, _views("Drop page views with the page, user and time of an earlier one, if their keys agree.")
    ] = False

    outbox_url: Annotated[
        str | None,
        _outbox("Postgres with the outbox of applications: `postgresql://...`. Unset uses the Postgres above."),
    ] = None
    sentry_dsn: Annotated[
        str | None, _outbox("Sentry that receives traces of the outbox from the aggregator. Unset sends nothing.")
    ] = None

    metrics_host: Annotated[str, _operation("Address that the Prometheus endpoint binds.")] = "127.0.0.1"
    metrics_port: Annotated[
        int, _operation("Port of the Prometheus endpoint. 0 switches it off.", often=True, ge=0, le=65535)
    ] = 9464
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _operation("Lowest level that is logged.")] = (
        "info"
    )
    log_format: Annotated[
        Literal["auto", "json", "console"],
        _operation("Format of log lines. `auto` is `console` on a terminal and `json` elsewhere."),
    ] = "auto"

    def kept_days(self, kind: str) -> int | None:
        """Return the days for which `clicks`, `hits`, `web` or `events` are kept; None for ever."""
        days = dict(entry.split("=") for entry in self.retention_days).get(kind)
        return None if days is None else int(days)

    @property
    def events_blocks_max(self) -> int:
        """Blocks of events (of up to 64 KB) that one partition holds."""
        return max(1, self.log_records_max // 10)

    @property
    def event_properties_max(self) -> int:
        """Names and items in the properties of an event, of all levels."""
        return max(64, self.event_properties_bytes_max // 128)

    @property
    def lanes_dir(self) -> Path:
        """Folder of this host's lanes."""
        return Path(self.data_dir) / "lanes"

    @property
    def front_dir(self) -> Path:
        """Folder of the private sockets of this host's workers."""
        return Path(self.data_dir) / "front"

    @property
    def journal_dir(self) -> Path:
        """Folder of this host's journals of the record log."""
        return Path(self.data_dir) / "journal"

    @property
    def keyed(self) -> frozenset[str]:
        """Scopes that need a key on this service."""
        return frozenset() if self.keys == "off" or self.is_for_this_host else frozenset(self.keys_for)

    @property
    def is_for_this_host(self) -> bool:
        """True if no key is needed because only this host reaches the service."""
        is_private = is_loopback(self.host) and not self.trusted_proxies  # behind a proxy everybody comes from there
        return self.keys == "auto" and is_private

    @property
    def worker_count(self) -> int:
        """Workers to start: as set, else one per core that this process may use."""
        return self.workers or cores()

    def __repr__(self) -> str:
        shown = (f"{name}={masked(getattr(self, name), name)!r}" for name in NAMES)
        return f"Settings({', '.join(shown)})"


#: Settings that an operator can set.
NAMES = tuple(name for name in Settings.__struct_fields__ if name not in Fixed.__struct_fields__)


def variable(name: str) -> str:
    """Return the environment variable of a field."""
    return f"{PREFIX}{'TEST_' if name in Fixed.__struct_fields__ else ''}{name.upper()}"


def is_loopback(host: str) -> bool:
    """Return True if only this host reaches what is bound to the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def masked(value: object, name: str = "") -> object:
    """Return the value of a setting without its secrets: without passwords in a URL, or without anything."""
    if name in SECRETS and value is not None:
        return MASK
    return masked_text(value, is_url=True) if isinstance(value, str) else value

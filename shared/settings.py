"""Every setting of every process: one frozen struct, read from `TALLYBOOK_*`.

`TALLYBOOK_<FIELD>` is the variable, `TALLYBOOK_<FIELD>_FILE` names a file that holds the value (for secrets). An
unknown `TALLYBOOK_*` name is an error, so that a typing mistake cannot pass unseen. `docs/configuration.md` is made
from this struct.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from shared.api_keys import KeyScope
from shared.masking import MASK, masked_text
from shared.runtime.machine import cores
from shared.settings_check import PREFIX as PREFIX
from shared.settings_check import SettingsError as SettingsError
from shared.settings_check import check

#: Variables of the tests, of the chaos suite and of applications, which are no settings of the service.
NOT_SETTINGS = frozenset(
    {
        *("TALLYBOOK_TEST_REQUIRE", "TALLYBOOK_CRASH", "TALLYBOOK_METRICS_DIR", "TALLYBOOK_METRICS_ROLE"),
        "TALLYBOOK_CLICKHOUSE_FD",  # of the gateway (gateway/server.py)
        "TALLYBOOK_ENVIRONMENT",  # of applications (tallybook_sdk/outbox/event.py), which may share an environment
    }
)


#: Settings that are lists, with commas between their items.
_LISTS = frozenset({"trusted_proxies", "track_origins", "keys_for", "allowed_hosts"})
#: Settings that are secrets as a whole; of a URL only the password is one.
_SECRETS = frozenset({"jwt_secret", "jwt_keys", "events_cold_s3_key", "sentry_dsn"})


def _about(description: str, **bounds: Any) -> Meta:
    return Meta(description=description, **bounds)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every process of the service can be told. All fields have defaults that suit one machine."""

    # -- where things are ------------------------------------------------------------------------------------------
    data_dir: Annotated[str, _about("Folder of lanes, sockets and the embedded servers' files; a local disk")] = "data"
    redis_url: Annotated[
        str | None,
        _about(
            "Redis >= 7.0 or Valkey: redis://, rediss://, unix://; a cluster: redis+cluster:// or rediss+cluster:// "
            "with host:port, or several by commas; unset starts the embedded Valkey"
        ),
    ] = None
    database_url: Annotated[
        str | None, _about("Postgres >= 14: postgresql://...; unset starts the embedded Postgres")
    ] = None
    clickhouse_url: Annotated[
        str | None,
        _about(
            "ClickHouse >= 25.8: http://user:password@host:8123/database, https://; unset starts the embedded engine, "
            "where chdb is installed"
        ),
    ] = None
    clickhouse_read_url: Annotated[
        str | None,
        _about("The same server as a user that may only read, for what routes ask; unset is the user above"),
    ] = None

    redis_memory_bytes: Annotated[
        int,
        _about(
            "Memory of Redis that all uses share, in bytes (docs/operate.md): `maxmemory` of the embedded Valkey; at "
            "most that of another server, or of each master of a cluster",
            ge=64 << 20,
            le=1 << 44,
        ),
    ] = 384 << 20

    log_url: Annotated[
        str | None,
        _about("Log of hits, events and views: kafka://host:port,..., or a Redis; unset is the Redis above"),
    ] = None

    # -- the HTTP service ------------------------------------------------------------------------------------------
    host: Annotated[str, _about("Address that the HTTP service binds")] = "127.0.0.1"
    port: Annotated[int, _about("Port of the HTTP service", ge=1, le=65535)] = 8080
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None, _about("Ingest worker processes; unset is one per core")
    ] = None
    metrics_host: Annotated[str, _about("Address that the Prometheus endpoint binds")] = "127.0.0.1"
    metrics_port: Annotated[int, _about("Port of the Prometheus endpoint; 0 switches it off", ge=0, le=65535)] = 9464
    trusted_proxies: Annotated[
        tuple[str, ...], _about("Networks (CIDR, comma separated) whose X-Forwarded-For is believed; none by default")
    ] = ()
    body_max_bytes: Annotated[
        int, _about("Largest body of a request that needs none, in bytes; more is 413", ge=0, le=1 << 20)
    ] = 65_536  # which is what browsers send of a beacon
    bulk_body_max_bytes: Annotated[
        int, _about("Largest body of a bulk request, in bytes; more is 413", ge=1024, le=64 << 20)
    ] = 1 << 20
    bulk_items_max: Annotated[int, _about("Most items in one bulk request; more is 422", ge=1, le=1_000_000)] = 10_000
    body_timeout_s: Annotated[
        float, _about("Seconds in which a body must have arrived; later is 408", gt=0, le=600)
    ] = 10.0
    bodies_max: Annotated[
        int,
        _about(
            "Bodies of uploads, of bulk clicks, and of all others that one worker reads at a time; more is 503",
            ge=1,
            le=100_000,
        ),
    ] = 512
    rate_limit_per_s: Annotated[
        float, _about("Writes a second that one client address may make; 0 is no limit", ge=0, le=1e9)
    ] = 0.0
    rate_limit_burst: Annotated[
        int, _about("Writes that one client may make at once under the limit", ge=1, le=1_000_000)
    ] = 100

    keyed_limit_per_s: Annotated[
        float,
        _about(
            "Clicks with a key or an id a second that one client address without an API key may send to a worker; "
            "0 is no limit",
            ge=0,
            le=1e9,
        ),
    ] = 1000.0

    # -- keys ------------------------------------------------------------------------------------------------------
    keys: Annotated[
        Literal["auto", "off", "required"],
        _about("Whether routes need a key: always, never, or unless this host alone reaches the service (`auto`)"),
    ] = "auto"
    allowed_hosts: Annotated[
        tuple[str, ...],
        _about("Names beside those of loopback under which routes answer while `auto` asks for no key, without port"),
    ] = ()
    keys_for: Annotated[
        tuple[KeyScope, ...],
        _about("What needs a key then, by scope; with `clicks:write` and `hits:write` also what browsers send"),
    ] = ("events:write", "stats:read", "logs:read", "admin")
    key_rate_limit_per_s: Annotated[
        float,
        _about("Requests a second under one key, in place of the limit of its address; 0 is no limit", ge=0, le=1e9),
    ] = 0.0
    key_rate_limit_burst: Annotated[
        int, _about("Requests at once under one key, where they are limited", ge=1, le=1_000_000)
    ] = 1000
    jwt_algorithm: Annotated[
        Literal["HS256", "RS256", "PS256", "ES256", "EdDSA"] | None,
        _about("The one algorithm of tokens (JWT) that are taken as keys; unset takes none"),
    ] = None
    jwt_issuer: Annotated[str | None, _about("Who has to have made a token: its claim `iss`")] = None
    jwt_audience: Annotated[str | None, _about("Whom a token has to be for: one of its claim `aud`")] = None
    jwt_secret: Annotated[
        str | None, _about("Secret of `HS256`, 32 bytes or longer; as a file: TALLYBOOK_JWT_SECRET_FILE")
    ] = None
    jwt_keys: Annotated[str | None, _about("Public keys of the issuer, a JWKS; as a file: TALLYBOOK_JWT_KEYS_FILE")] = (
        None
    )

    # -- counting --------------------------------------------------------------------------------------------------
    ack: Annotated[
        Literal["lane", "redis"],
        _about("When a click is acknowledged: in shared memory (`lane`), or when Redis has it on disk (`redis`)"),
    ] = "lane"
    banners: Annotated[
        Literal["open", "registered"], _about("Which banners count: any id (`open`), or those in the table `banners`")
    ] = "open"
    new_banners_per_minute: Annotated[
        int, _about("Different banners that one worker counts in one minute; more is 429", ge=1, le=100_000_000)
    ] = 100_000
    lane_pages: Annotated[int, _about("Pages in a worker's lane; full is 503", ge=4, le=1 << 20)] = 512
    lane_entries: Annotated[int, _about("(minute, banner) entries in a page of a lane", ge=2, le=4096)] = 1024
    drain_interval_ms: Annotated[
        float, _about("Milliseconds between two drains of a busy lane into Redis", ge=0.5, le=1000)
    ] = 50.0
    shards: Annotated[
        int,
        _about(
            "Hash slots that spread the open minutes over a Redis Cluster; never lower it",
            ge=1,
            le=1024,
        ),
    ] = 1
    minute_s: Annotated[int, _about("Seconds in one counted minute; other than 60 only for tests", ge=1, le=60)] = 60
    grace_s: Annotated[float, _about("Seconds after its end at which a minute is closed", ge=0, le=3600)] = 2.0
    idempotency_window_s: Annotated[
        int,
        _about(
            "Seconds for which an Idempotency-Key or an item's id counts once, unless memory ends", ge=1, le=7 * 86_400
        ),
    ] = 600
    backdate_max_s: Annotated[
        int, _about("Seconds that the timestamp of a bulk item may lie back", ge=0, le=366 * 86_400)
    ] = 86_400
    skew_max_s: Annotated[int, _about("Seconds that the timestamp of a bulk item may lie ahead", ge=0, le=3600)] = 60
    retention_days: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        _about("Days for which minutes are kept, by whole months; unset keeps them for ever"),
    ] = None
    ledger_days: Annotated[
        int, _about("Days for which ledger rows are kept: longer than any Redis backup that could come back", ge=2)
    ] = 35
    tracker_retention_days: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        _about("Days for which tracker events are kept, at least; unset keeps them for ever"),
    ] = None
    event_retention_days: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        _about("Days for which product events are kept, at least; unset keeps them for ever"),
    ] = None
    allow_unsafe_redis: Annotated[
        bool, _about("Start although Redis may lose acknowledged clicks (no AOF, or not `appendfsync always`)")
    ] = False

    # -- hits of trackers ------------------------------------------------------------------------------------------
    track_origins: Annotated[
        tuple[str, ...],
        _about("Origins (https://example.org, comma separated) whose pages may read answers of hits and clicks (CORS)"),
    ] = ()
    track_ip: Annotated[
        Literal["full", "truncated"],
        _about("What is kept of a client's address: all of it, or its network (/24 of IPv4, /48 of IPv6)"),
    ] = "full"
    honour_dnt: Annotated[
        bool, _about("Treat `DNT: 1` as `Sec-GPC: 1` is always treated: no cookie, no user id, a truncated address")
    ] = False
    cookie_secure: Annotated[bool, _about("The cookie `user_id` travels over https only")] = True
    cookie_http_only: Annotated[bool, _about("No script of a page sees the cookie `user_id`")] = True
    cookie_same_site: Annotated[
        Literal["none", "lax", "strict"],
        _about("Whether the cookie `user_id` is sent from pages of other sites; `none` needs it to be secure"),
    ] = "none"
    cookie_domain: Annotated[
        str | None, _about("Domain whose hosts share the cookie `user_id`; unset is the host that set it")
    ] = None
    cookie_max_age_s: Annotated[
        int, _about("Seconds that the cookie `user_id` lives after the last hit", ge=1, le=400 * 86_400)
    ] = 400 * 86_400

    # -- the record log --------------------------------------------------------------------------------------------
    log_waiting_max: Annotated[
        int, _about("Records of one worker that wait for the log at the same time; more is 503", ge=1, le=10_000_000)
    ] = 10_000
    log_waiting_bytes_max: Annotated[int, _about("Bytes of these records; more is 503", ge=1 << 20, le=1 << 34)] = (
        16 << 20
    )
    journal_bytes_max: Annotated[
        int, _about("Bytes that one worker keeps on the disk while the log is away; more is 503", ge=0, le=1 << 40)
    ] = 64 << 20
    log_partitions: Annotated[
        int, _about("Partitions of each topic of the log; never lower it while records are unread", ge=1, le=1024)
    ] = 4
    log_records_max: Annotated[
        int, _about("Records that one partition of the log holds; full is 503", ge=1, le=1_000_000_000)
    ] = 100_000

    # -- from the log into ClickHouse ------------------------------------------------------------------------------
    sink_rows: Annotated[
        int, _about("Records of a partition that go into ClickHouse with one insert, at most", ge=1, le=500_000)
    ] = 25_000
    sink_wait_s: Annotated[
        float, _about("Seconds that a record waits for others, at most, before they are inserted", gt=0, le=600)
    ] = 1.0
    sink_lease_s: Annotated[
        float,
        _about("Seconds after which the partitions of an aggregator that says nothing go to another", ge=1, le=600),
    ] = 10.0

    # -- product events --------------------------------------------------------------------------------------------
    events_body_max_bytes: Annotated[
        int, _about("Largest body of an upload of events, packed and unpacked; more is 413", ge=1024, le=64 << 20)
    ] = 5 << 20
    events_max: Annotated[int, _about("Most events in one upload; more is 422", ge=1, le=100_000)] = 10_000
    event_past_days: Annotated[
        int, _about("Days that an event may lie back; older ones are rejected", ge=1, le=2800)
    ] = 1830
    event_future_s: Annotated[int, _about("Seconds that an event may lie ahead", ge=0, le=7 * 86_400)] = 86_400
    event_properties_max: Annotated[
        int, _about("Names and items in the properties of an event, of all levels", ge=0, le=10_000)
    ] = 64
    event_depth_max: Annotated[int, _about("Levels of the properties of an event", ge=1, le=100)] = 4
    event_properties_bytes_max: Annotated[int, _about("Bytes of the properties of an event", ge=2, le=256 << 10)] = 8192
    events_window_s: Annotated[
        int, _about("Seconds in which a repeated event is reported as one, unless memory ends", ge=60, le=7 * 86_400)
    ] = 3600
    events_blocks_max: Annotated[
        int, _about("Blocks (of up to 64 KB) that a partition of the log holds; full is 503", ge=1, le=10_000_000)
    ] = 10_000

    # -- hot and cold events ---------------------------------------------------------------------------------------
    events_cold_days: Annotated[
        int,
        _about("Days after which product events move to the cold place, by whole parts; 0 moves none", ge=0, le=36_500),
    ] = 0
    events_cold_dir: Annotated[
        str | None,
        _about("Folder of cold events of the embedded ClickHouse; unset is `cold` in the data folder"),
    ] = None
    events_cold_s3_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^/@]+/[^?#]+$")] | None,
        _about("S3 for cold events of the embedded ClickHouse: https://host/bucket/prefix; unset is the folder"),
    ] = None
    events_cold_s3_key: Annotated[
        Annotated[str, Meta(pattern="^[^:]+:.+$")] | None,
        _about("`id:secret` of the key for it; as a file: TALLYBOOK_EVENTS_COLD_S3_KEY_FILE"),
    ] = None
    events_cold_cache_bytes: Annotated[
        int, _about("Bytes of the data folder that hold what was read from S3; 0 holds nothing", ge=0, le=1 << 44)
    ] = 4 << 30

    # -- from the outbox into ClickHouse ---------------------------------------------------------------------------
    outbox_url: Annotated[
        str | None,
        _about("Postgres that has the outbox of applications: postgresql://...; unset is the Postgres above"),
    ] = None
    outbox_rows: Annotated[
        int, _about("Events of the outbox that go into ClickHouse with one insert, at most", ge=1, le=100_000)
    ] = 10_000
    outbox_wait_s: Annotated[
        float, _about("Seconds that an event waits for others, at most, before they are inserted", ge=0, le=600)
    ] = 1.0
    sentry_dsn: Annotated[
        str | None, _about("Sentry to which the aggregator sends traces of the outbox; unset sends nothing")
    ] = None
    sentry_traces_sample_rate: Annotated[
        float, _about("Share of batches that become traces by themselves; those of events are continued", ge=0, le=1)
    ] = 0.01

    # -- page views ------------------------------------------------------------------------------------------------
    pages_cut: Annotated[
        Literal["batch", "time", "hybrid"],
        _about("When page views are inserted: when there are enough (`batch`), by time, or whatever comes first"),
    ] = "hybrid"
    pages_batch: Annotated[
        int, _about("Page views of a partition that are inserted together; not with `time`", ge=100, le=10_000)
    ] = 10_000
    pages_wait_s: Annotated[
        float, _about("Seconds that a page view waits for others; not with `batch`", gt=0, le=600)
    ] = 1.0
    pages_delivery: Annotated[
        Literal["exactly_once", "at_least_once"],
        _about("Whether a kill may double a batch of page views (`at_least_once`: a round trip to Postgres less)"),
    ] = "exactly_once"
    pages_drop_repeats: Annotated[
        bool, _about("Leave out page views of the same page, user and time as one before, where their keys agree")
    ] = False

    dead_letters_topic: Annotated[
        str | None, _about("Topic of Kafka that gets a copy of each dead letter; only where the log is Kafka")
    ] = None

    # -- time-outs -------------------------------------------------------------------------------------------------
    redis_timeout_s: Annotated[float, _about("Seconds until a Redis call counts as failed", gt=0, le=60)] = 2.0
    postgres_timeout_s: Annotated[float, _about("Seconds until a Postgres query counts as failed", gt=0, le=600)] = 15.0
    postgres_statement_cache: Annotated[
        int, _about("Prepared statements kept per connection; 0 behind a transaction pooler", ge=0, le=10_000)
    ] = 100
    clickhouse_timeout_s: Annotated[
        float, _about("Seconds until a ClickHouse statement counts as failed", ge=1, le=3600)
    ] = 30.0
    drain_timeout_s: Annotated[
        int, _about("Seconds that a stop waits for requests and the last drain", ge=1, le=600)
    ] = 30

    # -- the embedded ClickHouse -----------------------------------------------------------------------------------
    clickhouse_memory_bytes: Annotated[
        int, _about("Memory that the embedded ClickHouse may use, in bytes", ge=256 << 20, le=1 << 40)
    ] = 1_500_000_000
    clickhouse_threads: Annotated[
        int, _about("Statements that the embedded ClickHouse works on at the same time", ge=1, le=64)
    ] = 4

    # -- logs ------------------------------------------------------------------------------------------------------
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _about("Least level that is logged")] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"], _about("Form of log lines; `auto` is console on a TTY, else JSON")
    ] = "auto"

    @property
    def lanes_dir(self) -> Path:
        """Folder of this host's lanes."""
        return Path(self.data_dir) / "lanes"

    @property
    def front_dir(self) -> Path:
        """Folder of the sockets that the workers of this host share with nobody."""
        return Path(self.data_dir) / "front"

    @property
    def journal_dir(self) -> Path:
        """Folder of this host's journals of the record log."""
        return Path(self.data_dir) / "journal"

    @property
    def keyed(self) -> frozenset[str]:
        """Scopes without which the routes of this service do nothing."""
        return frozenset() if self.keys == "off" or self.is_for_this_host else frozenset(self.keys_for)

    @property
    def is_for_this_host(self) -> bool:
        """Whether no key is asked for because this host alone reaches the service."""
        is_private = is_loopback(self.host) and not self.trusted_proxies  # behind a proxy everybody comes from there
        return self.keys == "auto" and is_private

    @property
    def worker_count(self) -> int:
        """Ingest workers to start: as set, else one per core that this process may use."""
        return self.workers or cores()

    def __repr__(self) -> str:
        shown = (f"{name}={masked(getattr(self, name), name)!r}" for name in self.__struct_fields__)
        return f"Settings({', '.join(shown)})"


def is_loopback(host: str) -> bool:
    """Whether only this host reaches what is bound to the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def masked(value: object, name: str = "") -> object:
    """The value of a setting without what is secret in it: passwords in a URL, or everything."""
    if name in _SECRETS and value is not None:
        return MASK
    return masked_text(value, is_url=True) if isinstance(value, str) else value


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment; `overrides` (of command line flags) win. Raises SettingsError."""
    environ = os.environ if environ is None else environ
    fields = set(Settings.__struct_fields__)
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in fields and name.endswith("_file") and name.removesuffix("_file") in fields:
            name, text = name.removesuffix("_file"), _read(variable, text) if text else ""
        if name not in fields:
            raise SettingsError(f"{variable} is no setting; docs/configuration.md lists them all")
        if text != "":
            values[name] = _split(text) if name in _LISTS else text
    values.update({name: value for name, value in overrides.items() if value is not None})
    settings = Settings(**{name: _converted(name, value) for name, value in values.items()})
    check(settings)
    return settings


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise SettingsError(f"{variable} names {path}, which cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{variable} names {path}, which is no UTF-8: save it as that") from None


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _converted(name: str, value: Any) -> Any:
    kind = next(field.type for field in msgspec.structs.fields(Settings) if field.name == name)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{PREFIX}{name.upper()}={masked(value, name)} cannot be used: {error}") from None

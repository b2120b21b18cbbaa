"""Check settings beyond their types: schemes of URLs, networks, origins, cookies, tokens, days."""

import re
from ipaddress import ip_network

from shared.destination import HOST_PATTERN
from shared.settings.cookie import cookie_attributes
from shared.settings.fields import PREFIX, Settings, SettingsError

#: Bytes of a secret that signs tokens: as many as the hash has (RFC 7518, 3.2).
_JWT_SECRET_MIN = 32
#: How public keys begin: a JWKS, and PEM.
_PUBLIC = ("{", "-----BEGIN")
#: Bytes that a partition of the log has at least: an append may have 1.4 MB. A topic has a tenth of the memory or more.
_PARTITION_MIN = 3 << 19
#: An origin as browsers write it, and a host.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
#: Segments that no browser and no proxy changes: `.` and `..` would be taken out on the way.
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_RETENTION = re.compile(r"(clicks|hits|web|events)=[1-9]\d{0,5}", re.ASCII)
_LINK_HOST = re.compile(HOST_PATTERN)


def check(settings: Settings) -> None:
    """Raise SettingsError for the first setting that cannot be used."""
    _check_networks(settings.trusted_proxies)
    _check_origins("track_origins", settings.track_origins)
    _check_origins("read_origins", settings.read_origins)
    _check_hosts(settings.allowed_hosts)
    _check_prefix(settings.web_prefix)
    _check_link_hosts(settings.link_hosts)
    cookie_attributes(settings.cookie)
    _check_retention(settings.retention_days)
    _check_jwt(settings)
    _check_memory(settings)
    _check_scheme("redis_url", settings.redis_url, ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster"))
    _check_scheme("log_url", settings.log_url, ("kafka", "redis", "rediss", "unix"))
    if settings.dead_letters_topic is not None and not (settings.log_url or "").startswith("kafka://"):
        raise SettingsError("TALLYBOOK_DEAD_LETTERS_TOPIC needs a TALLYBOOK_LOG_URL that begins with kafka://")
    _check_scheme("database_url", settings.database_url, ("postgresql", "postgres"))
    _check_scheme("outbox_url", settings.outbox_url, ("postgresql", "postgres"))
    _check_scheme("sentry_dsn", settings.sentry_dsn, ("http", "https"))
    _check_scheme("clickhouse_url", settings.clickhouse_url, ("http", "https"))
    _check_scheme("clickhouse_read_url", settings.clickhouse_read_url, ("http", "https"))
    if settings.clickhouse_read_url is not None and settings.clickhouse_url is None:
        raise SettingsError("TALLYBOOK_CLICKHOUSE_READ_URL needs a TALLYBOOK_CLICKHOUSE_URL of the same server")


def _check_memory(settings: Settings) -> None:
    if (settings.log_url or "").startswith("kafka://"):
        return
    least = settings.log_partitions * _PARTITION_MIN * 10
    if settings.redis_memory_bytes < least:
        raise SettingsError(
            f"TALLYBOOK_REDIS_MEMORY_BYTES={settings.redis_memory_bytes} is too little for "
            f"TALLYBOOK_LOG_PARTITIONS={settings.log_partitions}: set {least} or more (or, once the sinks have "
            "caught up, fewer partitions)"
        )


def _check_scheme(name: str, url: str | None, schemes: tuple[str, ...]) -> None:
    if url is not None and url.partition("://")[0] not in schemes:
        begins = " or ".join(f"{scheme}://" for scheme in schemes)
        raise SettingsError(f"{PREFIX}{name.upper()} has to begin with {begins}")


def _check_networks(networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise SettingsError(f"TALLYBOOK_TRUSTED_PROXIES: {error}; write networks as 10.0.0.0/8") from None


def _check_origins(name: str, origins: tuple[str, ...]) -> None:
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(f"{PREFIX}{name.upper()}: {origin} is no origin; write https://example.org, no path")


def _check_prefix(prefix: str | None) -> None:
    if prefix is not None and not _PREFIX.fullmatch(prefix):
        raise SettingsError(f"TALLYBOOK_WEB_PREFIX: {prefix} is no path; write /x7, without a slash at its end")


def _check_hosts(hosts: tuple[str, ...]) -> None:
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(f"TALLYBOOK_ALLOWED_HOSTS: {host} is no name of a host; write count.example, no port")


def _check_link_hosts(hosts: tuple[str, ...]) -> None:
    for host in hosts:
        if not _LINK_HOST.fullmatch(host):
            raise SettingsError(
                f"TALLYBOOK_LINK_HOSTS: {host} is no host in small letters; write shop.example or *.shop.example"
            )


def _check_retention(entries: tuple[str, ...]) -> None:
    for entry in entries:
        if not _RETENTION.fullmatch(entry):
            raise SettingsError(
                f"TALLYBOOK_RETENTION_DAYS: {entry} is no kind with its days; write clicks=400,hits=90,web=90,events=90"
            )
    if len({entry.partition("=")[0] for entry in entries}) < len(entries):
        raise SettingsError("TALLYBOOK_RETENTION_DAYS names a kind twice")


def _check_jwt(settings: Settings) -> None:
    algorithm, keys = settings.jwt_algorithm, settings.jwt_keys
    if algorithm is None:
        if keys or settings.jwt_issuer or settings.jwt_audience:
            raise SettingsError("TALLYBOOK_JWT_ALGORITHM has to be set where another TALLYBOOK_JWT_... is")
        return
    if not settings.jwt_issuer or not settings.jwt_audience:
        raise SettingsError("TALLYBOOK_JWT_ALGORITHM needs TALLYBOOK_JWT_ISSUER and TALLYBOOK_JWT_AUDIENCE")
    if not keys:
        raise SettingsError(f"TALLYBOOK_JWT_ALGORITHM={algorithm} needs TALLYBOOK_JWT_KEYS")
    if algorithm == "HS256" and keys.lstrip().startswith(_PUBLIC):
        # Whoever knows the public keys could sign with them.
        raise SettingsError("TALLYBOOK_JWT_KEYS has public keys, and HS256 needs a secret: openssl rand -hex 32")
    if algorithm == "HS256" and len(keys.encode()) < _JWT_SECRET_MIN:
        raise SettingsError(f"TALLYBOOK_JWT_KEYS has to have {_JWT_SECRET_MIN} bytes or more: openssl rand -hex 32")

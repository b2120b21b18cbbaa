"""Find the stack that runs on a data folder, for people and for other commands."""

import shlex
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from shared.settings import Settings
from tallybook.exits import Exit, Stop
from tallybook.stack.data_folder import DataFolder

#: The note in the data folder with the addresses of the stack.
NOTE = "stack.json"


def running(folder: DataFolder) -> dict[str, Any]:
    """Return the note of the stack that runs on the folder, of the first if there are several, or {}."""
    return next((note for owned in folder.taken() if (note := owned.read(NOTE))), {})


def reached(settings: Settings) -> Settings:
    """Return the settings, with addresses of the running stack where they name none. Raises Stop if none runs."""
    stack = running(DataFolder(settings.data_dir))
    redis_url = settings.redis_url or stack.get("redis_url")
    database_url = settings.database_url or stack.get("database_url")
    clickhouse_url = settings.clickhouse_url or stack.get("clickhouse_url")
    if redis_url is None or database_url is None:
        raise _not_running(settings, "first, or set TALLYBOOK_REDIS_URL and TALLYBOOK_DATABASE_URL")
    addresses = {"redis_url": redis_url, "database_url": database_url, "clickhouse_url": clickhouse_url}
    return msgspec.structs.replace(settings, **addresses)


def address(settings: Settings) -> str:
    """Return the HTTP address of the running stack, or the one in the settings."""
    stack = running(DataFolder(settings.data_dir))
    return str(stack["url"]) if stack else http_address(settings.host, settings.port)


def http_address(host: str, port: int) -> str:
    """Return a URL that reaches a service bound to `host`."""
    host = reachable(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reachable(host: str) -> str:
    """Return the address to connect to for an address that is bound."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to connect, not to bind


def exports(settings: Settings) -> list[str]:
    """Return shell lines that point clients at the running stack. Raises Stop if none runs on the data folder."""
    stack = running(DataFolder(settings.data_dir))
    if not stack:
        raise _not_running(settings, "with `make up` or `tallybook up`")
    values = {
        "TALLY_URL": stack["url"],
        "TALLYBOOK_REDIS_URL": stack["redis_url"],
        "TALLYBOOK_DATABASE_URL": stack["database_url"],
        "REDISCLI": f"redis-cli {_redis_cli(stack['redis_url'])}",
        **_libpq(stack["database_url"]),
    }
    if stack.get("clickhouse_url"):
        values["TALLYBOOK_CLICKHOUSE_URL"] = stack["clickhouse_url"]
    return [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]


def _redis_cli(url: str) -> str:
    """Return the options of redis-cli, which knows neither unix:// nor redis+cluster:// URLs."""
    from shared.stores.redis_cluster import urls_of_nodes

    if url.startswith("unix:"):
        return f"-s {unquote(urlsplit(url).path)}"
    node, *others = urls_of_nodes(url)
    return f"-c -u {node}" if others or node != url else f"-u {node}"


def _libpq(url: str) -> dict[str, str]:
    """Return PGHOST and its like (libpq, "Environment Variables") for the parts that the URL has."""
    parts = urlsplit(url)
    hosts = parse_qs(parts.query).get("host", [parts.hostname or ""])
    values = {
        "PGHOST": hosts[0],
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    return {name: value for name, value in values.items() if value}


def _not_running(settings: Settings, remedy: str) -> Stop:
    return Stop(Exit.NOT_RUNNING, f"No stack runs on {DataFolder(settings.data_dir).path}: start one {remedy}.")

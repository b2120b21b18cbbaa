"""ClickHouse's HTTP interface on the port of the container: the gateway in front of the embedded engine."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from gateway import server
from shared.settings import load

url = urlsplit(Path("/run/secrets/clickhouse_url").read_text().strip())
server._LOOPBACK = frozenset({"0.0.0.0"})  # type: ignore[misc]
os.environ["HOME"] = "/var/lib/clickhouse"
server.run(
    load(
        {
            "TALLYBOOK_DATA_DIR": "/var/lib/clickhouse",
            "TALLYBOOK_CLICKHOUSE_URL": f"http://{url.username}:{url.password}@0.0.0.0:8123",
            "TALLYBOOK_CLICKHOUSE_MEMORY_BYTES": str(1 << 30),
            "TALLYBOOK_LOG_FORMAT": "json",
        }
    )
)

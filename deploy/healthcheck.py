"""Exit 0 when the address of this container answers 2xx, else 1: `python healthcheck.py http://127.0.0.1:8080/health/live`.

The image holds no curl and no shell tools; Python is there anyway.
"""

import http.client
import sys
from urllib.parse import urlsplit

#: Seconds until an answer counts as none. Below the `timeout` of the health check in compose.yaml and Dockerfile.
TIMEOUT_S = 2.0


def answers(address: str) -> bool:
    """Whether GET of the address gives 2xx in time."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)

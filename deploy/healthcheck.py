"""Exit 0 when a port of this container answers 2xx, else 1: `python -IS healthcheck.py 8080 /health/live`.

It runs every few seconds and imports only the C module under `socket`: with `-IS` it costs a bare start of Python.
"""

import _socket
import sys

#: Seconds until an answer counts as none. Below the `timeout` of the health check in compose.yaml and Dockerfile.
TIMEOUT_S = 2.0


def answers(port: int, path: str) -> bool:
    """Return whether GET of the path gives 2xx in time."""
    connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        connection.settimeout(TIMEOUT_S)
        connection.connect(("127.0.0.1", port))
        connection.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        version, _, status = connection.recv(12).partition(b" ")
        return version in (b"HTTP/1.0", b"HTTP/1.1") and status.startswith(b"2")
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if answers(int(sys.argv[1]), sys.argv[2]) else 1)

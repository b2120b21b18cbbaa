"""The real nginx with the configuration of `deploy/nginx`, on ports and paths of this machine."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from loadtest.tools.stack import StartError, free_port

CONFIGURATION = Path(__file__).parents[2] / "deploy/nginx/nginx.conf"
_START_S = 10.0


def adapted(folder: Path, upstreams: Sequence[int], port: int, *, outer_proxies: str = "") -> str:
    """The configuration with these ports and paths, behind these outer proxies. `resolve` is younger than Debian's
    nginx, and without containers there is no engine whose name server it could ask."""
    start = ["sh", str(CONFIGURATION.with_name("start.sh")), str(folder)]
    subprocess.run(start, env={**os.environ, "OUTER_PROXIES": outer_proxies, "TLS": ""}, check=True)
    servers = "\n".join(f"server 127.0.0.1:{number} max_fails=0;" for number in upstreams)
    text, changed = re.subn(r"server ingest:8080 resolve max_fails=0;", servers, CONFIGURATION.read_text())
    if changed != 1:
        raise StartError(f"{CONFIGURATION} has no upstream of the known form")
    for old, new in {
        r"/tmp/": f"{folder}/",  # noqa: S108 - what the image has
        r"listen 8080 backlog=4096;": f"listen 127.0.0.1:{port};",
        r"listen 3000;": f"listen 127.0.0.1:{free_port()};",
        r"listen 9090;": f"listen 127.0.0.1:{free_port()};",
        r"worker_rlimit_nofile 16384;": "",
        r"access_log /dev/stdout": f"access_log {folder}/access.log",
        r"error_log /dev/stderr": f"error_log {folder}/error.log",
    }.items():
        text, changed = re.subn(old, new, text)
        if not changed:
            raise StartError(f"{CONFIGURATION} has no {old} any more")
    return text


class Nginx:
    """nginx in front of these ports, with a port of its own. Use it in a `with` statement."""

    def __init__(self, folder: Path, upstreams: Sequence[int]) -> None:
        self.port = free_port()
        self._folder, self._upstreams = folder, upstreams
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start and wait until it listens. Raises StartError."""
        binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise StartError("nginx is not installed; `apt install nginx-light` (or your system's package) brings it")
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration, log = self._folder / "nginx.conf", self._folder / "start.log"
        configuration.write_text(adapted(self._folder, self._upstreams, self.port))
        command = [binary, "-p", str(self._folder), "-e", str(log), "-c", str(configuration), "-g", "daemon off;"]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise StartError(f"nginx did not start: {log.read_text() if log.exists() else error}") from error
                time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

"""The services that a supervisor runs: a table of children, each started again when it dies."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from tallybook.exits import Exit, Stop
from tallybook.launcher import launch

#: Seconds to wait before a service that died is started again: the first time, and at most.
_BACKOFF_S = (0.2, 5.0)
#: Seconds after which a service counts as having started, and deaths before that which end the supervisor.
_SETTLED_S, _DEATHS_MAX = 10.0, 5
#: Bytes of a service's output that are shown when it cannot start.
_TAIL = 1500

log = structlog.get_logger()


class Service:
    """One child process: `python -m <module>`. Its output is ours."""

    def __init__(self, module: str, environ: Mapping[str, str], root: Path) -> None:
        self.module = module
        self._environ = {**environ, "TALLYBOOK_METRICS_ROLE": module}
        self._root = root
        self._deaths = 0
        self._due_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._born_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return self._process.pid if self.is_alive() and self._process else None

    def start(self) -> None:
        """Start it without waiting for it."""
        command = (sys.executable, "-m", self.module)
        self._process = launch(command, log=None, env=self._environ)
        self._born_at = time.monotonic()

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def revive(self) -> None:
        """Start it again if it has died, after a while. Raises Stop when it dies again and again at its start."""
        if self.is_alive() or self._process is None:
            return
        now = time.monotonic()
        if self._due_at <= self._born_at:  # seen dead for the first time
            self._deaths = self._deaths + 1 if now - self._born_at < _SETTLED_S else 1
            if self._deaths >= _DEATHS_MAX:
                raise Stop(
                    Exit.CHILD_FAILED,
                    f"`python -m {self.module}` died {self._deaths} times at its start "
                    f"(exit code {self._process.returncode}); its last lines above say why.",
                )
            wait_s = min(_BACKOFF_S[0] * 2 ** (self._deaths - 1), _BACKOFF_S[1])
            self._due_at = now + wait_s
            log.error("service_died", service=self.module, exit_code=self._process.returncode, restart_in_s=wait_s)
        elif now >= self._due_at:
            self.start()

    def stop(self, timeout_s: float) -> None:
        """Ask it to end, and kill it when it does not in time."""
        if self._process is None or not self.is_alive():
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.error("service_killed", service=self.module, after_s=timeout_s)
            self._process.kill()
            self._process.wait()


def child_environ(**values: str) -> dict[str, str]:
    """The environment of services: ours, with these values, and unbuffered."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **values}

"""Run services as children, each restarted when it dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from shared.settings import NAMES, Settings, variable
from tallybook.exits import Exit, Stop
from tallybook.stack.launcher import SAME, Identity, launch
from tallybook.stack.restarts import Restarts

#: Deaths in a row, each soon after a start, that end the supervisor.
_DEATHS_MAX = 5

log = structlog.get_logger()


class Service:
    """A child process `python -m <module>` that shares our output.

    It dies with this process, by SIGKILL: its lanes hold what it has acknowledged, and nothing keeps the port."""

    def __init__(self, module: str, environ: Mapping[str, str], identity: Identity = SAME) -> None:
        self.module = module
        self._identity = identity
        self._environ = {**environ, "TALLYBOOK_METRICS_ROLE": module}
        self._restarts = Restarts()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the pid, or None if it does not run."""
        return self._process.pid if self.is_alive() and self._process else None

    def start(self) -> None:
        """Start the process without waiting for it."""
        command = (sys.executable, "-m", self.module)
        self._process = launch(
            command, log=None, env=self._environ, death_signal=signal.SIGKILL, identity=self._identity
        )
        self._restarts.started()

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def revive(self) -> None:
        """Restart it if it has died, after its backoff. Raises Stop after five deaths at its start."""
        if self._process is None or self.is_alive():
            return
        wait_s = self._restarts.died()
        if wait_s is not None:
            if self._restarts.deaths >= _DEATHS_MAX:
                raise Stop(
                    Exit.CHILD_FAILED,
                    f"`python -m {self.module}` died {self._restarts.deaths} times at its start "
                    f"(exit code {self._process.returncode}); its last lines above say why.",
                )
            log.error("service_died", service=self.module, exit_code=self._process.returncode, restart_in_s=wait_s)
        elif self._restarts.is_due():
            self.start()

    def stop(self, timeout_s: float) -> None:
        """Ask it to end, and kill it after `timeout_s`."""
        if self._process is None or not self.is_alive():
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.error("service_killed", service=self.module, after_s=timeout_s)
            self._process.kill()
            self._process.wait()


def child_environ(settings: Settings, identity: Identity = SAME, **values: str) -> dict[str, str]:
    """Return the environment of services: this one with these values, and unbuffered output.

    Settings from files become values, because another user may be unable to read the files. Another user also gets
    another home: asyncpg looks for certificates there and fails if it may not."""
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if identity.mode == "drop":
        environ["HOME"] = settings.data_dir
    for name in NAMES:
        if environ.pop(f"{variable(name)}_FILE", ""):
            value = getattr(settings, name)
            environ[variable(name)] = (
                ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
            )
    return environ | values


def give(identity: Identity, *folders: Path) -> None:
    """Make these folders, and give them and their contents to that user."""
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)
        if identity.mode == "drop":
            for path in (folder, *folder.rglob("*")):
                os.chown(path, identity.uid, identity.gid, follow_symlinks=False)


#: Paths that a service reads before it runs.
PROGRAM = (Path(sys.executable), Path(sys.prefix, "lib"), Path(sys.base_prefix, "lib"), Path(__file__))

"""The services that a supervisor runs: a table of children, each started again when it dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from shared.settings import PREFIX, Settings
from tallybook.exits import Exit, Stop
from tallybook.stack.backoff import Backoff
from tallybook.stack.launcher import SAME, Identity, launch

#: Deaths in a row, each soon after a start, which end the supervisor.
_DEATHS_MAX = 5

log = structlog.get_logger()


class Service:
    """One child process: `python -m <module>`. It writes where we write, and dies with us, by SIGKILL: what it has
    acknowledged lies in its lanes, and nothing is left that holds the port."""

    def __init__(self, module: str, environ: Mapping[str, str], identity: Identity = SAME) -> None:
        self.module = module
        self._identity = identity
        self._environ = {**environ, "TALLYBOOK_METRICS_ROLE": module}
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return self._process.pid if self.is_alive() and self._process else None

    def start(self) -> None:
        """Start it without waiting for it."""
        command = (sys.executable, "-m", self.module)
        self._process = launch(
            command, log=None, env=self._environ, death_signal=signal.SIGKILL, identity=self._identity
        )
        self._backoff.started()

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def revive(self) -> None:
        """Start it again if it has died, after a while. Raises Stop when it dies again and again at its start."""
        if self._process is None or self.is_alive():
            return
        wait_s = self._backoff.died()
        if wait_s is not None:
            if self._backoff.deaths >= _DEATHS_MAX:
                raise Stop(
                    Exit.CHILD_FAILED,
                    f"`python -m {self.module}` died {self._backoff.deaths} times at its start "
                    f"(exit code {self._process.returncode}); its last lines above say why.",
                )
            log.error("service_died", service=self.module, exit_code=self._process.returncode, restart_in_s=wait_s)
        elif self._backoff.is_due():
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


def child_environ(settings: Settings, identity: Identity = SAME, **values: str) -> dict[str, str]:
    """The environment of services: ours, with these values, and unbuffered. What stands in a file is read already: the
    user of a service need not be able to read it. Another user gets another home: asyncpg looks for certificates there,
    and fails where it may not look."""
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if identity.mode == "drop":
        environ["HOME"] = settings.data_dir
    for name in settings.__struct_fields__:
        variable = f"{PREFIX}{name.upper()}"
        if environ.pop(f"{variable}_FILE", ""):
            value = getattr(settings, name)
            environ[variable] = ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
    return environ | values


def give(identity: Identity, *folders: Path) -> None:
    """Make these folders, and let them and all that is in them belong to that user."""
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)
        if identity.mode == "drop":
            for path in (folder, *folder.rglob("*")):
                os.chown(path, identity.uid, identity.gid, follow_symlinks=False)


#: What a service needs to read before it runs.
PROGRAM = (Path(sys.executable), Path(sys.prefix, "lib"), Path(sys.base_prefix, "lib"), Path(__file__))
